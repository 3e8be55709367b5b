"""Who received which answer, who died of it, and what the dying said: shared by the rules on content.

An answer is consumed by the process that received it, by a reader at the other end of its pipe or file, or by the shell
that looks at it. A job is accused of nothing unless one of them failed and nobody above made good for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from systrace.decoders.bodies.problem import printable
from systrace.decoders.http_messages import HttpResponse
from systrace.model import Event, Message, Process, Received, Sent, Socket, Transfer
from systrace.rules.case import SECOND, Case
from systrace.rules.passed_on import passed_on

PROMPT_NS = 10 * SECOND  # a process that dies of an answer does so soon; one that goes on working has coped with it
CRASH_SIGNALS = frozenset(("SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGTRAP", "SIGSYS"))
_TEXT_LIMIT = 16 << 10  # characters looked at
_SAID = re.compile(
    r"(?i)exception|error|fail|fatal|traceback|invalid|malformed|unexpected|expected|parse|panic|denied|refused"
    r"|unable|cannot"
    r"|can't|could not|short|missing|bad |empty|no |not |abort|undefined|warn|unknown|die|wrong"
)
_WHOLE_SENTENCE = re.compile(
    r"^\s*(?:\[cause\]: )?(?:[\w.$:]*(?:Error|Exception|Fault|Panic)\b|Caused by: |\w+: (?:\(\d+\) |error)|parse error|ERROR)"
    r"|\((?:\w+::)*\w*(?:Error|Exception)\)$"
)
_FRAME = re.compile(
    r"^(?:\s+(?:at |File |from |\.\.\. |[\^~ ]+$|raise |return )|Traceback |During handling|The above exc|Node\.js v)"
)

# Words of a program that dies of an exception or of its own fault.
EXCEPTION_WORDS = (
    r"Traceback \(most recent|\bException\b|(?:Error|Exception)\b[:)]|PHP Fatal|Uncaught|panic:"
    r"|terminate called|at \S+ line \d+"
    r"|parse error|stack smashing|double free|Segmentation fault|Assertion|malformed|undefined method|\(RuntimeError\)"
)
# Words that name a failure of the transport, of name resolution or of this host: the data is not to blame then.
TRANSPORT_WORDS = (
    r"(?i)timed? ?out|refused|reset by peer|broken pipe|unreachable|gaierror|name or service|resolve"
    r"|getaddrinfo|connection"
    r"|ECONN|EPIPE|ETIMEDOUT|certificate|ssl|no space left|permission denied|keyboardinterrupt|memoryerror"
    r"|too many open"
    r"|no such file|modulenotfound|importerror|command not found"
)


@dataclass(slots=True)
class Said:
    """What a process and those above it wrote: error channel, log files, standard output but for the data itself."""

    text: str = ""
    events: list[Event] = field(default_factory=list)
    cut: bool = False  # `-s` hides a part of it

    def has(self, pattern: str) -> bool:
        """Whether the words fit."""
        return re.search(pattern, self.text) is not None

    def line(self, words: str = "") -> str:
        """The sentence that says most, for quoting, one with these words if there is; "" when nothing was said."""
        lines = [line.rstrip() for line in self.text.splitlines() if line.strip() and not _FRAME.match(line)]
        fitting = [line for line in lines if words and re.search(words, line)]
        found = ""
        for among in (fitting, lines):
            for pattern in (_WHOLE_SENTENCE, _SAID):
                found = found or next((line for line in reversed(among) if pattern.search(line)), "")
            found = found or (among[-1] if among else "")
        return printable(found.strip().encode("utf-8", "replace"), 200)


@dataclass(slots=True)
class Victim:
    """The process that failed because of an answer: the receiver, the reader of its output, or the shell above."""

    process: Process
    receiver: Process | None
    said: Said
    end: int | None  # when it ended, in the order of `Case.at`

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
        return self.process.signal in CRASH_SIGNALS


@dataclass(slots=True)
class Answer:
    """A final response of HTTP that a client of the trace received."""

    socket: Socket
    response: HttpResponse
    process: Process | None
    at: int  # when its last byte came, in the order of `Case.at`
    group: list[Answer] = field(default_factory=list)  # all that the same process received, in order
    index: int = 0  # its own place there
    passed_on: str = ""  # why the log shows it only as its receiver passed it on, see `passed_on`
    same: list[Answer] = field(default_factory=list)  # of the group, those with its `key`
    _key: tuple[str, str, str] | None = None

    @property
    def later(self) -> list[Answer]:
        """That the same process received after it, in order."""
        return self.group[self.index + 1 :]

    @property
    def before(self) -> list[Answer]:
        """That the same process received before it, in order."""
        return self.group[: self.index]

    @property
    def key(self) -> tuple[str, str, str]:
        """Method, host and path without query: equal for a repeated request."""
        if self._key is None:
            self._key = self._new_key()
        return self._key

    def _new_key(self) -> tuple[str, str, str]:
        request = self.response.request
        if request is None:
            return "", str(self.socket.peer), ""
        return request.method, request.host, request.path.partition("?")[0]

    @property
    def repeated(self) -> list[Answer]:
        """Later answers to the same request."""
        return [other for other in self.same if other.index > self.index]

    @property
    def url(self) -> str:
        """For people: method and target."""
        request = self.response.request
        if self.passed_on:
            return f"a request, as its receiver passed it on ({self.passed_on}),"
        return f"{request.method} {request.path}" if request is not None else "a request that the log does not show"


class _Gathered:
    """The answers of a case, found once."""

    def __init__(self, case: Case) -> None:
        self.answers = sorted(_all_answers(case), key=lambda a: a.at)
        by_process: dict[int | None, list[Answer]] = {}
        for answer in self.answers:
            by_process.setdefault(answer.process.pid if answer.process is not None else None, []).append(answer)
        for group in by_process.values():
            by_key: dict[tuple[str, str, str], list[Answer]] = {}
            for index, answer in enumerate(group):
                answer.group, answer.index = group, index
                answer.same = by_key.setdefault(answer.key, [])
                answer.same.append(answer)
        self.said: dict[int, Said] = {}
        self.activity = _activity(case)
        self.network = {pid for s in case.clients if s.is_network for pid in _users(case, s)}


_GATHERED: WeakKeyDictionary[Case, _Gathered] = WeakKeyDictionary()


def _gathered(case: Case) -> _Gathered:
    found = _GATHERED.get(case)
    if found is None:
        found = _GATHERED[case] = _Gathered(case)
    return found


def answers(case: Case) -> list[Answer]:
    """All final HTTP responses that clients received, in order."""
    return _gathered(case).answers


def _all_answers(case: Case) -> Iterator[Answer]:
    for socket in case.clients:
        for message in socket.messages:
            if isinstance(message, HttpResponse) and message.direction == "received" and not message.interim:
                yield Answer(socket, message, receiver(case, socket, message), ended_at(case, message))
    legible = {s.uid for s in case.clients if any(isinstance(m, HttpResponse) for m in s.messages)}
    users = {p.pid: p for s in case.clients if s.is_network and (p := case.process(s)) is not None}
    illegible = users.keys() - {p.pid for s in case.clients if s.uid in legible and (p := case.process(s)) is not None}
    for pid in sorted(illegible):
        for socket, response, why in passed_on(case, users[pid]):
            yield Answer(socket, response, users[pid], ended_at(case, response), passed_on=why)


def ended_at(case: Case, message: Message) -> int:
    """When a message's last byte moved, in the order of `Case.at`."""
    if message.events:
        return case.ended(message.events[-1])
    return message.end_ns or message.start_ns or 0


