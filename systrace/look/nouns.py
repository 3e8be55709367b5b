"""What a snapshot is made of: frozen, plain values, every text already cleaned.

Times are `int` nanoseconds (`_ns`) or milliseconds (`_ms`, as the kernel counts them). None: the kernel did not say.
"""

from __future__ import annotations

from dataclasses import field

from systrace.dataclass import dataclass
from systrace.model import Endpoint, Keepalive

LONG_S = 60.0  # below this a wait without an end may just be slow: no default of a client library is shorter


@dataclass(frozen=True, slots=True)
class Call:
    """The system call that a thread is blocked in, from /proc/PID/task/TID/syscall.

    Pointers in `args` have been followed where they say what is waited for; nothing else of the memory is read.
    """

    number: int
    name: str  # "recvfrom"; "syscall_999" when the table does not know it
    args: tuple[int, ...]
    fd: int | None = None  # the descriptor argument
    fds: tuple[tuple[int, str], ...] = ()  # all descriptors waited on: (fd, "r"/"w"/"rw"); poll, select, epoll too
    limit_ns: int | None = None  # how long the program lets it wait, None: for ever
    limit_source: str = ""  # "poll", "SO_RCVTIMEO", ...
    left_ns: int | None = None  # until the limit, where the call names a point in time instead of a duration
    resumed: bool = False  # after a stop: it began earlier than the thread sleeps now, and so ends earlier
    detail: str = ""  # "child 1234", "mutex owned by thread 77", "203.0.113.10:443" of a connect


@dataclass(frozen=True, slots=True)
class Thread:
    """One task of /proc/PID/task."""

    pid: int
    tid: int
    name: str
    state: str  # R running, S sleeping, D disk, T stopped, t traced, Z zombie, X dead, I idle kernel thread
    wchan: str  # kernel function it sleeps in, "" when hidden or running
    call: Call | None  # None: on a CPU, blocked outside a call (page fault), or not allowed to read
    blocked_ns: int | None  # since it was last on a CPU; None where the kernel keeps no such figure
    cpu_share: float | None = None  # part of one CPU used while the snapshot looked, for running threads
    readable: bool = True  # False: the call was refused (permission)
    handled: int = (
        0  # signals that have a handler and are not blocked here, as /proc/PID/status counts them; of some calls
    )


@dataclass(frozen=True, slots=True)
class Descriptor:
    """One open descriptor."""

    fd: int
    kind: str  # socket, pipe, file (or directory), tty, epoll, eventfd, timerfd, signalfd, inotify, pidfd, other
    target: str  # what /proc/PID/fd/N points to
    inode: int | None  # of sockets and pipes
    readable: bool
    writable: bool


@dataclass(frozen=True, slots=True)
class TcpInfo:
    """The figures of `struct tcp_info` (linux/tcp.h) that tell a dead path from a silent peer."""

    state: str
    retransmits: int  # of the segment now outstanding
    probes: int  # unanswered keepalive or zero-window probes
    backoff: int
    rto_ms: float
    rtt_ms: float
    unacked: int  # segments
    last_data_sent_ms: int
    last_data_received_ms: int
    last_ack_received_ms: int
    total_retransmits: int
    bytes_acked: int | None
    bytes_received: int | None
    unsent: int | None  # bytes written by the program, not yet sent
    rwnd_limited_ms: float | None  # time the peer's window stopped us
    data_segments_in: int | None = None
    out_of_order: int | None = None  # of these: what was lost before them came later (Linux 5.4)


@dataclass(frozen=True, slots=True)
class SocketState:
    """One socket of one process of the tree, from sock_diag and from a duplicate of the descriptor."""

    pid: int
    fd: int
    inode: int
    family: str  # inet, inet6, unix, netlink, packet, other
    type: str  # stream, dgram, raw, seqpacket, other
    protocol: str  # tcp, udp, icmp, ..., "" for unix
    local: Endpoint | None = None
    peer: Endpoint | None = None
    state: str = ""  # established, syn-sent, close-wait, listen, ...; "" when not known
    timer: str = ""  # "", on (retransmission), keepalive, timewait, persist
    timer_ms: int | None = None  # until it fires
    retransmits: int | None = None
    unread: int | None = None  # bytes waiting in the receive queue (listen: connections waiting)
    unsent: int | None = None  # bytes written and not yet acknowledged by the peer (listen: the backlog)
    unread_head: str = ""  # the first of the unread bytes, cleaned
    nonblock: bool | None = None
    keepalive: Keepalive = field(default_factory=Keepalive)
    rcvtimeo_ns: int | None = None  # None: not set, or not known (see `options_known`)
    sndtimeo_ns: int | None = None
    user_timeout_ns: int | None = None
    syn_retries: int | None = None  # TCP_SYNCNT
    options_known: bool = False
    tcp: TcpInfo | None = None
    peer_inode: int | None = None  # other end on this host (unix, loopback)
    accepted: bool = False  # somebody listens on its local address: it is the server's side

    @property
    def serves(self) -> bool:
        """Whether it was accepted: somebody listens on its local address. Of UNIX streams only servers' have a name."""
        if self.family == "unix":
            return self.type != "dgram" and self.local is not None and bool(self.local.path)
        return self.accepted

    @property
    def asked(self) -> bool:
        """Whether the last data went out: until then, nothing sent yet counts as no question (the SYN is a byte acked)."""
        if self.tcp is None or (self.tcp.bytes_acked is not None and self.tcp.bytes_acked <= 1 and not self.unsent):
            return False
        return self.tcp.last_data_sent_ms <= self.tcp.last_data_received_ms

    @property
    def last_word(self) -> str:
        """Whose data came last: "ours", "theirs", "both" within one tick of the kernel's clock (4 ms), "" not known."""
        if self.tcp is None:
            return ""
        if not self.asked:
            return "theirs" if self.tcp.bytes_received else ""
        tied = self.tcp.last_data_sent_ms == self.tcp.last_data_received_ms
        return "both" if tied and self.tcp.bytes_received else "ours"

    @property
    def silent_ms(self) -> int | None:
        """Since the last data in either direction, None before a connection and where unknown."""
        if self.tcp is None or self.state in ("syn-sent", "listen", "close"):
            return None
        return min(self.tcp.last_data_sent_ms, self.tcp.last_data_received_ms)


