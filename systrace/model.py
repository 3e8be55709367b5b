"""The nouns. Every stage knows these and no other stage.

Time is `int` nanoseconds (`_ns`) on the log's own clock, or None where the log has no clock; sizes are `int` bytes.
`Record` and the events are mutable only because freezing the per-line classes costs a third of the speed; nobody
changes them after they are made, except that a call without `-T` gets its end from the thread's next line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import field
from typing import TYPE_CHECKING, Any

from systrace.dataclass import dataclass

if TYPE_CHECKING:
    from systrace.look.nouns import Look, Reading
    from systrace.masking.masks import Masks
    from systrace.observations import Observation
    from systrace.traffic.activity import Activity
    from systrace.traffic.conversations import Conversations
    from systrace.traffic.tape import Tape

# Outcome of a call, as `systrace events` prints it.
RETURNED = "returned"
RESTARTED = "restarted"  # the kernel will run it again (ERESTART...), or a handler will see EINTR
UNFINISHED = "unfinished"  # no result in the log
ENDED = "ended"  # it returned, as the thread's next line shows; the line with its result is missing (grep)
DETACHED = "detached"  # strace let go while the call was blocked
NO_RESULT = (UNFINISHED, DETACHED, RESTARTED)

_ASKED = re.compile(rb'"(?:\.\.\.)?, (?:\w+=)?(\d{1,18})(?:[,)]|\Z)')
_TAIL = 200  # bytes: flags, and an address that sendto shows


@dataclass(slots=True)
class Input:
    """One file (or pipe, or live tracer) of strace output: what every tracer yields and `pipeline.analyze` takes."""

    name: str
    lines: Iterable[bytes]  # with or without the newline, any length
    tid: int = 0  # the thread that a `-ff` file is of; 0 for all other inputs
    as_is: bool = False  # straight from a tracer: nothing can stand before a line


@dataclass(slots=True)
class Record:
    """One call (or signal, exit, message) as strace printed it; arguments stay undecoded bytes."""

    source: int  # index into Source.files
    lineno: int  # 1-based line where the call began
    tid: int  # strace's pid column; 0 while the log has not named the thread
    time_ns: int | None  # start
    duration_ns: int | None
    syscall: str  # "connect"; or "signalled", "exited", "killed", "superseded", "attached", ... for other lines
    args: bytes  # between the outer parentheses
    retval: int | None
    errno: str | None
    outcome: str
    raw: bytes  # the line(s) as text for evidence, long ones abridged
    result_text: bytes = b""  # what follows the return value: "(Timeout)", "(in [3])", "<TCP:[...]>"

    @property
    def end_ns(self) -> int | None:
        """When the call returned, if the log shows it."""
        if self.time_ns is None or self.duration_ns is None:
            return None
        return self.time_ns + self.duration_ns

    @property
    def pending(self) -> bool:
        """The call was still blocked where the log shows it last."""
        return self.outcome in (UNFINISHED, DETACHED)

    @property
    def interrupted(self) -> bool:
        """A signal came first: the call is made again by the kernel, or by the program."""
        return self.outcome == RESTARTED or self.errno == "EINTR"


@dataclass(slots=True, frozen=True)
class Endpoint:
    """An address of a socket. `host` is empty for AF_UNIX, where `path` is set ("@name" when abstract)."""

    family: str  # inet, inet6, unix, netlink, packet, vsock, ...
    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.family == "unix":
            return f"unix:{self.path}"
        if ":" in self.host:
            return f"[{self.host}]:{self.port}"
        return f"{self.host}:{self.port}"

    @property
    def is_local(self) -> bool:
        """Loopback or AF_UNIX: no network device can be in the path."""
        host = self.host.removeprefix("::ffff:")  # IPv4 through an IPv6 socket
        return self.family == "unix" or host.startswith("127.") or host in ("::1", "0.0.0.0", "::")  # noqa: S104


# ---------------------------------------------------------------------------------------------- events: a closed family


@dataclass(slots=True)
class Event:
    """What a call did. A failed call is the same event with `record.errno` set."""

    record: Record


@dataclass(slots=True)
class Opened(Event):
    """socket(2)."""

    fd: int
    family: str
    type: str  # stream, dgram, raw, seqpacket
    protocol: str
    cloexec: bool
    nonblock: bool


@dataclass(slots=True)
class FileOpened(Event):
    """open(2) and everything that makes a descriptor which is no socket: kind is file, eventfd, epoll, timer, ..."""

    fd: int
    kind: str
    path: str  # of a file, whole where the log tells its folder
    cloexec: bool
    writes: bool = False


@dataclass(slots=True)
class Renamed(Event):
    """rename(2)."""

    old: str
    new: str


@dataclass(slots=True)
class Paired(Event):
    """pipe(2), socketpair(2)."""

    fds: tuple[int, int]  # for a pipe: read end, write end
    kind: str  # pipe, socketpair
    cloexec: bool
    inodes: tuple[int, ...] = ()  # of the two ends, where strace -y printed them (of a pipe twice the same)


@dataclass(slots=True)
class Bound(Event):
    """bind(2)."""

    fd: int
    local: Endpoint | None


@dataclass(slots=True)
class Listening(Event):
    """listen(2)."""

    fd: int
    backlog: int | None


@dataclass(slots=True)
class Connected(Event):
    """connect(2), whatever it returned."""

    fd: int
    peer: Endpoint | None


@dataclass(slots=True)
class Accepted(Event):
    """accept(2), accept4(2)."""

    fd: int
    new_fd: int
    peer: Endpoint | None
    cloexec: bool
    nonblock: bool


@dataclass(slots=True)
class Transfer(Event):
    """Bytes moved by one call. `size` is the result (0 on failure); `payload` is found when asked for."""

    fd: int
    size: int
    flags: bytes  # MSG_* text
    address: Callable[[], Endpoint | None] | None  # sockaddr argument of sendto/recvfrom/msghdr
    pieces: Callable[[Record], list[tuple[bytes, int]]]  # the strings with each one's true length

    def asked(self) -> int | None:
        """The count argument, which follows the string; None where it does not show."""
        args = self.record.args
        found = _ASKED.findall(args, max(0, len(args) - _TAIL))
        if not found:
            return 0 if args.endswith(b", NULL, 0") else None
        return int(found[-1])

    def payload(self) -> list[tuple[bytes, int]]:
        """[(known bytes, true length)]: known may be shorter where `-s` cut. One item for a stream, one a datagram."""
        return self.pieces(self.record)


@dataclass(slots=True)
class Sent(Transfer):
    """write(2), send(2) and kin."""


@dataclass(slots=True)
class Received(Transfer):
    """read(2), recv(2) and kin; size 0 is end of file on a stream."""


@dataclass(slots=True)
class Spliced(Event):
    """sendfile(2), splice(2), tee(2): bytes went from one descriptor to another unseen."""

    source_fd: int
    fd: int
    size: int


@dataclass(slots=True)
class Shut(Event):
    """shutdown(2)."""

    fd: int
    how: str  # read, write, both


@dataclass(slots=True)
class Closed(Event):
    """close(2), close_range(2)."""

    first: int
    last: int


@dataclass(slots=True)
class RingUsed(Event):
    """io_uring_setup(2), io_uring_enter(2): what goes through the ring is seen by no tracer of calls."""

    fd: int
    made: bool


@dataclass(slots=True)
class Duplicated(Event):
    """dup(2), dup2, dup3, fcntl(F_DUPFD)."""

    fd: int
    new_fd: int
    cloexec: bool


@dataclass(slots=True)
class FlagsSet(Event):
    """fcntl(F_SETFL/F_SETFD), ioctl(FIONBIO): None leaves as it is."""

    fd: int
    nonblock: bool | None
    cloexec: bool | None


@dataclass(slots=True)
class Waited(Event):
    """poll, select, epoll_wait and kin. Sleeps and lock waits are `Blocked`."""

    fds: tuple[tuple[int, str], ...]  # (fd, "r"/"w"/"rw"/"") asked for; for epoll: empty
    epoll_fd: int  # -1 when none
    limit_ns: int | None  # None: waits for ever
    ready: tuple[tuple[int, str], ...]  # (fd or epoll data, events text)
    timed_out: bool
    incomplete: bool  # "..." hid some descriptors


@dataclass(slots=True)
class EpollChanged(Event):
    """epoll_ctl(2)."""

    epoll_fd: int
    op: str  # ADD, MOD, DEL
    fd: int
    events: str
    data: int | None


@dataclass(slots=True)
class OptionSet(Event):
    """setsockopt(2). `value` is int for scalars, ns for SO_RCVTIMEO/SO_SNDTIMEO, None when not shown."""

    fd: int
    level: str
    name: str
    value: int | None


@dataclass(slots=True)
class OptionGot(Event):
    """getsockopt(2); for SO_ERROR `error` is the errno name or "" for none, None when not shown."""

    fd: int
    name: str
    error: str | None


@dataclass(slots=True)
class Named(Event):
    """getsockname(2), getpeername(2)."""

    fd: int
    which: str  # local, peer
    endpoint: Endpoint | None


@dataclass(slots=True)
class TimerSet(Event):
    """alarm(2), setitimer(2), timer_settime(2): 0 disarms."""

    limit_ns: int
    periodic: bool = False  # it goes off again and again


@dataclass(slots=True)
class Blocked(Event):
    """A call that waits for something that is no socket."""

    kind: str  # lock, sleep, child, stdin, signal, message
    fd: int  # -1 when none
    limit_ns: int | None
    detail: str


@dataclass(slots=True)
class Cloned(Event):
    """fork(2), vfork(2), clone(2), clone3(2). `child` 0 while the result is unknown.

    `inner` is the child's number as its parent knows it, where that lives in another PID namespace than the tracer.
    """

    child: int
    thread: bool
    shares_files: bool
    inner: int = 0


@dataclass(slots=True)
class Cloning(Event):
    """A fork has begun and its result is not known yet: a new thread id that turns up now is its child."""

    thread: bool
    shares_files: bool


@dataclass(slots=True)
class Executed(Event):
    """execve(2)."""

    path: str
    argv: tuple[str, ...]


@dataclass(slots=True)
class Exited(Event):
    """exit_group(2), +++ exited +++, +++ killed +++. `whole` when the process, not one thread, says so."""

    code: int | None
    signal: str | None
    whole: bool
    final: bool  # the +++ line: the task is gone


@dataclass(slots=True)
class Reaped(Event):
    """wait4(2), waitid(2) returned a child: its status as the parent saw it."""

    child: int
    code: int | None
    signal: str | None


@dataclass(slots=True)
class Signalled(Event):
    """A signal was delivered to the thread."""

    signal: str
    sender: int | None
    code: str  # SI_USER, SI_KERNEL, ...


@dataclass(slots=True)
class Returned(Event):
    """rt_sigreturn(2): what the interrupted call gave back (`record.errno` EINTR, or its number when restarted)."""


@dataclass(slots=True)
class Killed(Event):
    """kill(2), tgkill(2): this thread signals another process."""

    target: int
    signal: str


@dataclass(slots=True)
class DescriptorsPassed(Event):
    """SCM_RIGHTS in a sendmsg or recvmsg: descriptors as numbered in this process."""

    fd: int
    fds: tuple[int, ...]
    sent: bool
    transfer: Transfer


@dataclass(slots=True)
class Printed(Event):
    """Output of the traced program that strace's own output was mixed with."""

    data: bytes


