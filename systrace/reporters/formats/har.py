"""HTTP exchanges as HAR 1.2, for browsers' tools (http://www.softwareishard.com/blog/har-12-spec/).

What did not come has status 0 with the reason in `comment` and `_error`. Fields that begin with `_` are systrace's own.
Bodies are those that the log holds, content codings undone.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, BinaryIO
from urllib.parse import parse_qsl, quote, urlsplit

from systrace import __version__
from systrace.masking.masks import Masks
from systrace.messages.http import HttpMessage, parse_fields
from systrace.messages.transactions import Exchange, Transaction, exchanges
from systrace.model import Analysis, Evidence, Keep
from systrace.reporters import Reporter, reporter
from systrace.reporters.layout import PAGE, Layout
from systrace.reporters.shapes.plain import encodable
from systrace.words import is_binary

_MOST_BODY = 1 << 20  # bytes shown of one
_URL = "!#$%&'()*+,/:;=?@[]~"
_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


@reporter
class HarReport(Reporter):
    """`--format har`."""

    name = "har"
    suffixes = (".har",)
    single = True
    keep = Keep(requests=True)

    def write(self, analysis: Analysis, out: BinaryIO, layout: Layout = PAGE) -> None:
        """Write an entry at a time."""
        found = exchanges(analysis.evidence)
        sealed = sum(each.row.error == "encrypted" for each in found)
        log: dict[str, Any] = {"version": "1.2", "creator": {"name": "systrace", "version": __version__}}
        log["comment"] = _comment(analysis, sealed)
        log["_verdict"] = {"outcome": analysis.verdict.outcome, "cause": analysis.verdict.cause}
        out.write(b'{"log":' + _encode(encodable(log)).encode()[:-1] + b',"entries":[')
        before = b""
        for entry in _entries(analysis, found):
            out.write(before + _encode(encodable(entry)).encode())
            before = b","
        out.write(b"]}}\n")


def _comment(analysis: Analysis, sealed: int) -> str:
    words = [analysis.verdict.headline]
    if analysis.evidence.source.style.clock != "epoch":
        words.append(
            "The log has no date: its first second is taken for 1970-01-01, or its time of day for that day's."
        )
    if sealed:
        words.append(f"Left out: {sealed} TLS connection{'s' if sealed > 1 else ''} whose requests nobody can read.")
    return " ".join(words)


def _entries(analysis: Analysis, found: list[Exchange]) -> Iterator[dict[str, Any]]:
    evidence = analysis.evidence
    causes = {finding.socket: finding.cause for finding in reversed(analysis.findings) if finding.socket is not None}
    for each in found:
        if each.row.error != "encrypted":
            yield _entry(each, evidence, causes.get(each.row.socket))


def _entry(exchange: Exchange, evidence: Evidence, cause: str | None) -> dict[str, Any]:
    row, masks = exchange.row, evidence.masks
    timings = _timings(exchange)
    before = sum(ms for name, ms in timings.items() if name in ("dns", "connect") and ms > 0)
    entry: dict[str, Any] = {
        "startedDateTime": _moment(row.start_ns, before, evidence),
        "time": round(sum(ms for name, ms in timings.items() if name != "ssl" and ms > 0), 6),
        "request": _request(exchange, masks),
        "response": _response(exchange, masks),
        "cache": {},
        "timings": timings,
        "connection": row.socket,
        "_pid": row.pid,
        "_command": row.command,
        "_role": row.role,
        "_line": row.line,
    }
    socket = evidence.sockets.get(row.socket)
    if socket is not None and socket.is_network and socket.peer is not None and row.role == "client":
        entry["serverIPAddress"] = socket.peer.host
    if row.error:
        entry["_error"] = row.error
    if cause is not None:
        entry["_cause"] = cause
    words = [word for word in (row.error, cause) if word]
    return entry | ({"comment": "; ".join(words)} if words else {})


def _moment(ns: int | None, before_ms: float, evidence: Evidence) -> str:
    at = max(0, (ns or 0) // 1000 - int(before_ms * 1000))
    clock, first = evidence.source.style.clock, evidence.source.first_ns or 0
    if clock != "epoch" and first > 86_400_000_000_000:
        at = max(0, at - first // 1000)
    return datetime.fromtimestamp(at // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{at % 1_000_000:06}Z"


def _timings(exchange: Exchange) -> dict[str, float]:
    """Milliseconds; -1 for what does not apply or is not known; `connect` contains `ssl`, as HAR wants it."""
    row, request = exchange.row, exchange.request
    send = None if request is None or None in (request.start_ns, request.end_ns) else request.end_ns - request.start_ns  # type: ignore[operator]
    connect = None if row.connect_ns is None else row.connect_ns + (row.tls_ns or 0)
    return {
        "blocked": -1,
        "dns": _ms(row.dns_ns, -1),
        "connect": _ms(connect, -1),
        "ssl": _ms(row.tls_ns if connect is not None else None, -1),
        "send": _ms(send, 0),
        "wait": _ms(row.first_byte_ns, 0),
        "receive": _ms(row.transfer_ns, 0),
    }


def _ms(ns: int | None, unknown: float) -> float:
    return unknown if ns is None else round(ns / 1e6, 6)


def _request(exchange: Exchange, masks: Masks) -> dict[str, Any]:
    row, message = exchange.row, exchange.request
    url = quote(_absolute(row), safe=_URL)
    shown: dict[str, Any] = {
        "method": row.method or "UNKNOWN",
        "url": url,
        **_head(message, masks, "cookie"),
        "queryString": [{"name": key, "value": value} for key, value in parse_qsl(_query(url), keep_blank_values=True)],
        "bodySize": -1 if row.request_bytes is None else row.request_bytes,
    }
    content = _content(message, masks)
    if message is not None and content.get("text"):
        shown["postData"] = {"mimeType": message.header("content-type") or "", "text": content["text"]}
        if "encoding" in content:
            shown["postData"]["_encoding"] = content["encoding"]
    return shown


def _absolute(row: Transaction) -> str:
    url = row.url or "http://unknown.invalid/"
    return url if "://" in url else f"http://{url}"


def _query(url: str) -> str:
    try:
        return urlsplit(url).query
    except ValueError:
        return url.partition("?")[2]


def _response(exchange: Exchange, masks: Masks) -> dict[str, Any]:
    row, message = exchange.row, exchange.answer
    location = message.header("location") if message is not None else None
    return {
        "status": row.status or 0,
        "statusText": row.reason,
        **_head(message, masks, "set-cookie"),
        "content": _content(message, masks),
        "redirectURL": masks.text(location) if location else "",
        "bodySize": -1 if row.response_bytes is None else row.response_bytes,
    }


def _head(message: HttpMessage | None, masks: Masks, cookies: str) -> dict[str, Any]:
    if message is None:
        return {"httpVersion": "", "headers": [], "cookies": [], "headersSize": -1}
    fields = parse_fields(masks.data(message.head).partition(b"\n")[2])
    held = [value for name, value in fields if name == cookies]
    pairs = [pair for value in held for pair in (value.split(";")[:1] if cookies == "set-cookie" else value.split(";"))]
    return {
        "httpVersion": f"HTTP/{message.version}" if message.version else "",
        "headers": [{"name": name, "value": value} for name, value in fields],
        "cookies": [
            {"name": name.strip(), "value": value.strip()} for name, _eq, value in (p.partition("=") for p in pairs)
        ],
        "headersSize": -1 if message.head_cut else len(message.head),
    }


def _content(message: HttpMessage | None, masks: Masks) -> dict[str, Any]:
    """What is known of the body, from its beginning; holes are told."""
    if message is None or message.body is None:
        return {"size": 0, "mimeType": (message.content_type if message is not None else "") or "x-unknown"}
    decoded = message.body.decoded()
    data = masks.data(decoded.data[:_MOST_BODY])
    shown: dict[str, Any] = {
        "size": len(decoded.data) if message.body.data_whole else max(message.received_length, len(decoded.data)),
        "mimeType": message.header("content-type") or "x-unknown",
    }
    if decoded.undone:
        shown["compression"] = shown["size"] - message.received_length
    if data and is_binary(data):
        shown |= {"text": base64.b64encode(data).decode(), "encoding": "base64"}
    elif data:
        shown["text"] = data.decode(message.charset if message.charset == "latin-1" else "utf-8", "backslashreplace")
    if len(data) < len(decoded.data) or not message.body.data_whole:
        shown["comment"] = "only the beginning of it is here: the log holds no more, or systrace kept no more"
    return shown
