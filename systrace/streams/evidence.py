"""The end of the second stage: everything the tracker knows, as the evidence that rules read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from systrace.look.lines import look_of
from systrace.look.nouns import Look
from systrace.messages.dns import DnsMessage
from systrace.messages.http import HttpRequest, bare_host
from systrace.messages.tls import TlsHello
from systrace.model import Event, Evidence, Health, Message, Socket, Source
from systrace.streams.tracker import Tracker


def finished_evidence(tracker: Tracker, source: Source, health: Health, messages: list[Message]) -> Evidence:
    """Put together what was found; names from DNS answers are entered at the sockets that used them."""
    answers = _answers(messages)
    names = {address: found[0][1] for address, found in answers.items()}
    _enter_names(tracker.lookup.sockets, answers, messages)
    for process in tracker.tasks.processes.values():
        process.pending = [span.events[-1] for span in process.spans if span.events[-1].record.pending]
    if tracker.forgotten:
        health.limits.append(f"{tracker.forgotten} sockets are no longer listed")
    if tracker.forgotten_processes:
        health.limits.append(f"{tracker.forgotten_processes} processes that ended are no longer listed")
    looks = _looks(tracker)
    if looks and not health.records:  # the look is all there is
        source.first_ns = source.last_ns = looks[0].time_ns
    return Evidence(
        source,
        health,
        tracker.tasks.processes,
        tracker.lookup.sockets,
        messages,
        tracker.spans,
        names,
        tracker.owners | {tid: task.process.pid for tid, task in tracker.tasks.by_tid.items()},
        tracker.printed,
        tracker.forgotten_connections,
        looks,
        observations=list(tracker.observations),
    )


Answers = dict[str, list[tuple[int, str]]]  # address -> (when, name), in the log's order


def _answers(messages: list[Message]) -> Answers:
    found: Answers = {}
    for message in messages:
        for name, kind, value in message.answers if isinstance(message, DnsMessage) else ():
            if kind in ("A", "AAAA"):
                found.setdefault(value, []).append((_at(message.events), name))
    return found


def _enter_names(sockets: dict[str, Socket], answers: Answers, messages: list[Message]) -> None:
    """The name of an address; of several (a CDN, an ingress) that which the client calls it, else that of the last look-up
    before.
    """
    called: dict[str, str] | None = None
    for socket in sockets.values():
        if socket.peer is None or not socket.peer.host:
            continue
        found = answers.get(socket.peer.host)
        socket.name = found[0][1] if found else None
        if found is None or all(name == found[0][1] for _, name in found):
            continue
        called = _called(messages) if called is None else called
        own = called.get(socket.uid, "")
        begun = next((_at(each.events) for each in socket.attempts), _at(socket.timeline))
        before = [name for when, name in found if when <= begun]
        socket.name = next((name for _, name in found if name.lower() == own), before[-1] if before else found[0][1])


def _called(messages: list[Message]) -> dict[str, str]:
    """By socket: the server's name in the client's hello or request."""
    found: dict[str, str] = {}
    for message in messages:
        if isinstance(message, TlsHello) and message.client and message.sni:
            found.setdefault(message.socket, message.sni.lower())
        elif isinstance(message, HttpRequest) and message.host:
            found.setdefault(message.socket, bare_host(message.host))
    return found


def _at(events: Sequence[Event]) -> int:
    """The time of the first, or its line in a log without a clock."""
    if not events:
        return 0
    record = events[0].record
    return record.time_ns if record.time_ns is not None else record.lineno


def _looks(tracker: Tracker) -> tuple[Look, ...]:
    """The looks in the head of a recording, each from all of its lines."""
    values: dict[object, list[dict[str, Any]]] = {}
    for value in tracker.snapshots:
        values.setdefault(value.get("pid"), []).append(value)
    return tuple(look for each in values.values() if (look := look_of(each)) is not None)
