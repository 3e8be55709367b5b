"""What is unfinished on a connection that a program waited on: the answer, the stream, or nothing at all."""

from __future__ import annotations

from systrace.messages.http import HttpResponse
from systrace.model import Message, Socket
from systrace.rules.case.index import SECOND, Case
from systrace.rules.case.stalls import Stall
from systrace.rules.content.victims import is_last_word


def only_watched(stall: Stall) -> bool:
    """An HTTP/1 connection between two requests, in the set of an event loop (epoll): the loop watches all that its process
    has open, and a server does not speak unasked (RFC 9112 9.3). What the program waits for is something else.
    """
    if stall.span is None or not stall.span.events[-1].record.syscall.startswith("epoll_"):
        return False
    if stall.socket.last_word == "theirs" and stall.socket.turn is None:
        return True  # what was asked before the trace had been answered
    answers = [m for m in stall.socket.messages if isinstance(m, HttpResponse) and m.direction == "received"]
    last = answers[-1] if answers else None
    return last is not None and last.complete and last.framing in ("length", "chunked") and last.status >= 200


def gave_up_on_stream(case: Case, stall: Stall) -> bool:
    """The peer alone speaks on this connection, as on an FTP data connection, so that nothing but its end marks the whole;
    the program waited for more to the last, closed it itself and failed at once.
    """
    socket, span = stall.socket, stall.span
    if socket.sent.calls or socket.messages or not socket.received.original_len or span is None or not case.has_clock:
        return False
    process = stall.process
    if process is None or case.fate(process) != "failed" or stall.ended not in ("limit", "close"):
        return False
    if (stall.waited_ns or 0) < SECOND or span.end_ns is None or process.end_ns is None:
        return False
    return process.end_ns - span.end_ns < SECOND and is_last_word(case, process, span.end_ns, socket)


def died_of_limit(case: Case, stall: Stall) -> bool:
    """A protocol that nobody decodes: what was awaited is unknown, but the limit on it was the last thing before the end."""
    socket, span, process = stall.socket, stall.span, stall.process
    if stall.ended != "limit" or span is None or process is None or socket.app_protocol is not None or socket.messages:
        return False
    if case.fate(process) != "failed" or span.end_ns is None or process.end_ns is None:
        return False
    return process.end_ns - span.end_ns < SECOND and is_last_word(case, process, span.end_ns, socket)


def is_slow_transfer(case: Case, socket: Socket) -> bool:
    turn = socket.turn
    if turn is None or turn.answer_bytes == 0 or turn.first_answer_ns is None or turn.last_answer_ns is None:
        return False
    if case.end_of_file(socket) is not None or case.first_error(socket) is not None:
        return False
    spread = turn.last_answer_ns - turn.first_answer_ns
    end = socket.closed_ns or last_moment(case, socket)
    if spread < SECOND or socket.received.calls < 3 or end is None:
        return False
    return open_answer(socket) is not None and end - turn.last_answer_ns <= max(spread, SECOND)


def last_moment(case: Case, socket: Socket) -> int | None:
    process = case.process(socket)
    return process.end_ns if process is not None and process.end_ns is not None else case.last_ns


def open_answer(socket: Socket) -> Message | None:
    for message in reversed(socket.messages):
        if message.direction == "received":
            return None if message.complete else message
    return None
