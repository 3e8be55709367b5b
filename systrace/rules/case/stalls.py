"""Where a conversation stands still: what was awaited, for how long, and what ended the wait. Shared by the rules."""

from __future__ import annotations

import re
from collections.abc import Iterator

from systrace.calls import (
    EPOLLS,
    FORKS,
    INCOMING,
    LOOPS,
    POLLS,
    RECEIVES,
    SELECTS,
    SENDS,
    SIGNALS,
    SOCKETS,
    WRITES,
    either,
)
from systrace.dataclass import dataclass
from systrace.messages.replies import Request
from systrace.messages.tls import TlsAlert
from systrace.model import DETACHED, RESTARTED, UNFINISHED, Event, Fact, Process, Sent, Socket, Span
from systrace.rules.case.datagrams import expects_answers
from systrace.rules.case.index import SECOND, Case, once
from systrace.rules.case.sealed import exchange_of, parted_after

# strace prints a call up to the first thing that only the kernel's answer can tell, and waits; a log that ends just there
# ends in a blocked call, not in the middle of anything. Elsewhere a cut says nothing.
_AT_ENTRY = re.compile(
    rb"(?:%s)\((?:\w+=)?\d+(?:<[^\n]*>)?,\s*\Z|(?:%s)\([^\n]*,\s*(?:-?\d+|NULL|\{[^}]*\})\s*\Z"
    rb"|(?:%s)\(\d+[^\n]*\"(?:\.\.\.)?, \d+\s*\Z" % (either(INCOMING | EPOLLS), either(POLLS | SELECTS), either(WRITES))
)
# What a program dies of while it does something itself: it was not stopped in a wait.
_OWN_FAULTS = frozenset("SIGPIPE SIGSEGV SIGBUS SIGFPE SIGILL SIGABRT SIGSYS SIGTRAP".split())
_SLICES = 2  # calls in a row that ran out: fewer may be the program's own limit
_UPLOAD_CALLS = 4  # sends in a row: more than a request and its body


def at_entry(event: Event) -> bool:
    """Its line ends where strace waits for the kernel: the call blocks."""
    return _AT_ENTRY.search(event.record.raw.rstrip(b"\r\n")) is not None


_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_PAIRS = ((b"(", b")"), (b"[", b"]"), (b"{", b"}"))


def torn_apart(event: Event) -> bool:
    """The line was cut within a string or a structure: strace does not wait for the kernel there, so this is no wait."""
    text = _STRING.sub(b"", event.record.raw.rstrip())
    if b"<unfinished" in text or b" ... " in text:
        return False
    return b'"' in text or any(text.count(a) - text.count(b) - (a == b"(") > 0 for a, b in _PAIRS)


def stood_still(case: Case, pending: Event) -> bool:
    """The call was under way when the tracer came, and still when it left: nothing else is known of that thread."""
    record, first = pending.record, case.evidence.source.first_ns
    resumed = record.syscall == "restart_syscall"  # what strace meets half-way
    attached = record.outcome == DETACHED or case.attached
    if not attached and not resumed:
        return False
    return (attached and resumed) or record.time_ns is None or first is None or record.time_ns - first < SECOND


def met_in(case: Case, process: Process, pending: Event) -> bool:
    """Somebody had attached, as far as can be told: whoever was seen at work before the call was not met in it."""
    first = not process.argv and process.start_ns == pending.record.time_ns
    return case.attached or pending.record.syscall == "restart_syscall" or first


def open_wait(socket: Socket) -> Span | None:
    """The wait that had no end when the log ended."""
    last = socket.waits[-1] if socket.waits else None
    return last if last is not None and last.ended_by in ("", "end of log") else None


def awaits_clients(case: Case, process: Process) -> bool:
    """Attached to a server between two clients: nothing of that process hangs, its workers neither."""
    listeners = [s for s in case.evidence.sockets.values() if s.role == "listener"]
    if not case.attached and not any(s.inherited for s in listeners):
        return False  # a job's own listener may wait for somebody who was to call it back
    pending = any(w.end_ns is None and w.pid == process.pid for s in listeners for w in s.waits)
    if pending or any(span.kind == "accept" and span.ended_by == "" for span in process.spans):
        return True
    waits = {span.limit_source for span in process.spans if span.ended_by == ""}
    if waits and waits <= SIGNALS and _listens(case, process):  # the master of workers
        return True
    return waits <= LOOPS and any(
        s.role == "server" and not s.inherited and s.pid == process.pid for s in case.evidence.sockets.values()
    )


