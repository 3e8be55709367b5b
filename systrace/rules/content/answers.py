"""The answers that clients received: of HTTP as such, of everything else as bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from itertools import islice

from systrace.dataclass import dataclass
from systrace.messages.http import HttpResponse
from systrace.model import Message, Process, Received, Socket, Transfer
from systrace.rules.case.index import Case, once
from systrace.rules.content.passed_on import passed_on


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
    nth: int = 0  # its own place there
    key: tuple[str, str, str] = field(init=False)  # method, host and path without query: equal for a repeated request

    def __post_init__(self) -> None:
        request = self.response.request
        if request is None:
            self.key = "", str(self.socket.peer), ""
        else:
            self.key = request.method, request.host, request.path.partition("?")[0]

    @property
    def later(self) -> list[Answer]:
        """That the same process received after it, in order."""
        return self.group[self.index + 1 :]

    @property
    def before(self) -> list[Answer]:
        """That the same process received before it, in order."""
        return self.group[: self.index]

    @property
    def repeated(self) -> Iterator[Answer]:
        """Later answers to the same request: one that carries other data is of another row, order or document."""
        return (other for other in islice(self.same, self.nth + 1, None) if not _asks_other(self, other))

    @property
    def url(self) -> str:
        """For people: method and target."""
        request = self.response.request
        if self.passed_on:
            return f"a request, as its receiver passed it on ({self.passed_on}),"
        return f"{request.method} {request.path}" if request is not None else "a request that the log does not show"


@once
def answers(case: Case) -> list[Answer]:
    """All final HTTP responses that clients received, in order."""
    found = sorted(_all_answers(case), key=lambda a: a.at)
    by_process: dict[int | None, list[Answer]] = {}
    for answer in found:
        by_process.setdefault(answer.process.pid if answer.process is not None else None, []).append(answer)
    for group in by_process.values():
        by_key: dict[tuple[str, str, str], list[Answer]] = {}
        for index, answer in enumerate(group):
            answer.group, answer.index = group, index
            answer.same = by_key.setdefault(answer.key, [])
            answer.nth = len(answer.same)
            answer.same.append(answer)
    return found


def _asks_other(one: Answer, other: Answer) -> bool:
    """The bodies of both requests are known to the last byte, and they differ."""
    asked = [answer.response.request for answer in (one, other)]
    known = [r.body.data() for r in asked if r is not None and r.complete and r.body is not None and r.body.whole]
    return len(known) == len(asked) and known[0] != known[1]


def _all_answers(case: Case) -> Iterator[Answer]:
    for socket in case.clients:
        for message in socket.messages:
            if isinstance(message, HttpResponse) and message.direction == "received" and not message.interim:
                yield Answer(socket, message, receiver(case, socket, message), ended_at(case, message))
    for process in _unread(case):
        for socket, response, why in passed_on(case, process):
            yield Answer(socket, response, process, ended_at(case, response), passed_on=why)


def _unread(case: Case) -> list[Process]:
    """Those that use the network, and of which no answer is legible."""
    users: dict[int, Process] = {}
    legible: set[int] = set()
    for socket in case.clients:
        process = case.process(socket)
        if process is not None and socket.is_network:
            users[process.pid] = process
        if process is not None and any(isinstance(m, HttpResponse) for m in socket.messages):
            legible.add(process.pid)
    return [users[pid] for pid in sorted(users.keys() - legible)]


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


# --------------------------------------------------------------------------------------------- bytes of raw sockets


def received_bytes(socket: Socket, limit: int = 1 << 16) -> tuple[bytes, bool]:
    """(what was received, up to the first hole; whether that is all); the bytes of the last calls where not all are kept."""
    whole = socket.dropped_events == 0
    events = [
        e
        for e in socket.timeline[socket.unbroken_from :]
        if isinstance(e, Received) and e.record.errno is None and e.size
    ]
    data = b""
    for event in events:
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
