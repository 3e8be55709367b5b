"""JSON: is it cut short or broken, and where? The standard parser's words, so that they match a job's traceback.

The parser says only that something is wrong. It is truncated when the message is "Unterminated string", when nothing
but blanks follows the position, or when what follows is the proper beginning of a literal, an escape or a number.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from systrace.bodies.charset import text_of
from systrace.messages.body import Body
from systrace.messages.problem import Problem

_LITERALS = ("true", "false", "null", "NaN", "Infinity", "-Infinity")
_CUT_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{0,4})?\Z")
_CUT_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[.]|[eE][+-]?)\Z")
_GUARD = re.compile(r"\s*(?:\)\]\}',?|for\s*\(;;\);|while\s*\(1\);)\s*")  # against script inclusion
_JSONP = re.compile(r"\s*(?:/\*\*/\s*)?[\w$.]{1,100}\(")
_LINE_TYPES = ("ndjson", "jsonl", "json-seq", "jsonlines", "json-lines")


def json_problem(body: Body) -> Problem | None:
    """What a JSON parser would stumble over, None when nothing (as far as bytes are known).

    Kinds: "truncated" (more text would make it right; only said of a body that has ended and is known), "malformed",
    "empty" (nothing came), "nonstandard" (NaN, Infinity, byte order mark: some parsers accept it). Newline-delimited
    JSON is fine; a guard against script inclusion and JSONP are taken off first. The body is taken to be meant as
    JSON: ask `body.kind()` or what was due first.
    """
    if not body.received:
        return Problem("empty", 0, 1, 1, "no content") if body.ended else None
    text = text_of(body)
    if not text:
        return None
    whole = body.ended and (body.data_whole or (body.whole and _cut_coding(body)))
    problem = text_problem(text, whole=whole, lines=any(word in body.content_type.lower() for word in _LINE_TYPES))
    if problem is None and not whole:
        problem = _cut_tail(body)
    if problem is None and body.data().startswith(b"\xef\xbb\xbf"):
        return Problem("nonstandard", 0, 1, 1, "Unexpected UTF-8 BOM (decode using utf-8-sig)")
    return problem


def json_value(body: Body) -> Any:
    """The parsed content of a wholly known body that is one JSON text; None for anything else."""
    if not body.data_whole:
        return None
    try:
        return json.loads(_unwrapped(text_of(body))[0])
    except (ValueError, RecursionError):
        return None


def text_problem(text: str, whole: bool = True, lines: bool = False) -> Problem | None:
    """The rule itself, on text; `whole`: it is all there is; `lines`: newline-delimited JSON was announced."""
    inner, start, end = _unwrapped(text)
    if not inner.strip():
        return Problem("empty", 0, 1, 1, "nothing but blanks") if whole else None
    try:
        json.loads(inner, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        at = error.pos
        if error.msg == "Extra data" and (lines or _on_new_line(inner, at)):
            return _lines_problem(text, inner, start, whole)
        if _is_cut(inner, error) and not end:
            return _at(text, len(text.rstrip()), "truncated", _short(error)) if whole else None
        return _at(text, start + at, "malformed", error.msg)
    except RecursionError:
        return None
    except _ConstantError as error:
        at = max(0, inner.find(error.name))
        return _at(text, start + at, "nonstandard", f"{error.name} is not JSON, though some parsers accept it")
    except ValueError:  # an integer of more digits than Python converts
        return None
    return None


class _ConstantError(Exception):
    """NaN or Infinity was met."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def _refuse(name: str) -> NoReturn:
    raise _ConstantError(name)


def _unwrapped(text: str) -> tuple[str, int, bool]:
    """(the JSON within a guard or JSONP call, where it starts, is there a closing bracket after it?)."""
    guard = _GUARD.match(text)
    if guard:
        return text[guard.end() :], guard.end(), False
    call = _JSONP.match(text)
    if call:
        inner = text[call.end() :].rstrip().removesuffix(";").rstrip()
        return inner.removesuffix(")"), call.end(), inner.endswith(")")
    return text, 0, False


def _is_cut(text: str, error: json.JSONDecodeError) -> bool:
    rest = text[error.pos :]
    blank = not rest.strip()
    if blank or error.msg.startswith("Unterminated string"):
        return True
    tail = rest.rstrip()
    if error.msg == "Expecting value":
        return any(word.startswith(tail) and word != tail for word in _LITERALS) or tail == "-"
    if "escape" in error.msg:
        return bool(_CUT_ESCAPE.search(text[max(0, error.pos - 2) :].rstrip('"')))
    if tail in (".", "e", "E", "e+", "e-", "E+", "E-"):  # after a number: 1. 1e 1e+
        start = max(0, error.pos - 400)
        number = re.search(r"[-+.\deE]+\Z", text[start:].rstrip())
        return bool(number and _CUT_NUMBER.match(number[0]))
    return False


def _on_new_line(text: str, at: int) -> bool:
    """A further JSON value begins after a line end."""
    before = text[:at].rstrip(" \t")
    return before.endswith("\n") and text[at : at + 1] in ("{", "[")


def _lines_problem(text: str, inner: str, start: int, whole: bool) -> Problem | None:
    """Newline-delimited JSON: each line by itself."""
    offset = 0
    lines = inner.splitlines(keepends=True)
    for index, line in enumerate(lines):
        if line.strip("\x1e \t\r\n"):
            last = index == len(lines) - 1 and not line.endswith("\n")
            shift = len(line) - len(line.lstrip("\x1e \t"))
            try:
                json.loads(line[shift:])
            except json.JSONDecodeError as error:
                if last and _is_cut(line[shift:], error):
                    return _at(text, len(text.rstrip()), "truncated", _short(error)) if whole else None
                if not last or whole:
                    return _at(text, start + offset + shift + error.pos, "malformed", error.msg)
            except (RecursionError, ValueError):
                return None
        offset += len(line)
    return None


def _at(text: str, at: int, kind: str, message: str) -> Problem:
    before = text[:at]
    column = at - before.rfind("\n")
    return Problem(kind, len(before.encode("utf-8", "surrogateescape")), before.count("\n") + 1, column, message)


def _short(error: json.JSONDecodeError) -> str:
    """The parser's words without those that need its own position: a cut is reported where the text ends."""
    return error.msg.removesuffix(" starting at")


def _cut_coding(body: Body) -> bool:
    """All came, but its compressed form ends early: so does the JSON."""
    problem = body.decoded().problem
    return problem is not None and problem.kind == "truncated"


def _cut_tail(body: Body) -> Problem | None:
    """A large body of which beginning and end are known: an array or object that does not end as one is cut."""
    if not body.complete or body.encodings:
        return None
    head, tail = body.raw().lstrip(), body.tail().rstrip()
    closing = {b"{": b"}", b"[": b"]"}.get(head[:1])
    if closing is None or not tail or tail.endswith((b"}", b"]")):
        return None
    return Problem("truncated", body.received, 0, 0, f"begins with {head[:1].decode()} and ends without its match")