def beside_accept(case: Case, span: Span) -> bool:
    """Without forks in the log, threads look like processes: one that waits for another, or goes on with something that the
    log does not name, while a task waits for clients that was there before the log, may be a thread of that server.
    """
    helper = span.kind in ("futex", "sleep") or span.limit_source == "restart_syscall"
    return helper and not case.shows(FORKS) and _accepts(case)


@once
def _accepts(case: Case) -> bool:
    """Somebody waits for clients at a listener that the log did not see opened."""
    accepting = (p for p in case.evidence.processes.values() if p.parent is None and awaits_clients(case, p))
    return any(span.kind == "accept" and span.ended_by == "" for process in accepting for span in process.spans)


def _listens(case: Case, process: Process) -> bool:
    """It holds an open listener, be it its parent's or its workers': several may wait for the clients of one."""
    listeners = (s for s in case.evidence.sockets.values() if s.role == "listener")
    return any(holder.pid == process.pid and holder.to_ns is None for s in listeners for holder in s.holders)


def rests_in_loop(case: Case, process: Process) -> bool:
    """The log ends while a thread of it waits in its event loop: pools of helpers have nothing to do meanwhile."""
    return process.pid in _in_loops(case)


@once
def _in_loops(case: Case) -> set[int]:
    spans = [span for process in case.evidence.processes.values() for span in process.spans]
    spans += [span for socket in case.evidence.sockets.values() for span in socket.waits]
    return {span.pid for span in spans if span.limit_source in EPOLLS and span.ended_by in ("", "end of log")}


@dataclass(slots=True)
class Stall:
    """A wait on a standing connection that nothing came of."""

    socket: Socket
    process: Process | None
    phase: str  # answer (request out, no byte yet), greeting (nothing said yet), middle (answer begun), idle
    direction: str  # r, w
    ended: str  # limit, signal NAME, broken NAME (by a signal that was no deadline, EINTR), close, exit, log end
    waited_ns: int | None
    limit_ns: int | None
    limit_source: str
    events: list[Event]
    span: Span | None
    seen: bool  # the wait itself is in the log; else it is inferred from what is missing
    cut: bool = False  # the log ends in this very call: it lasted for an unknown time


def stall_of(case: Case, socket: Socket) -> Stall | None:
    """The stall a socket ended in, or None. A wait that bytes, an end or an error answered is none."""
    if (not case.connected(socket) and socket.type != "dgram") or _failed_since(case, socket):
        return None
    process = case.process(socket)
    parted = parted_after(socket)
    span = parted or case.last_wait(socket)
    if _went_on_unseen(case, socket, process, span):
        return None
    if span is None:
        return _inferred(case, socket, process)
    if span.detail == "ready" or _stops_within(case, process, span):
        return None  # something had come, or room to send, and the program did not look; or what came is not recorded
    ended = _end_of(case, span, process)
    waited = _waited(case, socket, span, process)
    # Slices, each of which ran out, sum up to the limit.
    slices = span.timed_out and span.calls > 1 and span.limit_source != "SIGALRM"
    sealed = exchange_of(socket)
    asked = sealed.request if sealed.open else socket.turn.events[0] if socket.turn and socket.turn.events else None
    events = [*([asked] if asked is not None else []), *span.events]
    if ended == "exit" or (ended.startswith("signal") and case.fate(process) != "ok"):
        events += exit_of(process)
    phase = _phase(socket)
    if parted is not None:
        phase = "idle"  # the last turn is the farewell's
    if sealed.open and case.fate(process) != "ok":  # else what was asked may have wanted no answer
        phase = "answer"
    return Stall(
        socket, process, phase, span.direction, ended, waited, waited if slices else span.limit_ns,
        span.limit_source, events, span, True, ended == "log end" and ends_in(case, span),
    )  # fmt: skip