def receiver(case: Case, socket: Socket, message: Message | None) -> Process | None:
    """The process whose call received a message."""
    for event in reversed(message.events if message is not None else []):
        pid = case.evidence.owners.get(event.record.tid)
        if pid is not None:
            return case.evidence.processes.get(pid)
    return case.process(socket)


def _users(case: Case, socket: Socket) -> set[int]:
    return {p for p in (case.evidence.owners.get(e.record.tid) for e in socket.timeline) if p is not None}


# ------------------------------------------------------------------------------------------------------- who failed


def victim(case: Case, process: Process | None, at: int) -> Victim | None:
    """Who failed after receiving something at `at`; None when nobody did, or somebody above went on and ended well."""
    if process is None or _excused(case, process):
        return None
    own = case.fate(process)
    if own in ("failed", "killed") and _died_by_itself(case, process):
        return _victim(case, process, process)
    if own == "killed":
        return None
    for other in sorted(_readers(case, process), key=lambda p: _end(case, p) or 0):
        end = _end(case, other)
        if case.fate(other) in ("failed", "killed") and (end is None or end >= at) and _died_by_itself(case, other):
            return _victim(case, other, process) if not _excused(case, other) else None
    return _failed_above(case, process, at)


def complainer(case: Case, process: Process | None) -> Victim | None:
    """The receiver itself, where it ended with status 0 and nobody is above it: its own words may still tell of a death
    within (an exception that was printed and swallowed).
    """
    who = content(case, process)
    return who if process is not None and next(_above(case, process), None) is None else None