@dataclass(frozen=True, slots=True)
class Reading:
    """What the kernel said of one socket while a thread waited for it under the eyes of a tracer, or after its close."""

    time_ns: int  # epoch
    pid: int
    tid: int
    call: str  # that the thread is blocked in
    waited_ns: int  # since the wait was noticed: it may have begun up to a second before
    socket: SocketState
    closed: bool = False  # no program holds it any more: what the kernel goes on doing for it
    listener: Backlog | None = None  # the peer's, where it is on this machine


@dataclass(frozen=True, slots=True)
class Backlog:
    """The queue of a listening socket (listen(2))."""

    waiting: int
    most: int
    elsewhere: bool = False  # it is in another network namespace of this machine

    @property
    def full(self) -> bool:
        """No further connection is taken (sk_acceptq_is_full, include/net/sock.h)."""
        return self.waiting > self.most


@dataclass(frozen=True, slots=True)
class ProcessState:
    """One process of the tree."""

    pid: int
    ppid: int
    name: str  # the kernel's 15 characters
    argv: tuple[str, ...]
    state: str
    uid: int
    start_ticks: int  # since boot, USER_HZ: with `pid` it names the process, whatever is reused
    machine: str  # x86_64, i386, aarch64, ...: whose call numbers these are
    threads: tuple[Thread, ...]
    descriptors: tuple[Descriptor, ...] = ()
    epoll: dict[int, tuple[tuple[int, str], ...]] = field(default_factory=dict)  # epoll fd -> interest set
    tracer: int = 0  # pid of a debugger or tracer, 0 none (or one outside our PID namespace)
    tracer_name: str = ""
    kernel_thread: bool = False
    frozen: bool = False  # by its control group
    alarms: str = ""  # what might break a wait that has no limit of its own, and how that is known
    ns_pids: tuple[int, ...] = ()  # its number in our PID namespace, in the one below, ..., in its own
    program: str = ""  # the file that it executes, without its folder
    witness: int = 0  # the thread whose /proc files speak for the process: another where the first has ended

    @property
    def command(self) -> str:
        """Short name for people."""
        from systrace.model import Process

        return Process(self.pid, argv=self.argv).command or self.name

    @property
    def ended(self) -> bool:
        """All its threads have: what is left is a number and an exit status."""
        return all(thread.state in "ZX" for thread in self.threads)

    @property
    def stands_still(self) -> bool:
        """Stopped by a signal or frozen: it makes no call before somebody lets it go on."""
        return self.frozen or (bool(self.threads) and all(thread.state == "T" for thread in self.threads))

    @property
    def traced_by(self) -> str:
        """Its tracer, for people."""
        if not self.tracer:
            return "a process out of our sight"
        return f"{self.tracer_name}[{self.tracer}]" if self.tracer_name else f"process {self.tracer}"

    def number_in(self, other: ProcessState) -> int:
        """Its pid as `other` knows it, which may live in a PID namespace of its own; 0 when it cannot see this one."""
        level = max(len(other.ns_pids), 1) - 1
        return (self.ns_pids or (self.pid,))[level] if level < max(len(self.ns_pids), 1) else 0

    def descriptor(self, fd: int) -> Descriptor | None:
        """The open descriptor of that number."""
        return next((d for d in self.descriptors if d.fd == fd), None)


@dataclass(frozen=True, slots=True)
class FileLock:
    """A lock of /proc/locks that a process of the tree waits for."""

    waiter: int
    holder: int
    kind: str  # FLOCK, POSIX, OFDLCK, LEASE
    inode: int


@dataclass(frozen=True, slots=True)
class End:
    """A process that holds one end of a pipe or socket."""

    pid: int
    command: str
    readable: bool
    writable: bool
    stopped: bool = False  # by a signal or a tracer: it does nothing for the other end


@dataclass(frozen=True, slots=True)
class Limit:
    """Something that the snapshot could not read: what, why, and what would mend it."""

    what: str
    why: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """A process and its descendants at one instant, as far as the kernel let us see."""

    pid: int
    time_ns: int  # epoch
    took_ns: int  # how long the look lasted
    kernel: str  # release
    processes: tuple[ProcessState, ...]  # the root first, then children
    sockets: tuple[SocketState, ...]
    locks: tuple[FileLock, ...]  # those that processes of the tree wait for
    holders: dict[int, tuple[End, ...]]  # who holds the pipes, and the other ends of local sockets, that are waited on
    sysctls: dict[str, int]  # in the target's network namespace
    limits: tuple[Limit, ...]
    long_s: float = LONG_S  # from when on a wait that nothing will end counts as a hang; `run --stall` may say another

    @property
    def root(self) -> ProcessState:
        """The process that was asked about."""
        return self.processes[0]

    @property
    def threads(self) -> tuple[Thread, ...]:
        """All threads of the tree."""
        return tuple(thread for process in self.processes for thread in process.threads)