@dataclass(slots=True)
class Fact(Event):
    """A `# systrace:` line of a recording: what strace can't say."""

    values: dict[str, Any]


@dataclass(slots=True)
class Attached(Event):
    """strace met (or left) a task: "Process N attached", "detached"; `renames` when tid 0 turns out to be it."""

    tid: int
    gone: bool
    renames: bool


# ----------------------------------------------------------------------------------------------------- sockets and waits


@dataclass(slots=True, eq=False)
class Stream:
    """One direction of a socket or pipe. Bytes are kept by decoders; here they are counted."""

    original_len: int = 0  # bytes that happened
    calls: int = 0
    first_ns: int | None = None
    last_ns: int | None = None


NO_BYTES = Stream()  # of all sockets over which nothing went yet


@dataclass(slots=True)
class Attempt:
    """One connection set-up with its real outcome, however asynchronous."""

    peer: Endpoint | None
    start_ns: int | None
    events: list[Event]
    end_ns: int | None = None
    outcome: str = "pending"  # connected, failed, pending, abandoned (closed or deadline while pending), unknown
    errno: str | None = None
    blocking: bool = True
    limit_ns: int | None = None  # the program's own deadline, as waited
    limit_source: str = ""  # poll, SO_SNDTIMEO, SIGALRM, ...
    ready_ns: int | None = None  # a wait reported the socket writable
    ready_text: str = ""  # as which events
    superseded: bool = False  # another attempt for the same purpose had connected when this one was given up

    @property
    def duration_ns(self) -> int | None:
        """From connect to outcome."""
        if self.start_ns is None or self.end_ns is None:
            return None
        return self.end_ns - self.start_ns


