"""Who failed because of what it received: shared by the rules on content.

An answer is consumed by the process that received it, by a reader at the other end of its pipe or file, or by the shell
that looks at it. A job is accused of nothing unless one of them failed and nobody above made good for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from systrace.calls import OPENS
from systrace.dataclass import dataclass
from systrace.model import Endpoint, Event, FileOpened, Process, Socket
from systrace.rules.case.datagrams import expects_answers
from systrace.rules.case.farewells import work_on
from systrace.rules.case.files import only_into_files, sources
from systrace.rules.case.index import SECOND, Case, once
from systrace.rules.case.stalls import open_wait
from systrace.rules.content.said import Said, said_by

_ITS_OWN = ("SO_RCVTIMEO", "SO_SNDTIMEO")  # limits at which a call fails; poll(2) and its like may just have looked
PROMPT_NS = 10 * SECOND  # a process that dies of an answer does so soon; one that goes on working has coped with it
CRASH_SIGNALS = frozenset(("SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGTRAP", "SIGSYS"))


@dataclass(slots=True)
class Victim:
    """The process that failed because of an answer: the receiver, the reader of its output, or the shell above."""

    process: Process
    receiver: Process | None
    said: Said
    end: int | None  # when it ended, in the order of `Case.at`
    read_at: int | None = None  # when it opened the file that holds the answer
    guessed: bool = False  # the log does not show what it read

    @property
    def waits(self) -> bool:
        """It has not ended: it waited for more when the log ended."""
        return self.process.signal is None and self.process.exit_code is None

    @property
    def how(self) -> str:
        """`exit status 4`, `killed by SIGSEGV`."""
        if self.process.signal is not None:
            return f"killed by {self.process.signal}"
        return f"exit status {self.process.exit_code}"

    @property
    def crashed(self) -> bool:
        """Died of a signal that the program's own fault raises."""
        return _crashed(self.process)

    def ended_within(self, case: Case, limit_ns: int, at: int) -> bool:
        """Whether it ended so soon after a moment, as far as the log tells."""
        since = at if self.read_at is None else self.read_at
        return self.end is None or not case.has_clock or self.end - since <= limit_ns


def _crashed(process: Process) -> bool:
    """Of a signal that nobody sent: kill(2) says SI_USER, abort(3) SI_TKILL (sigaction(2))."""
    last = process.signals[-1] if process.signals else None
    sent = last is not None and last.signal == process.signal and last.code == "SI_USER"
    return process.signal in CRASH_SIGNALS and not sent


def victim(case: Case, process: Process | None, at: int) -> Victim | None:
    """Who failed after receiving something at `at`; None when nobody did, or somebody above went on and ended well."""
    if process is None:
        return None
    for other, read_at in _file_readers(case).get(process.pid, ()):  # in a step of its own, as a rule
        if read_at >= at and not _excused(case, other):
            return _victim(case, other, process, read_at, read_at)
    if _excused(case, process):
        return None
    own = case.fate(process)
    if own in ("failed", "killed") and _died_by_itself(process):
        return _victim(case, process, process, at)
    if own == "killed":
        return None
    for other in sorted(_readers(case, process), key=lambda p: case.end_of(p) or 0):
        if _failed_after(case, other, at) and not _read_elsewhere(case, other, process):
            return _victim(case, other, process, at) if not _excused(case, other) else None
    who = _failed_above(case, process, at)
    return who if who is None or not _read_others(case, who.process) else None


def complainer(case: Case, process: Process | None) -> Victim | None:
    """The receiver itself, where it ended with status 0 and nobody is above it: its own words may still tell of a death
    within (an exception that was printed and swallowed).
    """
    who = content(case, process)
    return who if process is not None and next(case.above(process), None) is None else None


def content(case: Case, process: Process | None) -> Victim | None:
    """The receiver itself, where it ended with status 0: whatever it received, it did not mind."""
    return _victim(case, process, process) if process is not None and case.fate(process) == "ok" else None


def later_step(case: Case, process: Process | None) -> Victim | None:
    """In a log without files (-e trace=network): the step that failed later, and the job with it, where no other failed and
    it did nothing on the network. It may have read what this process, which ended well, had saved.
    """
    if process is None or case.shows(OPENS) or case.fate(process) != "ok":
        return None
    failed = [each for each in case.evidence.processes.values() if _failed_after(case, each, 0)]
    step = min(failed, key=lambda each: case.end_of(each) or 0, default=None)
    if step is None or not _failed_after(case, step, case.end_of(process) or 0) or not case.same_job(step, process):
        return None
    chain = {step.pid, *(each.pid for each in case.above(step))}
    if any(each.pid not in chain or each.pid in _on_the_network(case) for each in failed) or _excused(case, step):
        return None
    end = case.end_of(step)
    return Victim(step, process, said_by(case, step), end, end, guessed=True)


def stopped(case: Case, process: Process | None) -> Victim | None:
    """The receiver, where somebody put an end to its waiting (timeout(1), a scheduler) and the job failed by that."""
    if process is None or case.fate(process) != "killed" or process.signal == "SIGPIPE" or _excused(case, process):
        return None
    return _victim(case, process, process)


def waiting(case: Case, process: Process | None, socket: Socket) -> Victim | None:
    """The receiver, where the log ends while it waits for more on this socket."""
    if process is None or open_wait(socket) is None or case.stops_early or case.fate(process) != "open":
        return None
    return _victim(case, process, process)


def _victim(
    case: Case, process: Process, received_by: Process, since: int | None = None, read_at: int | None = None
) -> Victim:
    return Victim(process, received_by, said_by(case, process, received_by, since), case.end_of(process), read_at)