def _failed_since(case: Case, socket: Socket) -> bool:
    """An error or an end came after the last bytes: it answered the wait."""
    last = socket.last_progress_ns
    faults = (fault for fault in socket.faults if fault.kind in ("error", "eof"))
    return any(last is None or case.ended(fault.event) >= last for fault in faults)


def _went_on_unseen(case: Case, socket: Socket, process: Process | None, span: Span | None) -> bool:
    """The log was cut while the process was at work; or the threads that it leaves out share an event loop with those that
    it shows, and another one may have got the answer.
    """
    if case.blind_to_threads(process) and (span is None or socket.edges):
        return True
    at_work = case.cut_at_work(process) and not case.evidence.health.torn_tick
    return at_work and case.fate(process) == "open" and not socket.closed_by


def _end_of(case: Case, span: Span, process: Process | None) -> str:
    """What ended a wait, in the words of `Stall.ended`."""
    ended = "log end" if span.ended_by in ("", "end of log") else span.ended_by
    if ended.startswith("signal"):
        return ended
    if span.timed_out:
        return "log end" if goes_on(case, span, process) else "limit"
    tidied_up = ended == "close" and span.events[-1].record.outcome == RESTARTED  # by a handler, on its way out
    by_signal = _deadly_signal(case, process) if tidied_up or ended in ("log end", "exit") else ""
    broken = f"broken {span.broken_by}" if span.broken_by and ended in ("close", "exit") else ""
    return by_signal or broken or ended


def goes_on(case: Case, span: Span, process: Process | None) -> bool:
    """Its last slice ran out less than another one before our own recording ended: the program is in the next slice, or about
    to be. A tracer that prints a call when it has ended cannot show that one.

    A loop of poll(2) on one connection: the timers of an event loop that watches many say nothing of any of them.
    """
    facts, last = case.evidence.source.facts, case.last_ns
    if "attached" not in facts or "end" not in facts or case.stops_early or case.fate(process) != "open":
        return False
    seen = span.calls - isinstance(span.events[0], Fact)  # that the look met is the first of them
    if seen < _SLICES or span.ended_by != "end of log" or span.limit_source not in POLLS | SELECTS:
        return False
    if span.limit_ns is None or span.end_ns is None or last is None or last - span.end_ns >= span.limit_ns:
        return False
    return not _did_else(case, span)


def _did_else(case: Case, span: Span) -> bool:
    """Since the last slice its process has begun another wait, or moved bytes elsewhere; or it waits for several peers."""
    since = span.end_ns or 0
    if any(each.end_ns is None or each.end_ns > since for each in _others(case, span)):
        return True
    mine = [s for s in case.clients if s.pid == span.pid and s.uid not in span.sockets]
    if any((s.last_progress_ns or 0) > since or (s.opened_ns or 0) > since for s in mine):
        return True
    return any(s.waits and s.waits[-1].events[-1] is span.events[-1] for s in mine)


def _others(case: Case, span: Span) -> Iterator[Span]:
    """Waits of the same thread for what is no socket."""
    process = case.owner_of(span.pid)
    return (each for each in process.spans if each.tid == span.tid) if process is not None else iter(())


def _deadly_signal(case: Case, process: Process | None) -> str:
    """`signal SIGTERM` where that ended the process, else ""."""
    return f"signal {case.death_signal(process)}" if process is not None and case.fate(process) == "killed" else ""


def exit_of(process: Process | None) -> list[Event]:
    """The line that tells of its end, for evidence."""
    return [process.exit_event] if process is not None and process.exit_event is not None else []


def _stops_within(case: Case, process: Process | None, span: Span) -> bool:
    """The recording stops before the job, in this wait: how it ended is not in it. What the kernel's tables said of it before
    the trace counts.
    """
    if not case.stops_early or span.ended_by not in ("", "end of log") or span.timed_out:
        return False
    return case.fate(process) != "killed" and not isinstance(span.events[0], Fact)


