"""The peer's orderly end where an answer was due: on a fresh connection, in a conversation, after a rest."""

from __future__ import annotations

from systrace.messages.http import HttpRequest, HttpResponse
from systrace.model import Fault, Socket
from systrace.rules.case.index import SECOND, Case


def stood(case: Case, socket: Socket) -> bool:
    """It was a connection, at some time."""
    return socket.type in ("stream", "unknown") and case.connected(socket)


def answer_was_due(case: Case, socket: Socket) -> bool:
    """Whether what was sent last asked for something. A program that went on to end well may have sent a farewell, a
    line of a log: only a request of a protocol that answers each proves otherwise.
    """
    process = case.process(socket)
    if case.fate(process) != "ok":
        return True
    last = socket.messages[-1] if socket.messages else None
    return isinstance(last, HttpRequest) and last.complete


def end_without_answer(case: Case, socket: Socket) -> Fault | None:
    """The peer's end where the first byte of its answer was due: on a fresh connection, or at once in a conversation."""
    end = case.end_of_file(socket) if stood(case, socket) else None
    if end is None or socket.unseen or case.is_dns(socket):
        return None
    if (end.received_before or end.turn >= 2) and not in_conversation(socket, end):
        return None
    first = case.first_error(socket)
    if first is not None and case.at(first.event) < case.at(end.event):
        return None
    due = answer_was_due(case, socket) if end.sent_before else _greeting_was_due(case, socket, end)
    return end if due else None


def in_conversation(socket: Socket, end: Fault) -> bool:
    """The request followed at once on an answer that did not announce the end: the peer had not closed before it came, as no
    idle limit is so short.
    """
    if end.turn < 2 or not end.unanswered or end.idle_ns is None or end.idle_ns >= SECOND:
        return False
    answers = [m for m in socket.messages if isinstance(m, HttpResponse) and m.complete]
    kept = (answers[-1].header("connection") or "").lower() if answers else ""
    return "close" not in kept and not (answers and answers[-1].version == "1.0" and "keep-alive" not in kept)


def _greeting_was_due(case: Case, socket: Socket, end: Fault) -> bool:
    """The program failed, and not a byte came before the end: it receives by calls that this log shows."""
    shown = case.sees_read or end.event.record.syscall.startswith("recv")
    return shown and bool(socket.attempts) and case.fate(case.process(socket)) == "failed"
