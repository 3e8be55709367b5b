"""What a process asked of its name servers: all questions for one name are one look-up, until an address came."""

from __future__ import annotations

from dataclasses import field

from systrace.dataclass import dataclass
from systrace.messages.dns import DnsMessage
from systrace.model import Process, Socket
from systrace.rules.case.index import SECOND, Case

_REMEMBERED = 64  # look-ups that a message may belong to


@dataclass(slots=True)
class Lookup:
    """All questions for one name (with its search-list variants) by one process, until an address came."""

    process: Process | None
    stem: str
    names: set[str] = field(default_factory=set)
    queries: list[DnsMessage] = field(default_factory=list)
    answers: list[DnsMessage] = field(default_factory=list)
    sockets: dict[str, Socket] = field(default_factory=dict)
    solved: bool = False
    start_ns: int | None = None
    end_ns: int | None = None
    until_ns: int | None = None  # when it was given up for the next name, on one of these sockets

    @property
    def repeated(self) -> bool:
        """A question was sent again under its own number: its answer had not come (RFC 1035 4.1.1)."""
        asked = [(m.id, m.question, m.qtype) for m in self.queries]
        return len(set(asked)) < len(asked)


def lookups_of(case: Case) -> list[Lookup]:
    """Every look-up of the trace, in order."""
    found: list[Lookup] = []
    messages = [(case.at(m.events[0]), m) for s in case.clients for m in s.messages
                if isinstance(m, DnsMessage) and m.events]  # fmt: skip
    for _, message in sorted(messages, key=lambda pair: pair[0]):
        socket = case.evidence.sockets[message.socket]
        process = case.process(socket)
        pid = process.pid if process is not None else None
        lookup = _of(found, pid, message)
        if lookup is None:
            if message.is_response and not message.question:
                continue
            lookup = Lookup(process, message.question.lower(), start_ns=message.start_ns)
            for before in found[-_REMEMBERED:]:
                if socket.uid in before.sockets and before.until_ns is None and _given_up(before, socket, message):
                    before.until_ns = message.start_ns
            found.append(lookup)
        lookup.sockets[socket.uid] = socket
        lookup.names.add(message.question.lower())
        if message.is_response:
            lookup.answers.append(message)
            if message.rcode == "NOERROR" and (message.answer_count or message.answers):
                lookup.solved = True
            lookup.end_ns = message.end_ns
        else:
            lookup.queries.append(message)
    return found


def _given_up(lookup: Lookup, socket: Socket, message: DnsMessage) -> bool:
    """The next name was asked for after a wait for this one; else both are outstanding, as those of c-ares are."""
    asked, now = lookup.queries[-1].start_ns if lookup.queries else None, message.start_ns
    if asked is None or now is None:
        return False
    ran_out = (w for w in socket.waits if w.timed_out and w.start_ns is not None and w.end_ns is not None)
    return now - asked >= SECOND or any(asked <= (w.start_ns or 0) and (w.end_ns or 0) <= now for w in ran_out)


def _of(found: list[Lookup], pid: int | None, message: DnsMessage) -> Lookup | None:
    """The look-up that a message belongs to; a new question after an address came is a look-up of its own."""
    for lookup in reversed(found[-_REMEMBERED:]):
        if (lookup.process.pid if lookup.process is not None else None) != pid or not _related(lookup, message):
            continue
        if lookup.solved and not message.is_response and message.socket not in lookup.sockets:
            return None
        return lookup
    return None


def _related(lookup: Lookup, message: DnsMessage) -> bool:
    name, stem = message.question.lower(), lookup.stem
    if name in lookup.names:
        return True
    if not name or not stem:
        return message.socket in lookup.sockets
    if lookup.answers and not lookup.solved and lookup.answers[-1].rcode == "NXDOMAIN":
        asked, waited = message.start_ns, lookup.end_ns
        soon = asked is None or waited is None or asked - waited < SECOND // 2
        if soon and name.partition(".")[0] == stem.partition(".")[0]:
            return True  # the next domain of the search list
    return name == stem or name.startswith(stem.rstrip(".") + ".") or stem.startswith(name.rstrip(".") + ".")