def content(case: Case, process: Process | None) -> Victim | None:
    """The receiver itself, where it ended with status 0: whatever it received, it did not mind."""
    return _victim(case, process, process) if process is not None and case.fate(process) == "ok" else None


def stopped(case: Case, process: Process | None) -> Victim | None:
    """The receiver, where somebody put an end to its waiting (timeout(1), a scheduler) and the job failed by that."""
    if process is None or case.fate(process) != "killed" or process.signal == "SIGPIPE" or _excused(case, process):
        return None
    return _victim(case, process, process)


def waiting(case: Case, process: Process | None, socket: Socket) -> Victim | None:
    """The receiver, where the log ends while it waits for more on this socket."""
    last = socket.waits[-1] if socket.waits else None
    if process is None or last is None or case.fate(process) != "open" or last.ended_by not in ("", "end of log"):
        return None
    return _victim(case, process, process)


def _victim(case: Case, process: Process, received_by: Process) -> Victim:
    return Victim(process, received_by, said_by(case, process, received_by), _end(case, process))


def _end(case: Case, process: Process) -> int | None:
    return case.ended(process.exit_event) if process.exit_event is not None else process.end_ns


def _died_by_itself(case: Case, process: Process) -> bool:
    """Not stopped by somebody: SIGPIPE means that its reader had enough, other signals come from outside."""
    return process.signal is None or process.signal in CRASH_SIGNALS


def _above(case: Case, process: Process) -> Iterator[Process]:
    """The parent, its parent and so on. A log of network calls only does not show who began whom: there all that is
    known is the first process, which outlived the others.
    """
    seen = {process.pid}
    parent = case.owner_of(process.parent)
    while parent is not None and parent.pid not in seen:
        yield parent
        seen.add(parent.pid)
        process, parent = parent, case.owner_of(parent.parent)
    if case.sees_close:
        return
    first = next((p for p in case.roots() if p.traced), None)
    if first is not None and first.pid not in seen and (_end(case, first) or 0) >= (_end(case, process) or 0):
        yield first


def _excused(case: Case, process: Process) -> bool:
    """Somebody above ended well: the failure was part of the plan."""
    return any(case.fate(parent) == "ok" for parent in _above(case, process))


def _readers(case: Case, process: Process) -> Iterator[Process]:
    """Other children of the same parent that do nothing on the network: the next in a pipe, or in a script."""
    network = _gathered(case).network
    parent = next(_above(case, process), None)
    if parent is None:
        return
    for other in case.evidence.processes.values():
        if other.pid in (process.pid, parent.pid) or other.pid in network:
            continue
        if next(_above(case, other), None) is parent:
            yield other


def _failed_after(case: Case, process: Process, at: int) -> bool:
    failed = case.fate(process) in ("failed", "killed") and _died_by_itself(case, process)
    return failed and (_end(case, process) or 0) >= at


def _failed_above(case: Case, process: Process, at: int) -> Victim | None:
    """The nearest shell (or driver) above that failed, unless another of its children failed after this one."""
    below = process
    for parent in _above(case, process):
        fate = case.fate(parent)
        if fate == "ok" or (fate == "killed" and parent.signal not in CRASH_SIGNALS):
            return None
        if fate in ("failed", "killed"):
            others = (p for p in case.evidence.processes.values() if p.parent == parent.pid and p is not below)
            if any(_failed_after(case, other, at) for other in others):
                return None
            return _victim(case, parent, process) if not _excused(case, parent) else None
        below = parent
    return None


