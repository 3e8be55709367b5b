"""An analysis as plain data, by the contract of `shape`: what JSON, rows and tables are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

from systrace.messages.transactions import Transaction, transactions
from systrace.model import Analysis, Evidence, Finding, Health, Line, Message, Moment, Process, Socket
from systrace.reporters.shapes.shape import (
    FindingShape,
    HealthShape,
    LineShape,
    MessageShape,
    MomentShape,
    ProcessShape,
    ReportShape,
    SocketShape,
    SourceShape,
    TransactionShape,
)
from systrace.reporters.words.endings import ended_by, silence_ns

Since = Callable[[int | None], float | None]


def as_dict(analysis: Analysis) -> ReportShape:
    """The report as plain data."""
    report = {name: list(part) if isinstance(part, Iterator) else part for name, part in parts(analysis)}
    return cast(ReportShape, encodable(report))


def parts(analysis: Analysis) -> Iterator[tuple[str, object]]:
    """(name, value) of the report, in order; an iterator stands for a list."""
    evidence = analysis.evidence
    since, files = _since(evidence), evidence.source.files
    said = servers_words(evidence)
    causes: dict[str, list[str]] = {}
    for finding in analysis.findings:
        if finding.socket is not None and finding.cause not in causes.setdefault(finding.socket, []):
            causes[finding.socket].append(finding.cause)
    verdict = analysis.verdict
    yield "schema", "systrace-report/1"
    yield "source", _source(evidence)
    yield (
        "verdict",
        {
            "outcome": verdict.outcome,
            "cause": verdict.cause,
            "peer": verdict.peer,
            "finding": verdict.finding,
            "headline": verdict.headline,
        },
    )
    yield "findings", (_finding(f, since) for f in analysis.findings)
    yield "course", (_moment(m, since) for m in analysis.course)
    sockets = evidence.sockets.values()
    yield "sockets", (_socket(s, since, causes.get(s.uid, [])) for s in sockets if s.kind == "socket")
    yield "processes", (_process(p) for p in evidence.processes.values())
    yield "messages", (_message(m, since) for m in evidence.messages)
    yield "transactions", (_transaction(t, since, files, said) for t in transactions(evidence))
    yield "health", _health(evidence.health)


def transaction_dicts(evidence: Evidence) -> list[TransactionShape]:
    """The HTTP requests as plain data."""
    since, files, said = _since(evidence), evidence.source.files, servers_words(evidence)
    return cast(
        list[TransactionShape], encodable([_transaction(t, since, files, said) for t in transactions(evidence)])
    )


def servers_words(evidence: Evidence) -> dict[tuple[str, int | None], str]:
    """(socket, line of the request) -> what the server's own log says of it."""
    found: dict[tuple[str, int | None], str] = {}
    for each in evidence.observations:
        if each.kind in ("server-answered", "server-saw-nothing"):
            value = each.value
            gave_up = {"client": ", the client had gone", "server": ", it gave up on what is behind it"}
            text = f"{value.get('status')} after {value.get('after_s')} s{gave_up.get(str(value.get('gave_up')), '')}"
            text = "no line of it" if each.kind == "server-saw-nothing" else text
            found[each.subject, value.get("request_line")] = f"{text} ({each.source})"
    return found


def _since(evidence: Evidence) -> Since:
    first = evidence.source.first_ns

    def since(time_ns: int | None) -> float | None:
        return None if time_ns is None or first is None else round((time_ns - first) / 1e9, 9)

    return since