@dataclass(slots=True)
class Turn:
    """One request and its answer, as far as directions tell: bytes out, then bytes in."""

    start_ns: int | None
    request_bytes: int = 0
    request_calls: int = 0
    request_end_ns: int | None = None
    first_answer_ns: int | None = None
    last_answer_ns: int | None = None
    answer_bytes: int = 0
    idle_before_ns: int | None = None  # silence on the socket before the request
    events: list[Event] = field(default_factory=list)  # first send, first answer


@dataclass(slots=True)
class Span:
    """A wait: one call, or consecutive calls that waited for the same thing without anything happening."""

    tid: int
    pid: int
    kind: str  # socket, lock, sleep, child, stdin, pipe, file, signal, unknown
    start_ns: int | None
    end_ns: int | None  # None: still waiting when the log ends
    limit_ns: int | None  # what the program allowed; None: no limit
    limit_source: str  # poll, select, epoll, SO_RCVTIMEO, SIGALRM, ...
    timed_out: bool
    events: list[Event]  # first and last of the calls
    sockets: tuple[str, ...] = ()
    direction: str = "r"  # waiting to read or to write
    calls: int = 1
    ended_by: str = ""  # data, timeout, signal NAME, close, exit, end of log, detach
    detail: str = ""  # of a socket: "ready" when the last call said so
    broken_by: str = ""  # the signal that broke the last call off, where that was no deadline of the program

    @property
    def duration_ns(self) -> int | None:
        """How long, None while unknown."""
        if self.start_ns is None or self.end_ns is None:
            return None
        return self.end_ns - self.start_ns


