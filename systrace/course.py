"""The course of events that led to the verdict: a few moments in order, across processes, sockets and what others saw.

Names, connections, requests and waits happen one *then* the other; what a process did of it happened *therefore*.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from systrace.messages.dns import DnsMessage
from systrace.model import Analysis, Event, Evidence, Finding, Moment, Process, Socket
from systrace.words import duration, seconds

_MOST = 14
_ENDS = ("ended with ", "was killed by ")


def course(analysis: Analysis) -> list[Moment]:
    """In order of time; empty where the verdict rests on no finding."""
    at, evidence = analysis.verdict.finding, analysis.evidence
    if at is None or at >= len(analysis.findings):
        return []
    finding = analysis.findings[at]
    socket = evidence.sockets.get(finding.socket or "")
    found = [*_proof(finding), *_ends(evidence, finding)]
    if socket is not None:
        found = [*_before(evidence, socket), *found, *_elsewhere(evidence, socket)]
    unique: dict[tuple[str, int, str], Moment] = {}
    for moment in found:
        unique.setdefault((moment.file, moment.line, "" if moment.line else moment.text), moment)
    ordered = sorted(unique.values(), key=lambda each: (each.time_ns is None, each.time_ns or 0, each.line))
    kept = ordered if len(ordered) <= _MOST else [*ordered[: _MOST // 2], *ordered[-_MOST // 2 :]]
    return [replace(each, link="" if number == 0 else each.link or "then") for number, each in enumerate(kept)]


def _proof(finding: Finding) -> Iterator[Moment]:
    for line in finding.lines:
        link = "therefore" if line.told.startswith(_ENDS) else ""
        yield Moment(line.time_ns, line.who, line.told or line.raw, link, line.file, line.line)


def _before(evidence: Evidence, socket: Socket) -> Iterator[Moment]:
    """The look-up of the peer's name, and the connect."""
    attempt = socket.attempts[-1] if socket.attempts else None
    limit = attempt.start_ns if attempt is not None else socket.opened_ns
    told = [m for m in evidence.messages if isinstance(m, DnsMessage) and m.is_response and m.question == socket.name]
    known = [m for m in told if limit is None or (m.end_ns or 0) <= limit]
    for message in sorted(known, key=lambda m: bool(m.addresses))[-1:]:
        addresses = ", ".join(message.addresses[:3]) or message.rcode
        yield _of(evidence, message.events, message.end_ns, f"was told that {message.question} is {addresses}")
    if attempt is not None and attempt.start_ns is not None:
        how = {"connected": "connected to", "failed": "could not connect to"}.get(
            attempt.outcome, "tried to connect to"
        )
        took = f" in {duration(attempt.duration_ns)}" if attempt.duration_ns is not None else ""
        error = f" ({attempt.errno})" if attempt.errno else ""
        yield _of(evidence, attempt.events, attempt.start_ns, f"{how} {attempt.peer or socket.peer}{took}{error}")


def _of(evidence: Evidence, events: list[Event], time_ns: int | None, text: str) -> Moment:
    record = events[0].record if events else None
    process = evidence.processes.get(evidence.owners.get(record.tid, -1)) if record is not None else None
    file = (
        evidence.source.files[record.source]
        if record is not None and record.source < len(evidence.source.files)
        else ""
    )
    return Moment(
        time_ns, process.command if process is not None else "", text, "", file, record.lineno if record else 0
    )


def _ends(evidence: Evidence, finding: Finding) -> Iterator[Moment]:
    """Of the process that met it, and of the job."""
    first = next(iter(evidence.processes.values()), None)
    seen: set[int] = set()
    for process in (evidence.processes.get(finding.pid or -1), first):
        if process is None or process.pid in seen or process.exit_event is None or not _is_bad(process):
            continue
        seen.add(process.pid)
        how = f"was killed by {process.signal}" if process.signal else f"ended with exit status {process.exit_code}"
        told = _of(evidence, [process.exit_event], process.end_ns, how)
        yield replace(told, who=process.command, link="therefore")


def _is_bad(process: Process) -> bool:
    return process.signal is not None or bool(process.exit_code)


def _elsewhere(evidence: Evidence, socket: Socket) -> Iterator[Moment]:
    """What others saw, by this side's clock."""
    for each in evidence.observations:
        peer = str(socket.peer) if socket.peer is not None else ""
        if each.kind == "server-answered" and each.subject == socket.uid:
            status, after = each.value.get("status"), each.value.get("after_s")
            took = f" after {seconds(int(after * 1e9))}" if isinstance(after, int | float) else ""
            text = {
                "client": f"saw that this side had gone{took}",
                "server": f"gave up on what is behind it{took}",
            }.get(str(each.value.get("gave_up")), f"answered{took}")
            asked = socket.turn.request_end_ns if socket.turn is not None else None
            moment = asked + int(after * 1e9) if asked is not None and isinstance(after, int | float) else None
            yield Moment(moment, "the server's side", f"{text} ({status})", "", each.source)
        elif peer and each.subject == peer and isinstance(text_of := each.value.get("text"), str):
            who = "systrace aws" if each.value.get("configured") is True else "systrace check"
            yield Moment(None, who, text_of, "", each.source)
