"""The end of the second stage: everything the tracker knows, as the evidence that rules read."""

from __future__ import annotations

from typing import Any

from systrace.look.lines import look_of
from systrace.look.nouns import Look
from systrace.messages.dns import DnsMessage
from systrace.model import Evidence, Health, Message, Source
from systrace.streams.tracker import Tracker


def finished_evidence(tracker: Tracker, source: Source, health: Health, messages: list[Message]) -> Evidence:
    """Put together what was found; names from DNS answers are entered at the sockets that used them."""
    names: dict[str, str] = {}
    for message in messages:
        for name, kind, value in message.answers if isinstance(message, DnsMessage) else ():
            if kind in ("A", "AAAA"):
                names.setdefault(value, name)
    for socket in tracker.lookup.sockets.values():
        if socket.peer is not None and socket.peer.host:
            socket.name = names.get(socket.peer.host)
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


def _looks(tracker: Tracker) -> tuple[Look, ...]:
    """The looks in the head of a recording, each from all of its lines."""
    values: dict[object, list[dict[str, Any]]] = {}
    for value in tracker.snapshots:
        values.setdefault(value.get("pid"), []).append(value)
    return tuple(look for each in values.values() if (look := look_of(each)) is not None)