@dataclass(frozen=True, slots=True)
class Repeat:
    """The same calls with the same results, again and again, in one thread."""

    tid: int
    first: Event
    calls: Sequence[Event]  # those of the last round
    rounds: int
    at_end: bool  # until the thread ended, or the log

    @property
    def duration_ns(self) -> int | None:
        """From the first call to the last one."""
        first, last = self.first.record.time_ns, self.calls[-1].record.time_ns
        return last - first if first is not None and last is not None else None


@dataclass(slots=True)
class Fault:
    """An error or end on a socket, with what had happened before it."""

    kind: str  # eof, error; bind, connect: it never got so far (connect: of datagrams)
    errno: str | None
    event: Event
    direction: str  # r, w, or "" for SO_ERROR
    sent_before: int
    received_before: int
    idle_ns: int | None  # silence before the turn that hit it (before its request), or before the call itself
    since_request_ns: int | None
    turn: int  # how many turns had begun
    answered: int  # bytes of answer already received in this turn
    unanswered: int  # bytes of request sent in this turn


@dataclass(frozen=True, slots=True)
class Keepalive:
    """SO_KEEPALIVE and its timers in seconds, as set by the program; None where the log does not show it."""

    on: bool | None = None
    idle_s: int | None = None
    interval_s: int | None = None
    count: int | None = None


NO_KEEPALIVE = Keepalive()


@dataclass(slots=True)
class Holder:
    """Who held a socket: a process and its descriptor number."""

    pid: int
    fd: int
    from_ns: int | None
    to_ns: int | None = None