def encodable(value: Any) -> Any:
    """Text with lone surrogates (file names that are not UTF-8) is no JSON: they are written as \\uNNNN."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {key: encodable(each) for key, each in value.items()}
    return [encodable(each) for each in value] if isinstance(value, list) else value


def _source(evidence: Evidence) -> SourceShape:
    source = evidence.source
    span = None
    if source.first_ns is not None and source.last_ns is not None:
        span = round((source.last_ns - source.first_ns) / 1e9, 9)
    style = source.style
    return cast(
        SourceShape,
        {
            "files": source.files,
            "strace_version": source.facts.get("strace_version"),
            "style": {
                "pid": style.pid,
                "clock": style.clock,
                "duration": style.duration,
                "fd": style.fd,
                "wrapper": style.wrapper or None,
            },
            "first_time": _first_time(source.first_ns, style.clock),
            "span_s": span,
            "command": source.facts.get("command") or _first_command(evidence),
            "host": source.facts.get("host"),
            "ended_by": ended_by(source),
        },
    )


def _first_command(evidence: Evidence) -> list[str] | None:
    first = next(iter(evidence.processes.values()), None)
    return list(first.argv) if first is not None and first.argv else None


def _first_time(first_ns: int | None, clock: str) -> str | float | None:
    if first_ns is None or clock in ("none", "relative"):
        return None
    if clock == "epoch":
        return first_ns / 1e9
    seconds, fraction = divmod(first_ns, 10**9)
    return f"{seconds // 3600 % 24:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{fraction // 1000:06}"


def _moment(moment: Moment, since: Since) -> MomentShape:
    return cast(
        MomentShape,
        {
            "time_s": since(moment.time_ns),
            "who": moment.who,
            "text": moment.text,
            "link": moment.link,
            "file": moment.file,
            "line": moment.line,
        },
    )


def _finding(finding: Finding, since: Since) -> FindingShape:
    return cast(
        FindingShape,
        {
            "cause": finding.cause,
            "variant": finding.variant or None,
            "severity": finding.severity,
            "confidence": finding.confidence,
            "socket": finding.socket,
            "peer": finding.peer,
            "pid": finding.pid or None,
            "command": finding.command,
            "time_s": since(finding.time_ns),
            "duration_s": _seconds(finding.duration_ns),
            "summary": finding.summary,
            "evidence": [_evidence(line, since) for line in finding.lines],
            "causes": list(finding.causes),
            "next_steps": [str(step) for step in finding.next_steps],
            "remedy": list(finding.remedy),
            "refuted_by": finding.refuted_by,
            "count": finding.count,
        },
    )


def _evidence(line: Line, since: Since) -> LineShape:
    return {
        "file": line.file,
        "line": line.line,
        "time_s": since(line.time_ns),
        "who": line.who or None,
        "direction": line.direction or None,
        "text": line.text,
        "raw": line.raw,
    }


def _seconds(ns: int | None) -> float | None:
    return None if ns is None else round(ns / 1e9, 9)


def _socket(socket: Socket, since: Since, causes: list[str]) -> SocketShape:
    connected = next((a for a in socket.attempts if a.outcome == "connected"), None)
    return {
        "id": socket.uid,
        "family": socket.family,
        "type": socket.type,
        "local": str(socket.local) if socket.local is not None else None,
        "peer": str(socket.peer) if socket.peer is not None else None,
        "name": socket.name,
        "role": socket.role,
        "owners": [{"pid": h.pid or None, "fd": h.fd} for h in socket.holders],
        "opened_s": since(socket.opened_ns),
        "connect_s": _seconds(connected.duration_ns) if connected is not None else None,
        "closed_s": since(socket.closed_ns),
        "bytes_sent": socket.sent.original_len,
        "bytes_received": socket.received.original_len,
        "longest_silence_s": _seconds(silence_ns(socket)),
        "keepalive": {
            "on": socket.keepalive.on,
            "idle_s": socket.keepalive.idle_s,
            "interval_s": socket.keepalive.interval_s,
            "count": socket.keepalive.count,
        },
        "protocol": socket.app_protocol,
        "state": socket.state,
        "causes": causes,
    }


def _process(process: Process) -> ProcessShape:
    return {
        "pid": process.pid or None,
        "ns_pid": process.ns_pid,
        "parent": process.parent or None,
        "command": process.command,
        "argv": list(process.argv),
        "exit_code": process.exit_code,
        "signal": process.signal,
    }


def _message(message: Message, since: Since) -> MessageShape:
    return cast(
        MessageShape,
        {
            "socket": message.socket,
            "direction": message.direction,
            "time_s": since(message.start_ns),
            "end_s": since(message.end_ns),
            "protocol": message.protocol,
            "summary": message.summary,
            "complete": message.complete,
        },
    )


def _transaction(
    each: Transaction, since: Since, files: list[str], said: dict[tuple[str, int | None], str]
) -> TransactionShape:
    server = said.get((each.socket, each.line))
    return cast(
        TransactionShape,
        {
            "socket": each.socket,
            "role": each.role,
            "pid": each.pid,
            "command": each.command,
            "method": each.method,
            "url": each.url,
            "status": each.status,
            "reason": each.reason,
            "time_s": since(each.start_ns),
            "dns_s": _seconds(each.dns_ns),
            "connect_s": _seconds(each.connect_ns),
            "tls_s": _seconds(each.tls_ns),
            "first_byte_s": _seconds(each.first_byte_ns),
            "transfer_s": _seconds(each.transfer_ns),
            "total_s": _seconds(each.total_ns),
            "reused": each.reused,
            "request_bytes": each.request_bytes,
            "response_bytes": each.response_bytes,
            "content_type": each.content_type,
            "complete": each.complete,
            "error": each.error or None,
            "file": files[each.source] if each.source < len(files) else "?",
            "line": each.line,
            **({"server": server} if server is not None else {}),
        },
    )


def _health(health: Health) -> HealthShape:
    return {
        "lines": health.lines,
        "records": health.records,
        "unparsed": health.unparsed,
        "unparsed_samples": health.unparsed_samples,
        "orphan_resumes": health.orphan_resumes,
        "foreign": health.foreign,
        "clipped_strings": health.clipped_strings,
        "limits": health.limits,
        "damage": health.damage,
    }
