"""Spans in OTLP's JSON, for OpenTelemetry's collectors (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding).

The job is the root span, each HTTP exchange a span below it, each finding an event of the root. Names are those of the
stable semantic conventions (https://opentelemetry.io/docs/specs/semconv/http/http-spans/). A recording is a line, as the
collector's otlpjsonfile receiver wants it. Ids are made from the recording: reading it twice gives the same spans.

A recorded request may name its place in a trace (`traceparent`, https://www.w3.org/TR/trace-context/). Its span then is in
that trace, below the span that the header names, beside what the server has to tell: the header's own span is the
job's library's to report, not ours. Where all such requests name one trace the job's span is in it, too; where they name
several it cannot be in all, keeps a trace of its own, and links lead there and back.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from systrace import __version__
from systrace.messages.transactions import Exchange, Transaction, exchanges
from systrace.model import Analysis, Endpoint, Evidence, Finding, Keep
from systrace.reporters import Reporter, reporter
from systrace.reporters.layout import PAGE, Layout
from systrace.reporters.shapes.plain import encodable
from systrace.reporters.views.answer import first_process, job_of
from systrace.words import clean

_INTERNAL, _SERVER, _CLIENT = 1, 2, 3  # Span.SpanKind
_ERROR = 2  # Status.StatusCode
_MOST_SPANS = 5000  # of exchanges; those that failed first: a collector takes 20 MiB at once
_MOST_OF_A_SPAN = 128  # events, links: OpenTelemetry's own limits
_MOST_LINES = 20  # of a finding's evidence
_LONGEST = 4096  # characters of a text
_DIGITS = frozenset("0123456789abcdef")  # a traceparent has no capital ones
_SIZES = (2, 32, 16, 2)  # version, trace, parent, flags
_KNOWN_METHODS = frozenset("CONNECT DELETE GET HEAD OPTIONS PATCH POST PUT TRACE QUERY".split())
_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode
Span = dict[str, Any]
Parent = tuple[str, str]  # ids of a trace and of a span in it, in hexadecimal digits


@reporter
class OtlpReport(Reporter):
    """`--format otlp`."""

    name = "otlp"
    suffixes = (".otlp",)
    keep = Keep(requests=True)

    def write(self, analysis: Analysis, out: BinaryIO, layout: Layout = PAGE) -> None:
        """Write a line."""
        scope = {"name": "systrace", "version": __version__}
        spans = _Spans(analysis).all()
        resource = {"attributes": _attributes(_resource(analysis))}
        whole = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": scope, "spans": spans}]}]}
        out.write(_encode(encodable(whole)).encode() + b"\n")


def parent_of(header: str | None) -> Parent | None:
    """What a `traceparent` says; None where there is no valid one (Trace Context, 3.2)."""
    version, *more = fields = (header or "").strip().split("-")
    if len(fields) < len(_SIZES) or version == "ff" or (version == "00" and len(fields) > len(_SIZES)):
        return None
    if not all(len(each) == size and _DIGITS.issuperset(each) for each, size in zip(fields, _SIZES, strict=False)):
        return None
    trace, span = more[:2]
    return (trace, span) if trace.strip("0") and span.strip("0") else None


def _name(analysis: Analysis) -> str:
    source, first = analysis.evidence.source, first_process(analysis)
    given = source.facts.get("job")
    return str(given) if given else (first.command if first is not None else "") or job_of(analysis) or "job"


def _resource(analysis: Analysis) -> dict[str, Any]:
    source, first = analysis.evidence.source, first_process(analysis)
    return {
        "service.name": _name(analysis),
        "host.name": source.facts.get("host"),
        "process.pid": first.pid if first is not None else None,
        "process.command_args": list(first.argv) if first is not None else None,
    }


class _Spans:
    """Those of one recording."""

    def __init__(self, analysis: Analysis) -> None:
        self._analysis = analysis
        self._evidence: Evidence = analysis.evidence
        source = self._evidence.source
        told = (source.facts.get("host"), job_of(analysis), source.first_ns, source.last_ns)
        self._seed = repr((*told, self._evidence.health.lines, sorted(self._evidence.processes)[:8])).encode()
        found = [each for each in exchanges(self._evidence) if each.row.start_ns is not None]
        self._left_out = max(0, len(found) - _MOST_SPANS)
        self._exchanges = sorted(found, key=lambda each: not _failed(each.row))[:_MOST_SPANS]
        self._parents = [_joined(each) for each in self._exchanges]
        traces = {each[0]: each for each in self._parents if each is not None}
        self._others = [] if len(traces) == 1 else list(traces.values())
        self._trace = next(iter(traces)) if len(traces) == 1 else self._id("trace", 32)
        self._root = self._id("job", 16)
        self._causes = {each.socket: each for each in reversed(analysis.findings) if each.socket is not None}

    def _id(self, what: object, digits: int) -> str:
        from hashlib import sha256  # which loads OpenSSL: not for those who want another format

        return sha256(self._seed + repr(what).encode()).hexdigest()[:digits]

    def all(self) -> list[Span]:
        """The root, then the exchanges."""
        return [self._job(), *self._of_exchanges()]

    def _job(self) -> Span:
        verdict, source = self._analysis.verdict, self._evidence.source
        first = first_process(self._analysis)
        status = source.facts.get("exit_status")  # of systrace's own recordings, which anybody can write
        if not isinstance(status, int):
            status = first.exit_code if first is not None else None
        failed = verdict.outcome in ("failed", "hung") or bool(status)
        span = self._span(self._trace, self._root, _name(self._analysis), _INTERNAL, source.first_ns, source.last_ns)
        told = {
            "systrace.outcome": verdict.outcome,
            "systrace.cause": verdict.cause,
            "systrace.peer": verdict.peer,
            "systrace.headline": verdict.headline,
            "process.exit.code": status,
            "error.type": verdict.cause if failed else None,
            "systrace.clock": None if source.style.clock == "epoch" else "no date: the log's own clock from 1970-01-01",
            "systrace.exchanges_left_out": self._left_out or None,
        }
        span |= {"attributes": _attributes(told)}
        span["events"] = [self._event(each) for each in self._analysis.findings[:_MOST_OF_A_SPAN]]
        links = [{"traceId": trace, "spanId": parent} for trace, parent in self._others[:_MOST_OF_A_SPAN]]
        return span | ({"links": links} if links else {}) | _status(verdict.headline if failed else None)

    def _event(self, finding: Finding) -> dict[str, Any]:
        told = {
            "systrace.cause": finding.cause,
            "systrace.variant": finding.variant or None,
            "systrace.severity": finding.severity,
            "systrace.confidence": finding.confidence,
            "systrace.summary": finding.summary,
            "systrace.peer": finding.peer,
            "systrace.evidence": [f"line {each.line}: {each.text}" for each in finding.lines[:_MOST_LINES]],
        }
        at = finding.time_ns if finding.time_ns is not None else self._evidence.source.first_ns
        return {"timeUnixNano": _nanoseconds(at), "name": finding.cause, "attributes": _attributes(told)}

    def _of_exchanges(self) -> Iterator[Span]:
        for number, (each, joined) in enumerate(zip(self._exchanges, self._parents, strict=True)):
            row = each.row
            finding = self._causes.get(row.socket) if _failed(row) else None
            trace, parent = joined if joined is not None else (self._trace, self._root)
            kind = _SERVER if row.role == "server" else _CLIENT
            name = row.method if row.method in _KNOWN_METHODS else "TLS" if row.error == "encrypted" else "HTTP"
            end = self._end_ns(row, finding)
            span = self._span(
                trace, self._id((number, row.socket, row.line), 16), name or "HTTP", kind, row.start_ns, end
            )
            span["parentSpanId"] = parent
            span["attributes"] = _attributes(self._told(row, finding))
            if joined is not None:
                span["links"] = [{"traceId": self._trace, "spanId": self._root}]
            yield span | _status(_failure(row, finding))

    def _span(self, trace: str, own: str, name: str, kind: int, start: int | None, end: int | None) -> Span:
        ends = end if end is not None and start is not None and end > start else start
        times = {"startTimeUnixNano": _nanoseconds(start), "endTimeUnixNano": _nanoseconds(ends)}
        return {"traceId": trace, "spanId": own, "name": clean(name, _LONGEST), "kind": kind, **times}

    def _end_ns(self, row: Transaction, finding: Finding | None) -> int | None:
        """The answer's end; without one, when the job knew, or had closed the connection, or the log ends."""
        if row.start_ns is not None and row.total_ns is not None:
            return row.start_ns + row.total_ns
        if finding is not None and finding.end_ns is not None:
            return finding.end_ns
        socket = self._evidence.sockets.get(row.socket)
        closed = socket.closed_ns if socket is not None else None
        return closed if closed is not None else self._evidence.source.last_ns

    def _told(self, row: Transaction, finding: Finding | None) -> dict[str, Any]:
        url = self._evidence.masks.text(row.url or "")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            parts, host, port = urlsplit(""), None, None
        socket = self._evidence.sockets.get(row.socket)
        ends = (socket.peer, socket.local) if socket is not None and socket.is_network else (None, None)
        server = ends[1] if row.role == "server" else ends[0]
        told = {
            "http.request.method": _method(row),
            "http.request.method_original": row.method if row.method and row.method not in _KNOWN_METHODS else None,
            "server.address": host or (server.host if server is not None else None),
            "server.port": port or _port(server),
            "network.peer.address": ends[0].host if ends[0] is not None else None,
            "network.peer.port": _port(ends[0]),
            "http.response.status_code": row.status,
            "error.type": _error_type(row, finding),
            "systrace.socket": row.socket,
            "systrace.line": row.line,
        }
        if row.role == "server":
            return told | {"url.scheme": parts.scheme, "url.path": parts.path or "/", "url.query": parts.query or None}
        return told | {"url.full": url or None}