def _died_by_itself(process: Process) -> bool:
    """Not stopped by somebody: SIGPIPE means that its reader had enough, other signals come from outside."""
    return process.signal is None or _crashed(process)


def _excused(case: Case, process: Process) -> bool:
    """Somebody above ended well: the failure was part of the plan. So it was where nobody was to hear of it, and the job
    failed of a later step.
    """
    if any(case.fate(parent) == "ok" for parent in case.above(process)):
        return True
    complaints = [output.path for output in process.output if output.fd == 2]
    if not complaints or any(path != "/dev/null" for path in complaints):
        return False
    end, root = case.end_of(process) or 0, case.root_of(process)
    later = (each for each in case.descendants(root) if each.start_ns is not None) if root is not None else ()
    return case.has_clock and any((each.start_ns or 0) >= end and _failed_after(case, each, end) for each in later)


def _readers(case: Case, process: Process) -> Iterator[Process]:
    """Other children of the same parent that do nothing on the network: the next in a pipe, or in a script."""
    network = _on_the_network(case)
    parent = next(case.above(process), None)
    if parent is None:
        return
    for other in case.evidence.processes.values():
        if other.pid in (process.pid, parent.pid) or other.pid in network:
            continue
        if next(case.above(other), None) is parent:
            yield other


@once
def _file_readers(case: Case) -> dict[int, list[tuple[Process, int]]]:
    """Receiver -> (who failed after reading what it wrote to a file, when it opened that)."""
    network = _on_the_network(case)
    found: dict[int, list[tuple[Process, int]]] = {}
    for reader in case.evidence.processes.values():
        if (reader.files or not case.sees_files) and _failed_after(case, reader, 0):
            for writer, at in sources(case, reader):
                if writer.pid in network:
                    found.setdefault(writer.pid, []).append((reader, at))
    return found


@once
def _known_readers(case: Case) -> set[int]:
    return {reader.pid for readers in _file_readers(case).values() for reader, _ in readers}


def _read_others(case: Case, process: Process) -> bool:
    """It is known whose answers it read, from files: not those of a receiver that wrote none of them."""
    return process.pid in _known_readers(case)


def _read_elsewhere(case: Case, reader: Process, process: Process) -> bool:
    """What the reader read is known, or what the process wrote, and they are not the same."""
    if _read_others(case, reader):
        return True
    reads = any(isinstance(use, FileOpened) and not use.writes for use in reader.files)
    return reads and only_into_files(process)


def _failed_after(case: Case, process: Process, at: int) -> bool:
    failed = case.fate(process) in ("failed", "killed") and _died_by_itself(process)
    return failed and (case.end_of(process) or 0) >= at


def _failed_above(case: Case, process: Process, at: int) -> Victim | None:
    """The nearest shell (or driver) above that failed, unless another of its children failed after this one."""
    below = process
    for parent in case.above(process):
        fate = case.fate(parent)
        if fate == "ok" or (fate == "killed" and parent.signal not in CRASH_SIGNALS):
            return None
        if fate in ("failed", "killed"):
            others = (p for p in case.evidence.processes.values() if p.parent == parent.pid and p is not below)
            if any(_failed_after(case, other, at) for other in others):
                return None
            return _victim(case, parent, process, at) if not _excused(case, parent) else None
        below = parent
    return None


@once
def _on_the_network(case: Case) -> set[int]:
    """The processes that used a network socket."""
    return {pid for s in case.clients if s.is_network and expects_answers(s) for pid in _users(case, s)}


def _users(case: Case, socket: Socket) -> set[int]:
    return {p for p in (case.evidence.owners.get(e.record.tid) for e in socket.timeline) if p is not None}


def is_last_word(case: Case, process: Process | None, at: int, socket: Socket) -> bool:
    """It did no work on another network socket after `at`, nor failed there or began to connect: this was the last it met."""
    if process is None:
        return True
    return all(when <= at or uid == socket.uid for uid, when in _activity(case).get(process.pid, ()))


def _served(case: Case) -> set[tuple[int | None, Endpoint | None]]:
    """(process, address) of what the processes of the job listen on and have accepted."""
    served = (s for s in case.evidence.sockets.values() if s.role in ("listener", "server") and s.local is not None)
    return {(holder.pid, s.local) for s in served for holder in s.holders}


@once
def _activity(case: Case) -> dict[int, list[tuple[str, int]]]:
    """(socket, its last work, failure or attempt) of every process; left out are resolvers, datagrams that nobody waits to
    be answered: none are when one is only connected (RFC 6724: so is looked which addresses have a route), and connections
    to a port of its own, by which threads wake their event loop where there is no socketpair(2).
    """
    served = _served(case)
    found: dict[int, list[tuple[str, int]]] = {}
    for socket in case.clients:
        process = case.process(socket)
        if not socket.is_network or process is None or case.is_dns(socket) or not expects_answers(socket):
            continue
        if (process.pid, socket.peer) in served:
            continue
        moved: Sequence[Event] = work_on(socket) or socket.timeline[:1]
        times = [case.ended(event) for event in moved[-1:]]
        times += [case.at(attempt.events[0]) for attempt in socket.attempts if attempt.events]
        times += [case.ended(fault.event) for fault in socket.faults if fault.kind == "error"]
        times += [
            case.ended(span.events[-1]) for span in socket.waits if span.timed_out and span.limit_source in _ITS_OWN
        ]
        if times:
            found.setdefault(process.pid, []).append((socket.uid, max(times)))
    return found
