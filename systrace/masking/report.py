"""An analysis before anybody prints it: every text of it that a trace can influence, masked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

from systrace.masking.masks import Masks
from systrace.messages.http import HttpMessage
from systrace.model import Analysis, Endpoint, Finding, Line, Received, Record, Sent, Socket, Step

_MOST_BYTES = 4 << 20  # looked at for secrets that are repeated elsewhere
_OF_A_SOCKET = 64 << 10
_AS_IS = frozenset("cause variant severity confidence socket peer file recovered".split())  # ids, and places


def mask_analysis(analysis: Analysis, masks: Masks) -> None:
    """Mask the texts of an analysis in place; `Evidence.masks` has the masks for those who show bytes."""
    evidence = analysis.evidence
    evidence.masks = masks
    if masks.shown:
        return
    _learn(analysis, masks)
    masks.settle()
    for process in evidence.processes.values():
        process.argv = tuple(masks.words(process.argv))
    for socket in evidence.sockets.values():
        _mask_paths(socket, masks)
    for message in evidence.messages:
        message.summary = masks.text(message.summary)
    analysis.findings[:] = [masked(finding, masks) for finding in analysis.findings]
    analysis.course[:] = [
        replace(each, text=masks.text(each.text), who=masks.text(each.who)) for each in analysis.course
    ]
    verdict = analysis.verdict
    verdict.headline, verdict.peer = masks.text(verdict.headline), _peer(verdict.peer, masks)
    health, facts = evidence.health, evidence.source.facts
    for texts in (health.unparsed_samples, health.damage, health.limits):
        texts[:] = [masks.text(text) for text in texts]
    if isinstance(command := facts.get("command"), list) and all(isinstance(word, str) for word in command):
        facts["command"] = masks.words(command)


def masked(value: Any, masks: Masks) -> Any:
    """A finding, and all that it consists of: new fields of it are masked as well."""
    if isinstance(value, str):
        return masks.text(value)
    if isinstance(value, list | tuple):
        return type(value)([masked(each, masks) for each in value])
    if isinstance(value, Finding | Line | Step):
        changed: dict[str, Any] = {"peer": _peer(value.peer, masks)} if isinstance(value, Finding) else {}
        changed |= {f.name: masked(getattr(value, f.name), masks) for f in fields(value) if f.name not in _AS_IS}
        return replace(value, **changed)
    return value


def _mask_paths(socket: Socket, masks: Masks) -> None:
    """A path of a UNIX socket is a program's choice, and may hold anything."""
    socket.local, socket.peer = _place(socket.local, masks), _place(socket.peer, masks)
    for attempt in socket.attempts:
        attempt.peer = _place(attempt.peer, masks)


def _place(place: Endpoint | None, masks: Masks) -> Endpoint | None:
    path = masks.text(place.path) if place is not None else ""
    return place if place is None or path == place.path else replace(place, path=path)


def _peer(peer: str | None, masks: Masks) -> str | None:
    return masks.text(peer) if peer is not None and peer.startswith("unix:") else peer


def evidence_text(record: Record, masks: Masks) -> bytes:
    """The line of a record; of an abridged one its secrets are found where it is still whole."""
    raw = record.raw
    begin, end = raw.find(b"(") + 1, raw.rfind(b") ")
    cut = raw.find(b" ... ")
    if masks.shown or not 0 < begin < cut < end or len(raw) < 600:
        return raw
    args = masks.line(record.args, argv=True)
    whole = raw[:begin] + args + raw[end:]
    return whole[:460] + b" ... " + whole[-200:]


def _learn(analysis: Analysis, masks: Masks) -> None:
    """The secrets of those parts of the log that the report is made of."""
    evidence = analysis.evidence
    for process in evidence.processes.values():
        masks.learn_argv(process.argv)
    left = _MOST_BYTES
    for data in _streams(analysis):
        masks.learn(data)
        left -= len(data)
        if left < 0:
            break


def _streams(analysis: Analysis) -> Iterator[bytes]:
    """What went over the sockets that matter, each direction as one; then what other evidence and messages show."""
    evidence = analysis.evidence
    concerned = dict.fromkeys(finding.socket for finding in analysis.findings if finding.socket in evidence.sockets)
    spoken = {uid: None for uid, socket in evidence.sockets.items() if socket.app_protocol not in (None, "tls", "dns")}
    for uid in concerned | spoken:
        moves = [event for event in evidence.sockets[uid or ""].timeline if isinstance(event, Sent | Received)]
        for kind in (Sent, Received):
            yield _joined([event for event in moves if type(event) is kind])
    for finding in analysis.findings:
        for event in finding.evidence:
            if isinstance(event, Sent | Received):
                yield _joined([event])
    yield from dict.fromkeys(message.head for message in evidence.messages if isinstance(message, HttpMessage))


def _joined(events: list[Sent | Received]) -> bytes:
    out: list[bytes] = []
    left = _OF_A_SOCKET
    for event in events:
        for known, _length in event.payload() if left > 0 else ():
            out.append(known[:left])
            left -= len(known)
    return b"".join(out)