def _joined(exchange: Exchange) -> Parent | None:
    return parent_of(exchange.request.header("traceparent")) if exchange.request is not None else None


def _method(row: Transaction) -> str | None:
    if row.error == "encrypted":
        return None
    return row.method if row.method in _KNOWN_METHODS else "_OTHER"


def _port(end: Endpoint | None) -> int | None:
    return end.port or None if end is not None else None


def _failed(row: Transaction) -> bool:
    """By the conventions: no whole answer, or a status of 400 and more; for a server of 500 and more."""
    bad = row.status is not None and row.status >= (500 if row.role == "server" else 400)
    return bad or bool(row.error and row.error not in ("encrypted", "clipped", "the answer is not kept"))


def _error_type(row: Transaction, finding: Finding | None) -> str | None:
    if not _failed(row):
        return None
    if row.status is not None and not row.error:
        return str(row.status)
    return finding.cause if finding is not None else row.error.replace(" ", "-") or str(row.status)


def _failure(row: Transaction, finding: Finding | None) -> str | None:
    if not _failed(row):
        return None
    return finding.summary if finding is not None else row.error or f"{row.status} {row.reason}".strip()


def _status(message: str | None) -> dict[str, Any]:
    return {"status": {"code": _ERROR, "message": clean(message, _LONGEST)}} if message is not None else {}


def _nanoseconds(at: int | None) -> str:
    """A 64-bit number is text in protobuf's JSON."""
    return str(min(max(at or 0, 0), (1 << 63) - 1))


def _attributes(told: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in told.items() if value is not None]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(each) for each in value[:_MOST_OF_A_SPAN]]}}
    if isinstance(value, int) and -(1 << 63) <= value < 1 << 63:
        return {"intValue": str(int(value))}
    return {"stringValue": clean(str(value), _LONGEST)}