def ends_in(case: Case, span: Span) -> bool:
    """The log ends while this call blocks (strace or the host was stopped): for how long cannot be told."""
    record = span.events[-1].record
    if record.outcome == DETACHED:
        return True
    if record.outcome != UNFINISHED or case.last_ns is None or record.time_ns is None:
        return record.outcome == UNFINISHED and record.time_ns is None
    text = record.raw
    if case.evidence.health.torn_in is not None:
        return False  # it ends in another call, somebody else's
    if b"<unfinished" in text:
        return case.last_ns - record.time_ns < SECOND and b"resumed" not in text
    return at_entry(span.events[-1])


def _phase(socket: Socket) -> str:
    turn = socket.turn
    if turn is None:
        return "idle" if socket.last_word == "theirs" else "greeting"
    if not turn.answer_bytes:
        return "answer"
    if turn.start_ns is None and not turn.request_bytes:
        return "middle" if any(not m.complete for m in socket.messages[-1:]) else "idle"
    incomplete = [m for m in socket.messages[-2:] if m.direction == "received" and not m.complete]
    return "middle" if incomplete else "idle"


def _waited(case: Case, socket: Socket, span: Span, process: Process | None) -> int | None:
    if span.start_ns is None:  # without a clock a limit that ran out tells how long it was, at least
        return span.limit_ns * span.calls if span.timed_out and span.limit_ns is not None else None
    over = span.end_ns is None or (span.timed_out and goes_on(case, span, process))
    end = _over(case, socket, process) if over else span.end_ns
    return end - span.start_ns if end is not None else None


def _over(case: Case, socket: Socket, process: Process | None) -> int | None:
    """When nothing could come any more: at its close, at the end of its process or of the log."""
    return socket.closed_ns or (process.end_ns if process is not None else None) or case.last_ns


def _inferred(case: Case, socket: Socket, process: Process | None) -> Stall | None:
    """The log hides waits (else whoever closes without one wanted no answer): a request without an answer, until the program
    gave up or ended.
    """
    turn, request = socket.turn, _unanswered(socket)
    if turn is None or request is None or case.sees_waits:
        return None
    fate, end = case.fate(process), _over(case, socket, process)
    waited = end - turn.request_end_ns if case.has_clock and end is not None and turn.request_end_ns else None
    if fate not in ("failed", "killed") if waited is None else waited < SECOND:
        return None
    if not case.shows(RECEIVES) and (waited is None or not case.shows(SOCKETS)):
        return None  # what came would not be in the log
    if (waited is None and not _awaits_answer(socket)) or (process is not None and process.signal in _OWN_FAULTS):
        return None  # that it did wait nothing tells
    if waited is None and process is not None and any(each.signal == "SIGPIPE" for each in process.signals):
        return None  # some write failed that this log hides, and what it gave up was perhaps that
    ended = _deadly_signal(case, process) or ("log end" if fate == "open" else "exit")
    direction = "w" if socket.unsent else "r"
    events = [request, *exit_of(process)]
    return Stall(socket, process, "answer", direction, ended, waited, None, "", events, None, False)


def _awaits_answer(socket: Socket) -> bool:
    """What was said last is owed an answer, or nobody knows what it is."""
    last = socket.messages[-1] if socket.messages else None
    return not isinstance(last, Request) or last.unanswered


def _unanswered(socket: Socket) -> Event | None:
    """The request that nothing answered, where calls of its kind would show the answer and somebody owes it one."""
    turn = socket.turn
    if turn is None or turn.answer_bytes or not turn.request_bytes or not turn.events:
        return None
    if socket.inherited and socket.peer is None and not socket.messages:
        return None  # what it is, and whether anybody owes it an answer, is unknown
    if not expects_answers(socket):
        return None
    if turn.request_calls >= _UPLOAD_CALLS and not socket.unsent:
        return None  # an upload: whether it waited to send or to receive is hidden
    if any(isinstance(m, TlsAlert) and m.direction == "sent" for m in socket.messages[-2:]):
        return None  # whoever says why it leaves waits for no answer (RFC 8446 6)
    request = turn.events[0]
    sent = isinstance(request, Sent) and request.record.syscall in SENDS
    return request if sent else None  # who sends by write(2) may receive by read(2), which the log may hide