# ------------------------------------------------------------------------------------------------------ what it said


def said_by(case: Case, process: Process, received_by: Process | None = None) -> Said:
    """What this process, the receiver and those above wrote at their ends."""
    said = Said()
    chain: list[Process] = [process]
    if received_by is not None and received_by is not process:
        chain.append(received_by)
    chain += [parent for parent in _above(case, process) if parent not in chain]
    texts = []
    for each in chain:
        own = _written(case, each)
        texts.append(own.text)
        said.events += own.events
        said.cut = said.cut or own.cut
    for event in case.evidence.printed:
        data = getattr(event, "data", b"")
        texts.append(data.decode("utf-8", "replace"))
        said.events.append(event)
    said.text = "\n".join(text for text in texts if text)[-_TEXT_LIMIT:]
    return said


def _written(case: Case, process: Process) -> Said:
    known = _gathered(case).said
    if process.pid not in known:
        said = known[process.pid] = Said()
        carried = _carried(case, process)
        parts = []
        for output in process.output:
            data = output.data
            error = output.fd == 2 or output.path == "stderr" or "log" in output.path.rsplit("/", 1)[-1].lower()
            plain = output.fd == 1 or output.path == "stdout"
            if (error or plain) and not (plain and data[:48] in carried):
                parts.append(data.decode("utf-8", "backslashreplace"))
                said.events.append(output.event)
                said.cut = said.cut or len(data) < output.event.size
        said.text = "".join(parts)[-_TEXT_LIMIT:]
    return known[process.pid]


def _carried(case: Case, process: Process) -> bytes:
    """The beginnings of what a process downloaded: copied to its output, that is not its own words."""
    return b"\n".join(
        a.response.body.data()[:_TEXT_LIMIT]
        for a in answers(case)
        if a.process is process and a.response.body is not None
    )


# --------------------------------------------------------------------------------------------- bytes of raw sockets


def received_bytes(socket: Socket, limit: int = 1 << 16) -> tuple[bytes, bool]:
    """(what was received, up to the first hole; whether that is all); the last call's bytes where others are not kept."""
    events = [e for e in socket.timeline if isinstance(e, Received) and e.record.errno is None and e.size]
    whole = socket.dropped_events == 0
    data = b""
    for event in events if whole else events[-1:]:
        if b"MSG_PEEK" in event.flags:
            continue
        known = b"".join(part for part, _ in event.payload())[: event.size]
        data += known
        if len(known) < event.size or len(data) >= limit:
            return data[:limit], False
    return data, whole


def last_received(socket: Socket) -> Transfer | None:
    """The last call that received bytes, of those that are kept."""
    moved = [e for e in socket.timeline[-40:] if isinstance(e, Received) and e.size and not e.record.errno]
    for message in reversed(socket.messages):
        if message.direction == "received":
            moved += [e for e in message.events[-1:] if isinstance(e, Received)]
            break
    return max(moved, key=lambda e: e.record.lineno, default=None)


def is_last_word(case: Case, process: Process | None, at: int, socket: Socket) -> bool:
    """No other network socket of this process moved bytes, or began to connect, after `at`: it was the last it met."""
    if process is None:
        return True
    return all(when <= at or uid == socket.uid for uid, when in _gathered(case).activity.get(process.pid, ()))


def _activity(case: Case) -> dict[int, list[tuple[str, int]]]:
    """(socket, its last progress or attempt) of every process, resolvers left out."""
    found: dict[int, list[tuple[str, int]]] = {}
    for socket in case.clients:
        process = case.process(socket)
        if not socket.is_network or process is None or case.is_dns(socket):
            continue
        moved = [e for e in socket.timeline if isinstance(e, Sent | Received) and e.size] or socket.timeline[:1]
        times = [case.ended(event) for event in moved[-1:]]
        times += [case.at(attempt.events[0]) for attempt in socket.attempts if attempt.events]
        if times:
            found.setdefault(process.pid, []).append((socket.uid, max(times)))
    return found
