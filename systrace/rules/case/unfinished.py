"""What is unfinished on a connection that a program waited on: the answer, the stream, or nothing at all."""

from __future__ import annotations

from systrace.messages.http import HttpResponse
from systrace.model import DETACHED, Endpoint, Message, Received, Sent, Socket, Span, Waited
from systrace.rules.case.index import SECOND, Case, once
from systrace.rules.case.kernel_word import Word
from systrace.rules.case.sealed import is_sealed
from systrace.rules.case.stalls import Stall
from systrace.rules.content.said import said_by
from systrace.rules.content.victims import is_last_word

_OWN_LIMIT_NS = SECOND // 20
_HUNG_NS = SECOND  # a wait cut off by the end of the log says nothing before a second has passed


def only_watched(stall: Stall) -> bool:
    """An HTTP/1 connection between two requests, in the set of an event loop (epoll): the loop watches all that its process
    has open, and a server does not speak unasked (RFC 9112 9.3). What the program waits for is something else.
    """
    if not _in_event_loop(stall):
        return False
    if stall.socket.last_word == "theirs" and stall.socket.turn is None:
        return True  # what was asked before the trace had been answered
    answers = [m for m in stall.socket.messages if isinstance(m, HttpResponse) and m.direction == "received"]
    last = answers[-1] if answers else None
    return last is not None and last.complete and last.framing in ("length", "chunked") and last.status >= 200


def _in_event_loop(stall: Stall) -> bool:
    return stall.span is not None and stall.span.events[-1].record.syscall.startswith("epoll_")


def awaits_end(socket: Socket, span: Span | None) -> bool:
    """The answer is whole, and the server was asked to close after it, which it must (RFC 9112 9.6): its end is owed, and the
    program waits for nothing else.
    """
    last = socket.messages[-1] if socket.messages else None
    if not isinstance(last, HttpResponse) or not last.complete or last.framing not in ("length", "chunked"):
        return False
    asked = last.request.header("connection", "") if last.request is not None else ""
    call = span.events[-1] if span is not None else None
    alone = isinstance(call, Received) or (isinstance(call, Waited) and call.epoll_fd < 0 and len(call.fds) == 1)
    return alone and "close" in [option.strip() for option in (asked or "").lower().split(",")]


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
    """A protocol that nobody decodes, or that TLS hides: what was awaited is unknown, but the limit on it was the last thing
    before the end.
    """
    socket, span, process = stall.socket, stall.span, stall.process
    if stall.ended != "limit" or span is None or process is None:
        return False
    if (socket.app_protocol is not None or socket.messages) and not is_sealed(socket):
        return False
    if case.fate(process) != "failed" or span.end_ns is None or process.end_ns is None:
        return False
    if is_sealed(socket) and _in_event_loop(stall) and not said_by(case, process).timed_out:
        return False  # whose timer ran out is not known: connections that are kept for later are watched, too
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


def given_up_by(case: Case, stall: Stall) -> str:
    """What made the program give up: its `limit`, an `alarm`, `itself` (it closed or exited, and failed), or ""."""
    waited = stall.waited_ns
    if stall.ended == "limit" and (waited is None or waited >= _OWN_LIMIT_NS):
        socket = stall.socket
        if (
            stall.phase == "greeting"
            and socket.inherited
            and not socket.closed_by
            and case.fate(stall.process) == "open"
        ):
            return ""  # whether anything was owed the log does not show, nor that the program minded
        if stall.phase == "greeting" and socket.inherited and socket.last_word != "ours" and _in_event_loop(stall):
            return ""  # whose timer ran out is not known: a connection that is kept for later is watched, too
        unproven = waited is None and stall.phase == "middle" and case.fate(stall.process) == "ok"
        return "limit" if not unproven else ""  # without a clock a tick of its loop looks like its limit
    if stall.ended == "signal SIGALRM" or stall.limit_source == "SIGALRM":
        return "alarm"
    left = stall.ended in ("close", "exit") and (waited is None or waited >= SECOND)
    return "itself" if left and case.fate(stall.process) == "failed" else ""


def is_hang(case: Case, stall: Stall) -> bool:
    """Nothing in the program ended the wait, nor would have."""
    if stall.ended in ("limit", "close", "exit", "signal SIGALRM") or stall.limit_source == "SIGALRM":
        return False
    if stall.ended.startswith("broken") or _as_before(case, stall):
        return False
    fate = case.fate(stall.process)
    pushed = _only_reads(case, stall)
    owed = fate == "killed" and awaits_end(stall.socket, stall.span)
    bounded = stall.phase == "idle" and stall.limit_ns is not None and not owed
    left = stall.span is not None and stall.span.events[-1].record.outcome == DETACHED
    if left and not (bounded and stall.span is not None and stall.span.calls == 1):  # slices have no limit as a whole
        return True
    if stall.cut and fate == "open" and (stall.phase in ("answer", "greeting") or pushed):
        return True
    if bounded or (stall.phase == "idle" and (stall.waited_ns or 0) < 30 * SECOND and fate != "killed"):
        return False
    return stall.waited_ns is None or stall.waited_ns >= _HUNG_NS


def _as_before(case: Case, stall: Stall) -> bool:
    """The recording ends before this wait has lasted as long as others for the same peer did, which were answered: a long
    poll, a queue that is asked for the next item, a stream with a heartbeat. Nothing is late.
    """
    waited, peer = stall.waited_ns, stall.socket.peer
    if stall.ended != "log end" or waited is None or "end" not in case.evidence.source.facts:
        return False  # when somebody else's log ended is not known
    return waited <= max(_longest_answered(stall.socket), _longest_by_peer(case).get(peer, 0))


@once
def _longest_by_peer(case: Case) -> dict[Endpoint | None, int]:
    longest: dict[Endpoint | None, int] = {None: 0}
    for socket in case.clients:
        if socket.peer is not None:
            longest[socket.peer] = max(longest.get(socket.peer, 0), _longest_answered(socket))
    return longest


def _longest_answered(socket: Socket) -> int:
    """The longest wait on a connection that bytes ended, in ns."""
    waits = (span for span in socket.waits if span.ended_by == "data" and span.direction == "r")
    lasted = [span.duration_ns or 0 for span in waits]
    turn = socket.longest_turn
    if turn is not None and turn.first_answer_ns is not None and turn.request_end_ns is not None:
        lasted.append(turn.first_answer_ns - turn.request_end_ns)
    return max(lasted, default=0)


def _only_reads(case: Case, stall: Stall) -> bool:
    """The waiting process never sends on this connection: it waits for more, or for the end (`cat </dev/tcp/...`)."""
    owners, pid = case.evidence.owners, stall.process.pid if stall.process is not None else None
    return not any(isinstance(e, Sent) and owners.get(e.record.tid) == pid for e in stall.socket.timeline)


def path_died(case: Case, stall: Stall, word: Word | None) -> bool:
    """The kernel says that the path or the peer's host was dead, and the program minded: that outweighs what it did then."""
    return word is not None and word.lost and _minded(case, stall)


def _minded(case: Case, stall: Stall) -> bool:
    """The program gave the wait up, hung in it, or failed: what it leaves behind when all is well is no loss."""
    if stall.phase == "idle" and not (gave_up_on_stream(case, stall) or died_of_limit(case, stall)):
        return False
    if stall.direction == "w":
        return stall.ended not in ("close", "exit") or case.fate(stall.process) != "ok"
    return bool(given_up_by(case, stall)) or is_hang(case, stall)
