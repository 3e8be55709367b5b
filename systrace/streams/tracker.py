"""Events -> sockets, processes and waits. `Tracker.feed` takes one event after the other, `finish` gives the evidence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from systrace import model
from systrace.model import (
    DETACHED,
    RESTARTED,
    UNFINISHED,
    Event,
    Fault,
    Holder,
    Output,
    Process,
    Received,
    Record,
    Sent,
    Socket,
    Span,
    Transfer,
    Turn,
)
from systrace.streams import connecting, waits
from systrace.streams.descriptors import Description, Table
from systrace.streams.lookup import Lookup
from systrace.streams.snapshots import adopt_snapshot
from systrace.streams.states import after
from systrace.streams.tasks import Task, Tasks
from systrace.streams.timeline import NOTABLE_NS, note, thin

_RESOURCE = frozenset(("EMFILE", "ENFILE", "ENOMEM", "ENOBUFS"))
_AGAIN = frozenset(("EAGAIN", "EWOULDBLOCK"))
_INTERRUPTED = frozenset(("EINTR", "ERESTARTSYS", "ERESTARTNOHAND", "ERESTARTNOINTR", "ERESTART_RESTARTBLOCK"))
_BLOCKING = (model.Connected, Sent, Received, model.Waited, model.Blocked, model.Accepted)
_LIBRARY = (".so", ".py", ".pyc", ".pm", ".rb", ".jar", ".php", ".js", ".node")
_MOST_SOCKETS = 4000  # healthy closed sockets kept; older ones are counted and forgotten
_SPANS = 2000


class Listener(Protocol):
    """Who wants the bytes as they go by: the decoders."""

    def moved(self, socket: Socket, event: Transfer) -> None:
        """Bytes went over a socket."""

    def ended(self, socket: Socket, sent: bool, how: str) -> None:
        """One direction ended: eof, reset, closed, unfinished."""


class Tracker:
    """Follows every descriptor of every process.

    Args:
        listener: gets the bytes of each socket, in order.
        watch: uid of a socket whose timeline is kept whole.
    """

    def __init__(self, listener: Listener | None = None, watch: str | None = None) -> None:
        self.tasks = Tasks()
        self.lookup = Lookup(self.tasks)
        self.spans: list[Span] = []
        self.facts: dict[str, Any] = {}
        self.forgotten = 0
        self.first_ns: int | None = None
        self.last_ns: int | None = None
        self.printed: list[Event] = []
        self._listener = listener
        self._watch = watch
        self._held: dict[int, Event] = {}  # by tid: calls without -T, until the thread's next line shows their end
        self._passed: list[Description] = []  # descriptors under way in SCM_RIGHTS
        self._retired: list[str] = []
        self._timers: dict[int, tuple[int | None, int, Event]] = {}  # by process
        self._handlers: dict[type[Event], Callable[[Task, Any], None]] = {
            Sent: self._moved,
            Received: self._moved,
            model.Opened: self._opened,
            model.FileOpened: self._file_opened,
            model.Paired: self._paired,
            model.Bound: self._bound,
            model.Listening: self._listening,
            model.Connected: self._connected,
            model.Accepted: self._accepted,
            model.Spliced: self._spliced,
            model.Shut: self._shut,
            model.Closed: self._closed,
            model.Duplicated: self._duplicated,
            model.FlagsSet: self._flags_set,
            model.Waited: self._waited,
            model.EpollChanged: self._epoll_changed,
            model.OptionSet: self._option_set,
            model.OptionGot: self._option_got,
            model.Named: self._named,
            model.TimerSet: self._timer_set,
            model.Blocked: self._blocked,
            model.Cloned: self._cloned,
            model.Cloning: self._cloning,
            model.Executed: self._executed,
            model.Exited: self._exited,
            model.Reaped: self._reaped,
            model.Signalled: self._signalled,
            model.Killed: self._killed,
            model.DescriptorsPassed: self._descriptors_passed,
            model.Attached: self._attached,
            model.Printed: self._printed,
            model.Fact: self._fact,
        }

    # ------------------------------------------------------------------------------------------------------------ feed

    def feed(self, event: Event) -> None:
        """Take the next event."""
        record = event.record
        time_ns = record.time_ns
        if time_ns is not None:
            if self.first_ns is None:
                self.first_ns = self.last_ns = time_ns
            ended = time_ns + (record.duration_ns or 0)
            if self.last_ns is None or ended > self.last_ns:
                self.last_ns = ended
            if self._held:
                held = self._held.pop(record.tid, None)
                if held is not None:
                    held.record.duration_ns = max(0, time_ns - (held.record.time_ns or time_ns))
                    self._handle(held)
            if record.duration_ns is None and record.outcome == model.RETURNED and isinstance(event, _BLOCKING):
                self._held[record.tid] = event
                return
        self._handle(event)

    def _handle(self, event: Event) -> None:
        handler = self._handlers.get(type(event))
        if handler is None:
            return
        record = event.record
        task = self.tasks.by_tid.get(record.tid)
        if task is None or not task.alive:
            if type(event) in (model.Fact, model.Printed) or (task is not None and type(event) is model.Exited):
                handler(task, event)  # type: ignore[arg-type]
                return
            if task is not None:
                self._gone(task)
            task = self.tasks.find(record)
        process = task.process
        process.last_event = event
        process.traced = True
        process.last_ns = record.time_ns
        handler(task, event)

    # ------------------------------------------------------------------------------------------------ bytes and errors

    def _moved(self, task: Task, event: Sent | Received) -> None:
        record = event.record
        description = self.lookup.find(task, event.fd, record)
        if description is None or description.socket is None:
            self._other_moved(task, event, description)
            return
        socket = description.socket
        if event.size and record.errno is None:
            if b"MSG_PEEK" in event.flags:
                note(socket, event)
                return
            self._progress(socket, task, event, type(event) is Sent)
            if socket.kind == "pipe" and type(event) is Sent and event.fd in (1, 2):
                task.process.output.append(Output(event.fd, "", event))
        elif record.outcome in (UNFINISHED, DETACHED, RESTARTED) or record.errno in _INTERRUPTED:
            self._waits_in_call(socket, task, event)
        elif record.errno in _AGAIN:
            self._again(socket, task, event)
        elif record.errno is not None:
            if record.errno in _RESOURCE:
                task.process.faults.append(event)
            self._fault(socket, event, "error", record.errno)
        elif type(event) is Received and record.retval == 0 and b"MSG_PEEK" not in event.flags:
            self._end_of_file(socket, task, event)
        note(socket, event, socket.uid == self._watch)

    def _progress(self, socket: Socket, task: Task, event: Sent | Received, sending: bool) -> None:
        record = event.record
        start = record.time_ns
        ended = start
        if start is not None and record.duration_ns is not None:
            ended = start + record.duration_ns
            if record.duration_ns >= waits.SHORT_NS:
                limit = socket.sndtimeo_ns if sending else socket.rcvtimeo_ns
                waits.extend(
                    socket, task, event, limit_ns=limit, source="SO_SNDTIMEO" if sending else "SO_RCVTIMEO",
                    timed_out=False, direction="w" if sending else "r",
                )  # fmt: skip
        if socket.waiting is not None:
            self._end_wait(socket, "data", ended)
        last = socket.last_progress_ns
        silence = None
        if last is not None and ended is not None:
            silence = ended - last
            if silence > socket.longest_silence_ns:
                socket.longest_silence_ns = silence
            if silence > 30 * NOTABLE_NS and len(socket.idle) < 16 and socket.timeline:
                socket.idle.append((silence, socket.timeline[-1], event))
        if socket.state != "established":
            socket.state = after(socket.state, "data")
            attempt = connecting.pending(socket)
            if attempt is not None:
                connecting.settle(socket, attempt, "connected", None, attempt.ready_ns or start, event)
        if sending:
            asked = record.args.rpartition(b", ")[2] if record.syscall == "write" else b""
            socket.unsent = asked.isdigit() and int(asked) > event.size
            if socket.peer is None and event.address is not None:
                socket.peer, socket.role = event.address(), "client"
        socket.error_ready = None
        stream = socket.sent if sending else socket.received
        stream.original_len += event.size
        stream.calls += 1
        if stream.first_ns is None:
            stream.first_ns = start
        stream.last_ns = ended
        self._turn(socket, event, sending == (socket.role != "server"), start, ended, last)
        socket.last_progress_ns = ended
        if self._listener is not None and (socket.kind != "pipe" or not sending):
            self._listener.moved(socket, event)

    def _turn(
        self, socket: Socket, event: Transfer, asking: bool, start: int | None, ended: int | None, last: int | None
    ) -> None:
        turn = socket.turn
        if asking:
            if turn is None or turn.answer_bytes:
                idle = start - last if start is not None and last is not None else None
                turn = Turn(start, idle_before_ns=idle)
                turn.events.append(event)
                socket.turn = turn
                socket.turns += 1
            turn.request_bytes += event.size
            turn.request_end_ns = ended
            return
        if turn is None:
            turn = socket.turn = Turn(None)
        if not turn.answer_bytes:
            turn.first_answer_ns = ended
            turn.events.append(event)
            slowest = socket.longest_turn
            if slowest is None or _answer_time(turn) > _answer_time(slowest):
                socket.longest_turn = turn
        turn.answer_bytes += event.size
        turn.last_answer_ns = ended

    def _waits_in_call(self, socket: Socket, task: Task, event: Sent | Received) -> None:
        """A transfer that has no result, or was broken by a signal: a wait so far."""
        sending = type(event) is Sent
        limit = socket.sndtimeo_ns if sending else socket.rcvtimeo_ns
        span = waits.extend(
            socket, task, event, limit_ns=limit, source="SO_SNDTIMEO" if sending else "SO_RCVTIMEO", timed_out=False,
            direction="w" if sending else "r", pending=event.record.outcome != RESTARTED and event.record.errno is None,
        )  # fmt: skip
        task.last_wait = [span]

    def _again(self, socket: Socket, task: Task, event: Sent | Received) -> None:
        """EAGAIN: nothing on a non-blocking socket; the end of SO_RCVTIMEO on a blocking one."""
        duration = event.record.duration_ns or 0
        sending = type(event) is Sent
        if sending:
            socket.unsent = True
        if duration < waits.SHORT_NS:
            return
        limit = socket.sndtimeo_ns if sending else socket.rcvtimeo_ns
        waits.extend(
            socket, task, event, limit_ns=limit or duration, source="SO_SNDTIMEO" if sending else "SO_RCVTIMEO",
            timed_out=True, direction="w" if sending else "r",
        )  # fmt: skip

    def _end_of_file(self, socket: Socket, task: Task, event: Received) -> None:
        if socket.type not in ("stream", "seqpacket", "unknown"):
            return
        record = event.record
        if (record.duration_ns or 0) >= waits.SHORT_NS:
            waits.extend(
                socket, task, event, limit_ns=socket.rcvtimeo_ns, source="SO_RCVTIMEO", timed_out=False, direction="r"
            )
        if not any(f.kind == "eof" for f in socket.faults):
            self._fault(socket, event, "eof", None)
            if self._listener is not None:
                self._listener.ended(socket, False, "eof")
        else:
            self._end_wait(socket, "data", record.end_ns or record.time_ns)

    def _fault(self, socket: Socket, event: Event, kind: str, errno: str | None) -> None:
        record = event.record
        turn = socket.turn
        direction = {Sent: "w", Received: "r"}.get(type(event), "")  # type: ignore[call-overload]
        duration = record.duration_ns or 0
        if duration >= waits.SHORT_NS and kind == "error" and socket.waiting is None:
            span = Span(
                record.tid, socket.pid or 0, "socket", record.time_ns, record.end_ns, None, record.syscall, False,
                [event], (socket.uid,), direction or "r",
            )  # fmt: skip
            socket.waiting = span
        now = record.end_ns if record.end_ns is not None else record.time_ns
        self._end_wait(socket, kind if errno is None else errno, now)
        asked = turn.request_end_ns if turn is not None else None
        silent = None
        if now is not None and socket.last_progress_ns is not None:
            silent = now - socket.last_progress_ns
        answered = turn.answer_bytes if turn is not None else 0
        idle = turn.idle_before_ns if turn is not None and not answered and turn.start_ns is not None else silent
        if len(socket.faults) < 32:
            socket.faults.append(
                Fault(
                    kind, errno, event, direction, socket.sent.original_len, socket.received.original_len, idle,
                    now - asked if now is not None and asked is not None else None, socket.turns, answered,
                    turn.request_bytes if turn is not None and not answered else 0,
                )
            )  # fmt: skip
        socket.state = after(socket.state, "eof" if kind == "eof" else "error")
        if kind == "error" and self._listener is not None and errno in ("ECONNRESET", "ETIMEDOUT"):
            self._listener.ended(socket, False, "reset")

    def _end_wait(self, socket: Socket, ended_by: str, time_ns: int | None) -> None:
        span = waits.end(socket, ended_by, time_ns)
        if span is not None and len(self.spans) < _SPANS and socket.kind == "socket":
            self.spans.append(span)

    def _other_moved(self, task: Task, event: Sent | Received, description: Description | None) -> None:
        """Transfers on files, terminals, unknown descriptors."""
        record = event.record
        kind = description.kind if description is not None else "stdio" if 0 <= event.fd < 3 else "unknown"
        if type(event) is Sent:
            if event.size and (event.fd in (1, 2) or kind in ("stdio", "file")) and event.size <= 65536:
                path = description.path if description is not None else ""
                task.process.output.append(Output(event.fd, path, event))
            elif record.errno in _RESOURCE or record.errno == "ENOSPC":
                task.process.faults.append(event)
        if (record.duration_ns or 0) >= NOTABLE_NS or record.outcome in (UNFINISHED, DETACHED, RESTARTED):
            name = "stdin" if event.fd == 0 and kind in ("stdio", "unknown", "file") else kind
            self._span(task, event, name, None, description.path if description is not None else "")

    def _span(self, task: Task, event: Event, kind: str, limit_ns: int | None, detail: str) -> None:
        record = event.record
        pending = record.outcome in (UNFINISHED, DETACHED)
        end = None if pending else record.end_ns
        span = Span(
            task.tid, task.process.pid, kind, record.time_ns, end, limit_ns, record.syscall, False, [event],
            detail=detail,
        )  # fmt: skip
        span.ended_by = "" if pending else "signal" if record.outcome == RESTARTED else "returned"
        if len(task.process.spans) < 64 or pending:
            task.process.spans.append(span)
        if len(self.spans) < _SPANS or pending:
            self.spans.append(span)

    # ------------------------------------------------------------------------------------------- sockets come and go

    def _opened(self, task: Task, event: model.Opened) -> None:
        record = event.record
        if event.fd < 0:
            if record.errno in _RESOURCE:
                task.process.faults.append(event)
            return
        socket = self.lookup.new_socket(event.family, event.type, event.protocol, record.time_ns)
        socket.nonblock = event.nonblock
        self._place(task, event.fd, Description("socket", socket), event.cloexec, record)
        note(socket, event)

    def _place(self, task: Task, fd: int, description: Description, cloexec: bool, record: Record) -> None:
        before = task.table.put(fd, description, cloexec)
        if before is not None:
            self._release(before, record.time_ns, "close", None)
        if description.socket is not None and len(description.socket.holders) < 64:
            description.socket.holders.append(Holder(task.process.pid, fd, record.time_ns))

    def _release(self, description: Description, time_ns: int | None, how: str, event: Event | None) -> None:
        description.refs -= 1
        socket = description.socket
        if description.refs > 0 or socket is None or socket.closed_ns is not None or socket.closed_by:
            return
        if socket.kind == "pipe":
            if description.end == "w":
                return
            self.lookup.sockets.pop(socket.uid, None)
            return
        connecting.give_up(socket, time_ns, event)
        self._end_wait(socket, how, time_ns if how != "close" else None)
        socket.closed_ns, socket.closed_by = time_ns, how
        socket.state = after(socket.state, "close")
        if self._listener is not None and (socket.sent.calls or socket.received.calls):
            self._listener.ended(socket, True, "closed")
        answered = socket.turn is None or socket.turn.answer_bytes > 0
        clean = all(f.kind == "eof" for f in socket.faults) and all(a.outcome == "connected" for a in socket.attempts)
        if answered and clean and not socket.waits:
            self._retire(socket)

    def _retire(self, socket: Socket) -> None:
        """A socket that ended well needs little memory from now on."""
        if socket.uid == self._watch:
            return
        thin(socket)
        self._retired.append(socket.uid)
        if len(self._retired) > _MOST_SOCKETS:
            oldest = self._retired[: _MOST_SOCKETS // 4]
            del self._retired[: len(oldest)]
            for uid in oldest:
                if self.lookup.sockets.pop(uid, None) is not None:
                    self.forgotten += 1

    def _file_opened(self, task: Task, event: model.FileOpened) -> None:
        record = event.record
        if event.path.endswith(_LIBRARY) and len(task.process.opened_files) < 400:
            task.process.opened_files.add(event.path)
        if event.fd < 0:
            if record.errno in _RESOURCE:
                task.process.faults.append(event)
            return
        self._place(task, event.fd, Description(event.kind, path=event.path), event.cloexec, record)

    def _paired(self, task: Task, event: model.Paired) -> None:
        record = event.record
        if event.fds[0] < 0:
            if record.errno in _RESOURCE:
                task.process.faults.append(event)
            return
        if event.kind == "pipe":
            pipe = self.lookup.new_socket("pipe", "stream", "", record.time_ns, "P")
            for fd, end in zip(event.fds, "rw", strict=True):
                self._place(task, fd, Description("pipe", pipe, end=end), event.cloexec, record)
            return
        first, second = (self.lookup.new_socket("unix", "stream", "", record.time_ns) for _ in event.fds)
        for fd, socket, other in ((event.fds[0], first, second), (event.fds[1], second, first)):
            socket.role, socket.other_end, socket.state = "pair", other.uid, "established"
            self._place(task, fd, Description("socket", socket), event.cloexec, record)

    def _bound(self, task: Task, event: model.Bound) -> None:
        socket = self._socket(task, event.fd, event.record)
        if socket is None:
            return
        note(socket, event)
        if event.record.errno is not None:
            self._fault(socket, event, "bind", event.record.errno)
            if event.local is not None and socket.local is None:
                socket.local = event.local
        else:
            socket.state = after(socket.state, "bind")
            if event.local is not None:
                socket.local = event.local

    def _listening(self, task: Task, event: model.Listening) -> None:
        socket = self._socket(task, event.fd, event.record)
        if socket is None:
            return
        note(socket, event)
        if event.record.errno is None:
            socket.role = "listener"
            socket.state = after(socket.state, "listen")
        else:
            self._fault(socket, event, "bind", event.record.errno)

    def _connected(self, task: Task, event: model.Connected) -> None:
        socket = self._socket(task, event.fd, event.record)
        if socket is None:
            return
        record = event.record
        if socket.type == "unknown" and event.peer is not None:
            socket.family, socket.type = event.peer.family, "stream"
        if socket.family == "unknown" and event.peer is not None:
            socket.family = event.peer.family
        if socket.type in ("dgram", "raw"):
            if event.peer is not None and event.peer.family != "unspec":
                socket.peer = event.peer
            socket.role = "client"
        elif event.peer is None or event.peer.family != "unspec":
            connecting.connect(socket, event)
            if record.outcome in (UNFINISHED, DETACHED, RESTARTED) or record.errno == "EINTR":
                span = waits.extend(
                    socket, task, event, limit_ns=socket.sndtimeo_ns, source="SO_SNDTIMEO", timed_out=False,
                    direction="w", pending=record.outcome in (UNFINISHED, DETACHED),
                )  # fmt: skip
                task.last_wait = [span]
        note(socket, event)

    def _accepted(self, task: Task, event: model.Accepted) -> None:
        record = event.record
        listener = self._socket(task, event.fd, record)
        if event.new_fd >= 0:
            family = listener.family if listener is not None else event.peer.family if event.peer else "unknown"
            socket = self.lookup.new_socket(family, "stream", "", record.end_ns or record.time_ns)
            socket.role, socket.state, socket.peer, socket.nonblock = "server", "established", event.peer, event.nonblock
            if listener is not None:
                socket.local = listener.local
                listener.role = "listener"
            self._place(task, event.new_fd, Description("socket", socket), event.cloexec, record)
            note(socket, event)
            return
        if record.errno in _RESOURCE:
            task.process.faults.append(event)
        if listener is not None:
            listener.role = "listener"
            note(listener, event)
            if record.outcome in (UNFINISHED, DETACHED, RESTARTED):
                self._span(task, event, "accept", None, str(listener.local or ""))

    def _socket(self, task: Task, fd: int, record: Record) -> Socket | None:
        description = self.lookup.find(task, fd, record)
        return description.socket if description is not None else None

    def _spliced(self, task: Task, event: model.Spliced) -> None:
        for fd, kind in ((event.fd, Sent), (event.source_fd, Received)):
            description = task.table.fds.get(fd)
            if description is None or description.socket is None:
                continue
            record = event.record
            hidden = kind(record, fd, event.size, None, b"", None, lambda r: [(b"", max(0, r.retval or 0))])
            if event.size:
                self._progress(description.socket, task, hidden, kind is Sent)
            elif record.outcome in (UNFINISHED, DETACHED, RESTARTED):
                self._waits_in_call(description.socket, task, hidden)
            elif record.errno is not None and record.errno not in _AGAIN:
                self._fault(description.socket, hidden, "error", record.errno)
            note(description.socket, event)

    def _shut(self, task: Task, event: model.Shut) -> None:
        socket = self._socket(task, event.fd, event.record)
        if socket is None:
            return
        note(socket, event)
        if event.record.errno is None and event.how != "read":
            socket.state = after(socket.state, "shut")
            connecting.give_up(socket, event.record.time_ns, event)

    def _closed(self, task: Task, event: model.Closed) -> None:
        record = event.record
        if event.first < 0 or record.errno == "EBADF":
            return
        for fd, description in task.table.take(event.first, event.last):
            socket = description.socket
            if socket is not None:
                note(socket, event)
                for holder in socket.holders:
                    if holder.pid == task.process.pid and holder.fd == fd and holder.to_ns is None:
                        holder.to_ns = record.time_ns
            self._release(description, record.time_ns, "close", event)

    def _duplicated(self, task: Task, event: model.Duplicated) -> None:
        description = self.lookup.find(task, event.fd, event.record)
        if event.new_fd < 0:
            if event.record.errno in _RESOURCE:
                task.process.faults.append(event)
            return
        if description is None:
            for _, gone in task.table.take(event.new_fd, event.new_fd):
                self._release(gone, event.record.time_ns, "close", event)
            return
        self._place(task, event.new_fd, description, event.cloexec, event.record)

    def _flags_set(self, task: Task, event: model.FlagsSet) -> None:
        if event.record.errno is not None:
            return
        if event.cloexec is not None and event.fd in task.table.fds:
            (task.table.cloexec.add if event.cloexec else task.table.cloexec.discard)(event.fd)
        if event.nonblock is not None:
            description = task.table.fds.get(event.fd)
            if description is not None and description.socket is not None:
                description.socket.nonblock = event.nonblock

    def _descriptors_passed(self, task: Task, event: model.DescriptorsPassed) -> None:
        self._moved(task, event.transfer)  # type: ignore[arg-type]
        if event.sent:
            for fd in event.fds:
                description = task.table.fds.get(fd)
                if description is not None and len(self._passed) < 1000:
                    description.refs += 1
                    self._passed.append(description)
            return
        for fd in event.fds:
            if self._passed:
                description = self._passed.pop(0)
                self._place(task, fd, description, False, event.record)
                description.refs -= 1

    # --------------------------------------------------------------------------------------------- waits and options

    def _waited(self, task: Task, event: model.Waited) -> None:
        record = event.record
        if event.epoll_fd < 0 and not event.fds:
            self._resumed_wait(task, event)
            return
        stuck = record.outcome in (UNFINISHED, DETACHED)
        interrupted = record.outcome == RESTARTED or record.errno in _INTERRUPTED
        long = (record.duration_ns or 0) >= waits.SHORT_NS
        if record.errno is not None and not interrupted:
            return
        ready = dict(event.ready)
        spans: list[Span] = []
        found = False
        for fd, want, socket, text in self._watched(task, event, ready, stuck or interrupted or long or event.timed_out):
            found = True
            if text:
                attempt = connecting.pending(socket)
                if attempt is not None and attempt.ready_ns is None:
                    attempt.ready_ns, attempt.ready_text = record.end_ns or record.time_ns, text
                if "ERR" in text:
                    socket.error_ready = event
            if not (stuck or interrupted or long or event.timed_out or socket.waiting is not None):
                continue
            if text and not long:
                continue
            if event.limit_ns == 0:
                continue
            spans.append(
                waits.extend(
                    socket, task, event, limit_ns=event.limit_ns, source=record.syscall,
                    timed_out=event.timed_out, direction="w" if want == "w" else "r", pending=stuck,
                )
            )  # fmt: skip
            note(socket, event, socket.uid == self._watch)
            del fd
        task.last_wait = spans
        if not found and (stuck or interrupted or (record.duration_ns or 0) >= NOTABLE_NS):
            self._span(task, event, self._kind_of_others(task, event), event.limit_ns, "")

    def _watched(
        self, task: Task, event: model.Waited, ready: dict[int, str], notable: bool
    ) -> list[tuple[int, str, Socket, str]]:
        """(fd, wanted, socket, ready as) of the sockets that a call waits for; of an unremarkable epoll the ready."""
        found: list[tuple[int, str, Socket, str]] = []
        if event.epoll_fd < 0:
            for fd, want in event.fds:
                description = self.lookup.from_poll(task, fd, event.record)
                if description is not None and description.socket is not None and description.socket.kind == "socket":
                    if want == "rw" and description.socket.unsent:
                        want = "w"
                    found.append((fd, want, description.socket, ready.get(fd, "")))
            return found
        epoll = self.lookup.find(task, event.epoll_fd, event.record)
        if epoll is None:
            return found
        if not notable and len(epoll.interest) > 8 and not ready:
            return found
        for fd, (description, events, data) in epoll.interest.items():
            if description.socket is None or description.socket.kind != "socket" or description.socket.closed_by:
                continue
            text = ready.get(data if data is not None else fd, "") or ready.get(fd, "")
            writes = "OUT" in events and ("IN" not in events or description.socket.unsent)
            want = "w" if writes else "r"
            if text or notable or len(epoll.interest) <= 8:
                found.append((fd, want, description.socket, text))
        return found

    def _resumed_wait(self, task: Task, event: model.Waited) -> None:
        """restart_syscall: the wait before it goes on; without one (attach) what is waited for is unknown."""
        record = event.record
        pending = record.outcome in (UNFINISHED, DETACHED)
        for span in task.last_wait:
            span.end_ns = None if pending else record.end_ns
            span.timed_out = event.timed_out
            span.events = [span.events[0], event]
        if not task.last_wait and (pending or (record.duration_ns or 0) >= NOTABLE_NS):
            self._span(task, event, "unknown", None, "")

    def _kind_of_others(self, task: Task, event: model.Waited) -> str:
        kinds = []
        for fd, _ in event.fds:
            description = task.table.fds.get(fd)
            kinds.append("stdin" if fd == 0 else description.kind if description is not None else "unknown")
        return kinds[0] if len(set(kinds)) == 1 else "unknown" if not kinds else "mixed"

    def _epoll_changed(self, task: Task, event: model.EpollChanged) -> None:
        epoll = self.lookup.find(task, event.epoll_fd, event.record)
        if epoll is None:
            return
        epoll.kind = "epoll"
        if event.op == "DEL":
            epoll.interest.pop(event.fd, None)
            return
        description = task.table.fds.get(event.fd) or self.lookup.from_poll(task, event.fd, event.record)
        if description is not None:
            epoll.interest[event.fd] = (description, event.events, event.data)

    def _option_set(self, task: Task, event: model.OptionSet) -> None:
        socket = self._socket(task, event.fd, event.record)
        if socket is None or event.record.errno is not None:
            return
        keepalive, value = socket.keepalive, event.value
        match event.name:
            case "SO_KEEPALIVE":
                keepalive.on = bool(value)
            case "TCP_KEEPIDLE":
                keepalive.idle_s = value
            case "TCP_KEEPINTVL":
                keepalive.interval_s = value
            case "TCP_KEEPCNT":
                keepalive.count = value
            case "TCP_USER_TIMEOUT":
                socket.user_timeout_ns = value * 1_000_000 if value else None
            case "SO_RCVTIMEO":
                socket.rcvtimeo_ns = value or None
            case "SO_SNDTIMEO":
                socket.sndtimeo_ns = value or None
            case _:
                return
        note(socket, event)

    def _option_got(self, task: Task, event: model.OptionGot) -> None:
        socket = self._socket(task, event.fd, event.record)
        if socket is None:
            return
        if connecting.pending(socket) is not None:
            connecting.error_read(socket, event)
        elif event.error and not (socket.attempts and socket.attempts[-1].errno == event.error):
            self._fault(socket, event, "error", event.error)
        note(socket, event)

    def _named(self, task: Task, event: model.Named) -> None:
        socket = self._socket(task, event.fd, event.record)
        if socket is None or event.endpoint is None:
            return
        if event.which == "local":
            if event.endpoint.port or event.endpoint.path:
                socket.local = event.endpoint
            if socket.family == "unknown":
                socket.family = event.endpoint.family
            return
        if socket.peer is None:
            socket.peer = event.endpoint
        attempt = connecting.pending(socket)
        if attempt is not None and event.record.errno is None:
            connecting.settle(socket, attempt, "connected", None, attempt.ready_ns or event.record.time_ns, event)

    def _timer_set(self, task: Task, event: model.TimerSet) -> None:
        if event.limit_ns:
            self._timers[task.process.pid] = (event.record.time_ns, event.limit_ns, event)
        else:
            self._timers.pop(task.process.pid, None)

    def _blocked(self, task: Task, event: model.Blocked) -> None:
        record = event.record
        if record.errno == "ECHILD":
            return
        stuck = record.outcome in (UNFINISHED, DETACHED, RESTARTED) or record.errno in _INTERRUPTED
        if not stuck and (record.duration_ns or 0) < NOTABLE_NS:
            return
        detail = event.detail
        if event.kind == "lock" and event.fd >= 0:
            description = task.table.fds.get(event.fd)
            if description is not None and description.path:
                detail = description.path
        self._span(task, event, event.kind, event.limit_ns, detail)

    # ------------------------------------------------------------------------------------------------------ processes

    def _cloning(self, task: Task, event: model.Cloning) -> None:
        self.lookup.sees_clone = True
        task.forking = (event.thread, event.shares_files)

    def _cloned(self, task: Task, event: model.Cloned) -> None:
        task.forking = None
        self.lookup.sees_clone = True
        if event.child:
            self.tasks.child(task, event.child, event.thread, event.shares_files, event.record.time_ns)

    def _executed(self, task: Task, event: model.Executed) -> None:
        record = event.record
        if record.errno is not None or record.outcome != model.RETURNED:
            return
        process = task.process
        process.path = event.path
        process.argv = event.argv or (event.path,)
        process.opened_files = set()
        if task.table.users > 1:  # exec gives the process a table of its own
            task.table.users -= 1
            task.table = task.table.copy()
        for _, description in task.table.take_cloexec():
            self._release(description, record.time_ns, "exec", event)

    def _exited(self, task: Task | None, event: model.Exited) -> None:
        if task is None:
            return
        process = task.process
        if event.whole or (event.final and (len(process.threads) <= 1 or task.tid == process.pid)):
            if event.signal is not None:
                process.signal = event.signal
            elif process.exit_code is None or event.whole:
                process.exit_code = event.code
            if process.exit_event is None or event.signal is not None:
                process.exit_event = event
            process.end_ns = event.record.time_ns
        if event.final:
            self._gone(task, event)

    def _gone(self, task: Task, event: model.Exited | None = None) -> None:
        """A task is no more; with the last one of a process go its descriptors."""
        process = task.process
        killed = event is not None and event.whole
        tids = {task.tid, *process.threads} if killed and task.tid == process.pid else {task.tid}
        for tid in tids:
            gone = self.tasks.by_tid.get(tid)
            if gone is not None and gone.alive:
                gone.alive = False
                process.threads.discard(tid)
                gone.table.users -= 1
                if gone.table.users <= 0:
                    how = f"signal {event.signal}" if event is not None and event.signal else "exit"
                    self._close_all(gone.table, process, event.record.time_ns if event is not None else None, how, event)

    def _close_all(
        self, table: Table, process: Process, time_ns: int | None, how: str, event: Event | None
    ) -> None:
        if how == "exit" and process.signal:
            how = f"signal {process.signal}"
        for fd in list(table.fds):
            description = table.fds.pop(fd)
            self._release(description, time_ns, how, event)

    def _reaped(self, task: Task, event: model.Reaped) -> None:
        child = self.tasks.processes.get(event.child)
        task.process.child_statuses[event.child] = (event.code, event.signal)
        if child is not None and child.parent is None and child is not task.process:
            child.parent = task.process.pid
        if child is None or child.exit_code is not None or child.signal is not None:
            return
        if event.code is not None or event.signal is not None:
            child.exit_code, child.signal = event.code, event.signal
            child.end_ns = event.record.time_ns
            if child.exit_event is None:
                child.exit_event = event

    def _signalled(self, task: Task, event: model.Signalled) -> None:
        record = event.record
        if event.signal in ("SIGALRM", "SIGVTALRM", "SIGPROF") or event.code == "SI_TIMER":
            timer = self._timers.get(task.process.pid)
            for span in task.last_wait:
                if span.events[-1].record.outcome == RESTARTED or span.events[-1].record.errno in _INTERRUPTED:
                    span.timed_out, span.limit_source = True, event.signal
                    if timer is not None:
                        span.limit_ns = timer[1]
                        span.events = [timer[2], *span.events]
            if timer is None:
                task.process.signals.append(event)
        elif event.signal not in ("SIGWINCH", "SIGCHLD", "SIGURG", "SIGIO") and len(task.process.signals) < 32:
            task.process.signals.append(event)
        del record

    def _killed(self, task: Task, event: model.Killed) -> None:
        target = self.tasks.processes.get(event.target)
        if target is not None and event.signal != "SIG_0" and target is not task.process:
            target.killed_by = task.process.pid

    def _attached(self, task: Task, event: model.Attached) -> None:
        if event.renames:
            self.tasks.rename(event.record.tid)
            for socket in self.lookup.sockets.values():
                for holder in socket.holders:
                    holder.pid = holder.pid or event.record.tid
        elif event.record.syscall == "superseded":
            self.tasks.supersede(event.record.tid, event.tid)

    def _printed(self, task: Task | None, event: model.Printed) -> None:
        if len(self.printed) < 200:
            self.printed.append(event)

    def _fact(self, task: Task | None, event: model.Fact) -> None:
        if isinstance(event.values.get("snapshot"), dict):
            adopt_snapshot(event, self.tasks, self.lookup)
            return
        self.facts.update(event.values)
        ended = event.values.get("end")
        if isinstance(ended, int | float) and self.last_ns is not None:
            self.last_ns = max(self.last_ns, int(ended * 1e9))

    # ---------------------------------------------------------------------------------------------------------- finish

    def finish(self) -> None:
        """The log has ended: what was held is handled, what still waits is marked so."""
        for event in sorted(self._held.values(), key=lambda e: e.record.lineno):
            self._handle(event)
        self._held.clear()
        for task in list(self.tasks.by_tid.values()):
            if task.alive and task.process.exit_event is not None:
                self._gone(task)  # no +++ line tells it: an old strace, or -qq
        for socket in self.lookup.sockets.values():
            if socket.closed_by:
                continue
            attempt = connecting.pending(socket)
            if attempt is not None and attempt.ready_ns is not None and "ERR" not in attempt.ready_text:
                connecting.settle(socket, attempt, "connected", None, attempt.ready_ns, None)
            if socket.waiting is not None:
                pending = socket.waiting.end_ns is None
                self._end_wait(socket, "end of log", None)
                if pending and socket.waits:
                    socket.waits[-1].end_ns = None
            if self._listener is not None and (socket.sent.calls or socket.received.calls):
                self._listener.ended(socket, False, "unfinished")


def _answer_time(turn: Turn) -> int:
    """ns from the last byte of the request to the first of the answer."""
    if turn.first_answer_ns is None or turn.request_end_ns is None:
        return -1
    return turn.first_answer_ns - turn.request_end_ns
