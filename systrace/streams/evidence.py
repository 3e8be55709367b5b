"""The end of the second stage: everything the tracker knows, as the evidence that rules read."""

from __future__ import annotations

from systrace.messages.dns import DnsMessage
from systrace.model import DETACHED, UNFINISHED, Evidence, Health, Message, Source
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
        process.pending = [
            span.events[-1] for span in process.spans if span.events[-1].record.outcome in (UNFINISHED, DETACHED)
        ]
    if tracker.forgotten:
        health.limits.append(f"{tracker.forgotten} sockets are no longer listed")
    if tracker.forgotten_processes:
        health.limits.append(f"{tracker.forgotten_processes} processes that ended are no longer listed")
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
    )