@dataclass(slots=True)
class Socket:
    """One socket (or pipe), followed through every descriptor and process that held it."""

    uid: str  # S1, S2, ... in order of appearance
    family: str
    type: str
    protocol: str = ""
    kind: str = "socket"  # socket, pipe
    edges: bool = False  # watched with EPOLLET, as event loops do whose threads share their sockets
    inode: int | None = None
    local: Endpoint | None = None
    peer: Endpoint | None = None
    name: str | None = None  # from DNS answers in the same trace
    role: str = "unknown"  # client, server, listener, pair
    state: str = "new"
    inherited: bool = False  # open before the trace began
    last_word: str = ""  # then: whose data had come last, "ours", "theirs", "both" at once, "" unknown
    nonblock: bool = False
    opened_ns: int | None = None
    closed_ns: int | None = None
    closed_by: str = ""  # close, exit, exec, "" while open
    holders: list[Holder] = field(default_factory=list)
    keepalive: Keepalive = NO_KEEPALIVE
    rcvtimeo_ns: int | None = None
    sndtimeo_ns: int | None = None
    user_timeout_ns: int | None = None
    sent: Stream = NO_BYTES
    received: Stream = NO_BYTES
    attempts: Sequence[Attempt] = ()  # these are tuples: most sockets of a large log have none
    turns: int = 0
    turn: Turn | None = None  # the last one
    longest_turn: Turn | None = None  # slowest to its first answer byte
    waits: Sequence[Span] = ()  # ended waits worth a line, see streams.waits
    waiting: Span | None = None  # the wait under way
    unseen: bool = False  # a transfer's result is missing in the log: bytes, ends and errors may have come unseen
    unsent: bool = False  # the last send was refused for now (EAGAIN): bytes of ours still wait
    error_ready: Event | None = None  # a wait reported POLLERR/POLLHUP, and nobody read the error
    faults: Sequence[Fault] = ()
    idle: Sequence[tuple[int, Event, Event]] = ()  # survived silences: ns, before, after
    longest_silence_ns: int = 0
    last_progress_ns: int | None = None
    timeline: list[Event] = field(default_factory=list)  # bounded: see streams.timeline
    dropped_events: int = 0
    unbroken_from: int = 0  # index in the timeline: from there on no call is missing
    alike: int = 0  # sockets that failed just as this one did and are no longer kept: see streams.forgetting
    other_end: str | None = None  # uid of the other end of a socketpair or pipe
    messages: Sequence[Message] = ()  # bounded: see decoders.keeping
    dropped_messages: int = 0  # decoded and not kept
    readings: Sequence[tuple[Reading, Fact]] = ()  # what the kernel said of it while it was waited for
    app_protocol: str | None = None  # http, tls, dns, ... once content proved it

    @property
    def pid(self) -> int | None:
        """The process that used it first."""
        return self.holders[0].pid if self.holders else None

    @property
    def is_network(self) -> bool:
        """TCP, UDP and raw sockets of either family."""
        return self.family in ("inet", "inet6")


@dataclass(slots=True)
class Message:
    """A decoded protocol message; `messages` has a subclass for each kind."""

    protocol: str
    socket: str
    direction: str  # sent, received
    start_ns: int | None
    end_ns: int | None
    summary: str
    complete: bool
    events: list[Event] = field(default_factory=list)

    @property
    def notable(self) -> bool:
        """Kept in preference to others where there are too many."""
        return False


@dataclass(slots=True)
class Output:
    """What a process wrote to its standard output, error or a log file."""

    fd: int
    path: str
    event: Transfer

    @property
    def data(self) -> bytes:
        """The known bytes."""
        pieces = self.event.payload()
        return pieces[0][0] if pieces else b""


MOST_OUTPUT = 96
MOST_FILES = 64
MOST_UNOPENED = 8


@dataclass(slots=True)
class Process:
    """A thread group."""

    pid: int
    parent: int | None = None
    argv: tuple[str, ...] = ()
    path: str = ""
    threads: set[int] = field(default_factory=set)
    began_threads: bool = False  # by clone(2), traced or not
    exit_code: int | None = None
    signal: str | None = None  # that killed it
    start_ns: int | None = None
    end_ns: int | None = None
    exit_event: Event | None = None
    signals: Sequence[Signalled] = ()
    killed_by: int | None = None  # traced pid that sent the deadly signal
    output: Sequence[Output] = ()  # the last MOST_OUTPUT writes to fd 1, 2 and log files
    spans: Sequence[Span] = ()  # notable waits that are not on sockets
    pending: Sequence[Event] = ()  # calls without a result at the end, one a thread
    faults: Sequence[Event] = ()  # EMFILE and other resource errors
    opened_files: AbstractSet[str] = frozenset()  # libraries and modules, for naming the client
    files: Sequence[FileOpened | Renamed] = ()  # the last MOST_FILES files with data that it opened, or gave a new name
    unopened: Sequence[FileOpened] = ()  # the last MOST_UNOPENED that it could not open, but for the system's
    ring: RingUsed | None = None  # it had an io_uring: what it did there is unknown
    traced: bool = True  # False: only heard of (no -f)
    child_statuses: dict[int, tuple[int | None, str | None]] = field(default_factory=dict)
    ns_pid: int | None = None  # as its parent knows it, where that lives in another PID namespace than the tracer

    @property
    def command(self) -> str:
        """Short name for people: the script when an interpreter runs one."""
        words = [w.rsplit("/", 1)[-1] for w in self.argv if w]
        if not words:
            return self.path.rsplit("/", 1)[-1]
        if len(words) > 1 and words[0].rstrip("0123456789.").lstrip("-") in _INTERPRETERS:
            script = next((w for w in self.argv[1:] if w == "-" or not w.startswith("-")), "-")
            if script == "-":  # the program comes from standard input
                return words[0].lstrip("-")
            if script and " " not in script and len(script) < 200:
                return script.rsplit("/", 1)[-1]
        return words[0].lstrip("-")


