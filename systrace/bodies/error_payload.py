"""Well-formed answers whose top level says that something failed: JSON and XML error objects."""

from __future__ import annotations

from typing import Any

from systrace.bodies.json_body import json_value
from systrace.bodies.xml_body import root
from systrace.dataclass import dataclass
from systrace.messages.body import Body
from systrace.messages.problem import printable

_ERROR_KEYS = ("error", "errors", "fault", "exception", "err")
_CODE_KEYS: tuple[str, ...] = (
    *("code", "Code", "errorCode", "error_code", "status", "statusCode"),
    *("type", "__type", "faultcode", "reason"),
)
_TEXT_KEYS: tuple[str, ...] = (
    *("message", "Message", "detail", "error_description", "errorMessage", "error_message", "title", "msg"),
    *("description", "faultstring", "reason", "details", "Reason", "Text"),
)
_BAD_STATUS = frozenset({"error", "fail", "failed", "failure", "nok", "ko", "err"})
_NONE = frozenset({"", "0", "200", "none", "no", "no error", "ok", "success", "false", "null", "n/a"})
_XML_ROOTS = frozenset({"error", "errors", "errorresponse", "fault", "exception"})
_XML_ROOTS_OGC = frozenset({"serviceexceptionreport", "exceptionreport"})


@dataclass(slots=True, frozen=True)
class ErrorPayload:
    """What an error object says; texts are printable and short, "" when it does not."""

    form: str  # json, xml, soap
    code: str
    message: str


def error_payload(body: Body) -> ErrorPayload | None:
    """The error that a body's top level reports; None when it reports none or is not (wholly) known."""
    kind = body.kind()
    if kind == "json":
        return value_error(json_value(body))
    if kind == "xml":
        return _xml_error(body.data())
    return None


def value_error(value: Any) -> ErrorPayload | None:
    """The same for a parsed JSON value."""
    if not isinstance(value, dict):
        return None
    for key in _ERROR_KEYS:
        inner = value.get(key)
        if inner and not _says_none(inner):
            return _from(value, inner)
    return _from(value, None) if _says_failed(value) or _is_problem(value) else None


def _says_failed(value: dict[Any, Any]) -> bool:
    """A flag or a word says that it did not go well."""
    status = value.get("status")
    flags = (value.get(key) for key in ("success", "ok", "Success"))
    return any(flag is False for flag in flags) or (isinstance(status, str) and status.lower() in _BAD_STATUS)


def _is_problem(value: dict[Any, Any]) -> bool:
    """One of the usual forms of an error object that has no key of its own for the error."""
    status = value.get("status")
    if isinstance(value.get("title"), str) and isinstance(status, int) and status >= 400:  # RFC 9457
        return True
    if "__type" in value and ("message" in value or "Message" in value):  # AWS JSON protocols
        return True
    code = value.get("code", value.get("Code", value.get("statusCode")))
    return isinstance(code, int) and not isinstance(code, bool) and 400 <= code < 600 and "message" in value


def _says_none(inner: Any, depth: int = 3) -> bool:
    """An error's place that is always there and now holds none: "none", {"code": 0, "message": "OK"}.

    What is nested deeper than anybody writes such a thing is no "none".
    """
    if isinstance(inner, dict | list):
        values = inner.values() if isinstance(inner, dict) else inner
        return depth > 0 and all(_says_none(each, depth - 1) for each in values)
    return inner is None or str(inner).strip().lower() in _NONE


def _from(value: dict[Any, Any], inner: Any) -> ErrorPayload:
    """Code and message from the error's own object first, from the top level else."""
    if isinstance(inner, list):
        inner = inner[0] if inner else None
    code = text = ""
    if isinstance(inner, dict):
        code, text = _first(inner, _CODE_KEYS), _first(inner, _TEXT_KEYS)
    elif isinstance(inner, str):
        text = inner
    elif isinstance(inner, int) and not isinstance(inner, bool):
        code = str(inner)
    outer = _first(value, _TEXT_KEYS)
    if isinstance(inner, str) and outer and outer != inner:  # OAuth: a short code and a sentence
        code, text = code or inner, outer
    return ErrorPayload("json", _clean(code or _first(value, _CODE_KEYS)), _clean(text or outer))


def _first(value: dict[Any, Any], keys: tuple[str, ...]) -> str:
    for key in keys:
        found = value.get(key)
        if isinstance(found, str) and found:
            return found
        if isinstance(found, int) and not isinstance(found, bool):
            return str(found)
    return ""


def _clean(text: str) -> str:
    return printable(text.encode("utf-8", "replace"), 300)


def _xml_error(data: bytes) -> ErrorPayload | None:
    name, elements = root(data)
    low = name.lower()
    texts = dict(reversed(elements))
    code, message = _first(texts, _CODE_KEYS), _first(texts, _TEXT_KEYS)
    if low == "envelope":
        if b"Fault" not in data or not (code or message):
            return None
        code = texts.get("faultcode", texts.get("Value", code))
        return ErrorPayload("soap", _clean(code), _clean(texts.get("faultstring", texts.get("Text", message))))
    if low == "methodresponse" and b"<fault>" in data:
        return ErrorPayload("xml", _clean(texts.get("int", texts.get("i4", ""))), _clean(texts.get("string", "")))
    if low in _XML_ROOTS | _XML_ROOTS_OGC:
        return ErrorPayload("xml", _clean(code), _clean(message or next((text for _, text in elements), "")))
    return None
