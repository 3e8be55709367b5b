"""connect(2) in all its forms gives one attempt with one outcome: blocking, EINPROGRESS with poll and SO_ERROR,
a second connect, SO_SNDTIMEO, SIGALRM (verdicts 2.2, 2.4).
"""

from __future__ import annotations

from systrace.calls.errnos import OF_CONNECT, UNKNOWN
from systrace.model import ENDED, Attempt, Connected, Event, OptionGot, Record, Socket, Transfer
from systrace.streams.growing import grown
from systrace.streams.states import after

_ASYNCHRONOUS = ("EINPROGRESS", "EALREADY", "EAGAIN")
_IS_OVER = ("EPIPE", "ENOTCONN")  # its own error is taken already: while it is under way, they would give EAGAIN
_SLOW_NS = 150_000_000  # a blocking connect that returns EINPROGRESS after this long ran into SO_SNDTIMEO
_MOST = 64


def pending(socket: Socket) -> Attempt | None:
    """The attempt whose outcome is still open."""
    if socket.attempts and socket.attempts[-1].outcome == "pending":
        return socket.attempts[-1]
    return None


def unsettled(socket: Socket) -> Attempt | None:
    """The attempt whose outcome something may still tell: pending, or ended unseen."""
    if socket.attempts and socket.attempts[-1].outcome in ("pending", "unknown"):
        return socket.attempts[-1]
    return None


def connect(socket: Socket, event: Connected) -> None:
    """A connect call: begins an attempt, or asks again for the outcome of one."""
    record = event.record
    if event.peer is not None:
        socket.peer = event.peer
    socket.role = "client"
    attempt = pending(socket)
    if attempt is not None:
        attempt.events.append(event)
    elif record.errno in ("EISCONN", "EALREADY") and socket.attempts:
        if record.errno == "EISCONN" and socket.attempts[-1].outcome == "unknown":
            settle(socket, socket.attempts[-1], "connected", None, record.time_ns, event)
        return
    else:
        attempt = Attempt(event.peer, record.time_ns, [event], blocking=not socket.nonblock)
        if len(socket.attempts) < _MOST:
            socket.attempts = grown(socket.attempts, attempt)
        socket.state = after(socket.state, "connect")
    if not (record.pending or record.interrupted):
        _returned(socket, attempt, record)


def _returned(socket: Socket, attempt: Attempt, record: Record) -> None:
    """What a connect that returned says of its attempt."""
    if record.outcome == ENDED:
        settle(socket, attempt, "unknown", None, None, None)
    elif record.errno is None or record.errno == "EISCONN":
        settle(socket, attempt, "connected", None, record.end_ns or record.time_ns, None)
    elif record.errno not in _ASYNCHRONOUS:
        settle(socket, attempt, "failed", record.errno, record.end_ns or record.time_ns, None)
    elif (record.duration_ns or 0) >= _SLOW_NS:
        attempt.limit_ns, attempt.limit_source = socket.sndtimeo_ns or record.duration_ns, "SO_SNDTIMEO"
        attempt.end_ns = record.end_ns
    elif record.errno != "EALREADY":
        attempt.blocking = False


def error_read(socket: Socket, event: OptionGot) -> None:
    """SO_ERROR was read: the outcome of a pending attempt, unless it was asked before the socket was ready."""
    attempt = unsettled(socket)
    if attempt is None or event.error is None:
        return
    attempt.events.append(event)
    time_ns = attempt.ready_ns or event.record.time_ns
    if event.error:
        settle(socket, attempt, "failed", event.error, time_ns, None)
    elif attempt.ready_ns is not None or socket.waiting is None:
        settle(socket, attempt, "connected", None, time_ns, None)


def failed_by(socket: Socket, event: Transfer) -> bool:
    """Whether a transfer got the error of the connect that is under way: that is no error of a connection (socket(7))."""
    attempt, record = pending(socket), event.record
    if attempt is None:
        return False
    unasked = record.errno in _IS_OVER
    if record.errno not in OF_CONNECT and not unasked:
        return False
    when = attempt.ready_ns if attempt.ready_ns is not None else record.end_ns or record.time_ns
    settle(socket, attempt, "failed", UNKNOWN if unasked else record.errno, when, event)
    return True


def _has_failed(attempt: Attempt) -> bool:
    """A wait said that it has come to nothing, not of what."""
    return "ERR" in attempt.ready_text or "HUP" in attempt.ready_text


def settle(
    socket: Socket, attempt: Attempt, outcome: str, errno: str | None, time_ns: int | None, event: Event | None
) -> None:
    """Give an attempt its outcome."""
    if attempt.outcome == "unknown" and outcome == "connected":
        time_ns = None  # it stood by now; since when is not known
    attempt.outcome, attempt.errno = outcome, errno
    attempt.end_ns = time_ns
    if event is not None:
        attempt.events.append(event)
    socket.state = after(socket.state, outcome)
    if outcome == "connected" and socket.last_progress_ns is None:
        socket.last_progress_ns = time_ns


def settle_if_ready(socket: Socket, event: Event | None) -> bool:
    """Give an attempt that a wait reported ready, and that nobody asked about, its outcome: it stood, or had failed."""
    attempt = pending(socket)
    if attempt is None or not attempt.ready_text:
        return False
    failed = _has_failed(attempt)
    settle(socket, attempt, "failed" if failed else "connected", UNKNOWN if failed else None, attempt.ready_ns, event)
    return True


def give_up(socket: Socket, time_ns: int | None, event: Event | None) -> None:
    """The socket goes away while an attempt is open: a deadline, unless it was ready and nobody asked."""
    attempt = pending(socket)
    if attempt is None or settle_if_ready(socket, event):
        return
    span = socket.waiting
    if span is not None and attempt.limit_ns is None:
        attempt.limit_source = span.limit_source
        if span.timed_out and span.calls == 1:
            attempt.limit_ns = span.limit_ns
        elif span.timed_out and span.start_ns is not None and span.end_ns is not None:
            attempt.limit_ns = span.end_ns - span.start_ns
    settle(socket, attempt, "abandoned", None, attempt.end_ns or time_ns, event)