_INTERPRETERS = frozenset(
    "python pypy perl ruby php node nodejs bash sh dash ash ksh zsh busybox tclsh lua Rscript".split()
)


@dataclass(slots=True)
class Transcript:
    """What went over the watched socket or pipe, in order; its middle is left out where it exceeds `limit` bytes."""

    uid: str
    limit: int = 8 << 20
    socket: Socket | None = None
    moves: list[Transfer] = field(default_factory=list)
    left_at: int | None = None  # index into moves: before it, some are left out
    left_out: list[int] = field(default_factory=lambda: [0, 0, 0])  # bytes received, bytes sent, calls
    messages: list[Message] = field(default_factory=list)  # all of them, with whole bodies
    seen: dict[str, Socket] = field(default_factory=dict)  # every socket and pipe that moved bytes


@dataclass(slots=True, frozen=True)
class Keep:
    """What an analysis holds on to beyond what its report needs."""

    calls_of: str | None = None  # uid of a socket: all its calls
    transcript: Transcript | None = None  # filled with what went over the socket that it names
    requests: bool = False  # all HTTP messages, however many a connection carried
    exchanges: bool = False  # the same, and those of all other protocols in which a client asks
    activity: bool = False  # when each connection was busy
    conversations: bool = False  # the first and last bytes of each
    tape: bool = False  # everything that went over the network
    secrets: bool = False  # show them: nothing is masked
    redact_names: bool = False  # addresses, hosts, users and home directories are others (`masking.names`)

    def __or__(self, other: Keep) -> Keep:
        """What both want."""
        wants = ((name, getattr(self, name) or getattr(other, name)) for name in self.__slots__)
        return Keep(**dict(wants))


# ------------------------------------------------------------------------------------------------------------- verdicts


@dataclass(slots=True, frozen=True)
class Line:
    """A line of the log that proves something."""

    file: str
    line: int
    raw: str  # the call, or what a file of /proc said
    time_ns: int | None = None
    who: str = ""  # command
    direction: str = ""  # sent, received, waited, said, or ""
    told: str = ""  # in words; "" where only `raw` tells

    @property
    def text(self) -> str:
        """What people read."""
        return self.told or self.raw


@dataclass(slots=True, frozen=True)
class Step:
    """What to run next, and what it tells; one of them may be missing."""

    command: str = ""
    why: str = ""

    def __str__(self) -> str:
        if not self.command:
            return f"# {self.why}"
        return f"{self.command}  # {self.why}" if self.why else self.command


@dataclass(slots=True)
class Draft:
    """A finding that its rule is still writing."""

    cause: str
    variant: str = ""
    severity: str = "error"  # fatal, error, warning, info
    confidence: str = "likely"  # confirmed, likely, possible
    summary: str = ""
    socket: str | None = None
    peer: str | None = None
    pid: int | None = None
    command: str | None = None
    time_ns: int | None = None
    duration_ns: int | None = None
    evidence: list[Event] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)  # evidence that no line of the log says; else made from `evidence`
    causes: list[str] = field(default_factory=list)
    next_steps: list[Step] = field(default_factory=list)
    remedy: list[str] = field(default_factory=list)
    refuted_by: str = ""
    count: int = 1
    end_ns: int | None = None  # when the program knew: ranking compares this with its death
    recovered: str = ""  # fallback, retry, survived: why it is no failure of the job
    fd: int | None = None  # the descriptor that a look is about
    headline: str = ""  # what the verdict says of it, where that is shorter than the summary

    def final(self) -> Finding:
        """The finding, which nobody changes any more."""
        return Finding(**{name: getattr(self, name) for name in self.__slots__ if name not in ("fd", "headline")})


