"""Decides what stops a job: the calls, the filter in front of them, the descriptors that matter from the start."""

from __future__ import annotations

import os
from dataclasses import dataclass

from systrace.calls import CLOSERS
from systrace.tracers.embedded_worker import seccomp
from systrace.tracers.embedded_worker.coverage import Coverage
from systrace.tracers.embedded_worker.decode import DECODERS
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
    abis = native()
    abi = abis[0]
    if not names:
        return Plan(abi, {}, b"", Coverage([], 0), None)
    wanted = names | {"restart_syscall"}
    numbers = {each: each.numbers(wanted) for each in abis}
    own = filters(os.getpid())
    coverage = Coverage([(fd, fd) for fd in _streams()], own + 1)
    if not may_filter or not seccomp.usable(seccomp.NUMBERS[abi.name]):
        return Plan(abi, numbers, b"", coverage, None)
    if own < 0 or not Widener.possible(abi, wanted):
        return Plan(abi, numbers, seccomp.program(list(numbers.items())), coverage, None)
    narrow = abi.numbers(frozenset(name for name in wanted if name in DECODERS and DECODERS[name].skip is not None))
    rest = {**numbers, abi: [number for number in numbers[abi] if number not in narrow]}
    code = seccomp.program(list(rest.items()), [(abi, narrow)], coverage.ranges)
    return Plan(abi, numbers, code, coverage, Widener(abi, narrow))


def _streams() -> list[int]:
    """The descriptors that the job inherits and whose reads or writes matter."""
    pid, files = os.getpid(), FileTable()
    found = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        fd = int(name)
        try:
            if os.get_inheritable(fd) and (files.is_stream(pid, fd) or files.is_log(pid, fd)):
                found.append(fd)
        except OSError:
            pass  # the directory's own
    return sorted(found)
