"""Decides what stops a job: the calls, the filter in front of them, the descriptors that matter from the start."""

from __future__ import annotations

import os

from systrace.calls import CLOSERS, READS, RECEIVES, SENDFILES, SENDS, WRITES
from systrace.dataclass import dataclass
from systrace.tracers.embedded_worker import seccomp
from systrace.tracers.embedded_worker.coverage import Coverage
from systrace.tracers.embedded_worker.files import FileTable
from systrace.tracers.embedded_worker.inject import Widener, filters
from systrace.tracers.embedded_worker.names import Abi, native


@dataclass(frozen=True, slots=True)
class Plan:
    """`numbers` is empty when every call is wanted; `filter` when no filter is to be used."""

    abi: Abi
    numbers: dict[Abi, list[int]]
    filter: bytes
    coverage: Coverage
    widener: Widener | None

    def install(self) -> None:
        """In the job, before its execve(2).

        Raises:
            OSError: the kernel refuses.
        """
        if self.filter:
            seccomp.install(self.filter, seccomp.NUMBERS[self.abi.name])


def make_plan(names: frozenset[str], may_filter: bool) -> Plan:
    """The plan for the wanted names; none: all calls.

    Raises:
        LookupError: an architecture that the tracer does not know.
    """
    FileTable.remembers = not names or names >= CLOSERS  # else some are closed or replaced unseen
    FileTable.narrowed = False
    abis = native()
    abi = abis[0]
    if not names:
        return Plan(abi, {}, b"", Coverage([], 0), None)
    wanted = names | {"restart_syscall"}
    numbers = {each: each.numbers(wanted) for each in abis}
    own = filters(os.getpid())
    if not may_filter or not seccomp.usable(seccomp.NUMBERS[abi.name]):
        return Plan(abi, numbers, b"", Coverage([], own + 1), None)
    if own < 0 or not Widener.possible(abi, wanted):
        return Plan(abi, numbers, seccomp.program(list(numbers.items())), Coverage([], own + 1), None)
    FileTable.remembers, FileTable.narrowed = False, True
    return _narrowed(abi, numbers, wanted | _COPIES, own + 1)


_STANDARD = (0, 2)
_STDOUT = 1
WORDS = 4096  # bytes: what is written to standard output in larger pieces is data
_READS, _WRITES = READS - RECEIVES, WRITES - SENDS - SENDFILES
_BY_FLAGS = {"open": 1, "openat": 2}  # where these stand
_CHANGES = 0o1103  # O_WRONLY, O_RDWR, O_CREAT, O_TRUNC
_WAITS = (7, 38)  # F_SETLKW, F_OFD_SETLKW
# By an argument: what waits; what a rule asks for (`streams.sockets`); what changes a descriptor.
_FUTEX_WAITS = [
    kind | private | clock for kind in (0, 6, 9, 11, 13) for private in (0, 0x80) for clock in (0, 0x100)
]  # FUTEX_WAIT, LOCK_PI, WAIT_BITSET, WAIT_REQUEUE_PI, LOCK_PI2; _PRIVATE, |FUTEX_CLOCK_REALTIME
_PICKED = {
    "futex": (1, _FUTEX_WAITS),
    # SO_KEEPALIVE, SO_LINGER, SO_RCVTIMEO, SO_SNDTIMEO; TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_USER_TIMEOUT
    "setsockopt": (2, [9, 13, 20, 21, 66, 67, 4, 5, 6, 18]),
    "getsockopt": (2, [4]),  # SO_ERROR
    "ioctl": (1, [0x5421, 0x5450, 0x5451]),  # FIONBIO, FIONCLEX, FIOCLEX
}
_COPIES = frozenset(("pidfd_getfd",))  # makes descriptors of sockets
_OF_FILES = frozenset(("copy_file_range",))  # knows nothing else


def _narrowed(abi: Abi, numbers: dict[Abi, list[int]], wanted: frozenset[str], count: int) -> Plan:
    """Stop at what can make or move sockets, and at the rest only on sockets, and at words (DECISIONS, 38)."""
    numbers = {each: each.numbers(wanted) for each in numbers}

    def of(names: frozenset[str]) -> list[int]:
        return abi.numbers(wanted & names)

    coverage = Coverage(_sockets(), count, written=[(_STDOUT, 2)])
    everywhere = seccomp.on_descriptors(coverage.ranges)
    control = of(frozenset(("fcntl", "fcntl64")))
    writes, write = of(_WRITES - {"write"}), of(frozenset(("write",)))
    others = of(SENDFILES)
    closes = of(frozenset(("close",)))
    opens = {name: of(frozenset((name,))) for name in _BY_FLAGS}
    tests = [
        (abi, [*of(_READS), *others, *closes], everywhere),
        (abi, writes, seccomp.on_descriptors([*coverage.ranges, (_STDOUT, 2)])),
        (abi, write, [*seccomp.shorter_than(_STDOUT, WORDS), *seccomp.on_descriptors([*coverage.ranges, (2, 2)])]),
        (abi, control, [*seccomp.on_descriptors([_STANDARD, *coverage.ranges]), *seccomp.one_of(1, _WAITS)]),
        *[(abi, opens[name], seccomp.with_bits(at, _CHANGES)) for name, at in _BY_FLAGS.items()],
        *[(abi, of(frozenset((name,))), seccomp.one_of(at, values)) for name, (at, values) in _PICKED.items()],
    ]
    narrow = frozenset(number for _, each, _ in tests for number in each)
    left_out = narrow | set(of(_OF_FILES))
    rest = {**numbers, abi: [number for number in numbers[abi] if number not in left_out]}
    on_sockets = [*of(_READS), *others, *writes, *write, *closes, *control]
    widener = Widener(abi, on_sockets, [*writes, *write], [number for each in opens.values() for number in each])
    return Plan(abi, numbers, seccomp.program(list(rest.items()), tests), coverage, widener)


_MOST = 40  # ranges in one test: jumps are short


def _sockets() -> list[tuple[int, int]]:
    """The sockets that the job inherits."""
    pid, files = os.getpid(), FileTable()
    found = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        fd = int(name)
        try:
            if os.get_inheritable(fd) and files.is_socket(pid, fd):
                found.append(fd)
        except OSError:
            pass  # the directory's own
    ranges = seccomp.ranges(found)
    return ranges if len(ranges) <= _MOST else [(ranges[0][0], ranges[-1][1])]