@dataclass(slots=True, frozen=True)
class Finding:
    """What a rule found: observation first, inference second, the check that settles it third."""

    cause: str
    variant: str = ""
    severity: str = "error"  # fatal, error, warning, info
    confidence: str = "likely"  # confirmed, likely, possible
    summary: str = ""
    socket: str | None = None
    peer: str | None = None
    pid: int | None = None
    command: str | None = None
    time_ns: int | None = None
    duration_ns: int | None = None
    evidence: Sequence[Event] = ()
    causes: Sequence[str] = ()
    next_steps: Sequence[Step] = ()
    remedy: Sequence[str] = ()
    refuted_by: str = ""
    count: int = 1
    end_ns: int | None = None
    recovered: str = ""
    lines: Sequence[Line] = ()  # evidence as text, filled by the pipeline


@dataclass(slots=True, frozen=True)
class Moment:
    """One event of the course that led to the verdict."""

    time_ns: int | None
    who: str  # command, or who else saw it
    text: str
    link: str  # "", then, therefore
    file: str = ""
    line: int = 0


@dataclass(slots=True)
class Verdict:
    """The answer: one outcome for the whole job."""

    outcome: str  # failed, hung, degraded, healthy, inconclusive
    cause: str
    peer: str | None
    finding: int | None
    headline: str


@dataclass(slots=True)
class Health:
    """How well the log could be read, and what its options hide."""

    lines: int = 0
    records: int = 0
    unparsed: int = 0
    unparsed_samples: list[str] = field(default_factory=list)
    orphan_resumes: int = 0
    clipped_strings: int = 0
    foreign: int = 0
    limits: list[str] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)
    torn: bool = False  # the last line has no end: the log was cut, or its writer killed
    torn_in: int | None = None  # the thread whose call was being written then
    torn_tick: bool = False  # that call was one of those by which helper threads pass their time


@dataclass(slots=True)
class Style:
    """What the log's options were, as far as its lines show."""

    pid: str = "none"  # none, bare, bracket, file
    clock: str = "none"  # none, relative, time-of-day, epoch
    duration: bool = False
    fd: str = "plain"  # plain, path, socket
    wrapper: str = ""  # docker, syslog, ... when the log travelled
    syscalls: set[str] = field(default_factory=set)  # names seen
    others: bool = False  # among them calls that are neither of the network nor of processes
    succeeded: bool = False  # a call did
    failed: bool = False
    let_go: bool = False  # strace left a task that lived on ("<detached ...>", "Process N detached")


@dataclass(slots=True)
class Source:
    """Where the lines came from."""

    files: list[str]
    style: Style = field(default_factory=Style)
    first_ns: int | None = None
    last_ns: int | None = None
    facts: dict[str, Any] = field(default_factory=dict)  # from the `#` lines of systrace's own recordings


@dataclass(slots=True)
class Forgotten:
    """Connections over the network that ended well, and were too many to be kept: resolvers' left out."""

    made: int = 0
    accepted: int = 0
    sent: int = 0  # bytes
    received: int = 0


def _masks() -> Masks:
    """Loaded with the first analysis: `--version` and the start of a job need no patterns."""
    from systrace.masking.masks import Masks

    return Masks()


@dataclass(slots=True)
class Evidence:
    """All that the log shows, before any judgement: what rules read."""

    source: Source
    health: Health
    processes: dict[int, Process]
    sockets: dict[str, Socket]
    messages: list[Message]
    spans: list[Span]
    names: dict[str, str] = field(default_factory=dict)  # address -> name, from DNS answers
    owners: dict[int, int] = field(default_factory=dict)  # thread -> process
    printed: list[Event] = field(default_factory=list)  # output of the program, mixed into the log
    forgotten: Forgotten = field(default_factory=Forgotten)
    looks: tuple[Look, ...] = ()  # at the processes before the trace began
    repeats: Sequence[Repeat] = ()  # loops that got nowhere
    met: int = 0  # processes that strace attached to, by its own word
    masks: Masks = field(default_factory=_masks)  # of the secrets in it
    observations: list[Observation] = field(default_factory=list)  # from outside the trace
    activity: Activity | None = None  # where a report asked for it
    conversations: Conversations | None = None  # the same
    tape: Tape | None = None  # the same
    tls_keys: bytes = b""  # with a tape whose secrets are shown: the lines of an SSLKEYLOGFILE


@dataclass(slots=True)
class Analysis:
    """The whole answer, what reporters print."""

    evidence: Evidence
    findings: list[Finding]
    verdict: Verdict
    course: list[Moment] = field(default_factory=list)  # what led to it
