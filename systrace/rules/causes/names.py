"""Name resolution: look-ups that got no answer, or an answer that says no (verdicts 2.5, 4.1)."""

from __future__ import annotations

from collections.abc import Iterator

from systrace.calls import READS
from systrace.calls.errnos import UNREACHABLE
from systrace.messages.dns import DnsMessage
from systrace.model import Draft, Event, Process, Received, Sent, Socket, Step
from systrace.rules.case.datagrams import rejection
from systrace.rules.case.index import SECOND, Case
from systrace.rules.case.lookups import Lookup, lookups_of
from systrace.rules.content.said import said_by
from systrace.rules.look import looked
from systrace.rules.rule import Phase, rule
from systrace.shell import word
from systrace.words import seconds

SLOW_NS = SECOND  # a look-up of a second or more is worth a note
_UNANSWERED_NS = SECOND  # resolvers wait 2 to 5 s before they ask again; less than this proves nothing
_Q = r'"\22\64\1\0\0\1\0\0\0\0\0\0\2db\7example\0\0\1\0\1"'
_SEND = (
    "9 1.0 socket(AF_INET, SOCK_DGRAM, IPPROTO_IP) = 3 <0.0001>\n9 1.1 connect(3, {sa_family=AF_INET, sin_port=htons(53), "
    f'sin_addr=inet_addr("192.0.2.53")}}, 16) = 0 <0.0001>\n9 1.2 sendto(3, {_Q}, 28, MSG_NOSIGNAL, NULL, 0) = 28 <0.001>\n'
)
_NO = r'"\22\64\201\203\0\1\0\0\0\0\0\0\2db\7example\0\0\1\0\1"'
_YES = r'"\22\64\201\200\0\1\0\1\0\0\0\0\2db\7example\0\0\1\0\1\300\f\0\1\0\1\0\0\0<\0\4\300\0\2\7"'
_TIMEOUT = "9 1.3 poll([{fd=3, events=POLLIN}], 1, 5000) = 0 (Timeout) <5.005>\n9 6.4 close(3) = 0 <0.0001>\n"
_NAME_WORDS = (
    r"(?i)name resolution|resolv|gaierror|getaddrinfo|ENOTFOUND|EAI_AGAIN|UnknownHost|unknown host|nodename nor servname|"
    r"not known|no address associated|translate host name|name or service|lookup|bad hostname|NXDOMAIN"
)
_ERRORS = {
    "NXDOMAIN": "the name does not exist",
    "SERVFAIL": "the server could not find out",
    "REFUSED": "the server refuses to answer for this client or name",
    "NODATA": "the name exists, but has no address",
}


def _asked_without_answer(case: Case) -> Iterator[tuple[Process | None, list[Socket]]]:
    """Resolver sockets whose questions could not be decoded, by process: those that never heard anything."""
    by_process: dict[int | None, list[Socket]] = {}
    for socket in case.clients:
        if case.is_dns(socket) and not any(isinstance(m, DnsMessage) for m in socket.messages):
            process = case.process(socket)
            by_process.setdefault(process.pid if process is not None else None, []).append(socket)
    for pid, sockets in by_process.items():
        if any(s.received.calls for s in sockets):
            continue
        asked = [s for s in sockets if s.sent.calls or rejection(s, _REJECTED) or any(w.timed_out for w in s.waits)]
        if asked:
            yield case.owner_of(pid), asked


def _is_closed(socket: Socket) -> bool:
    """The question was rejected, or could not be sent; or POLLERR came, and the resolver moved on without reading it."""
    rejected = rejection(socket, _REJECTED) is not None
    return rejected or (socket.error_ready is not None and not socket.received.calls)


_REJECTED = frozenset({"ECONNREFUSED", "EPERM", "EACCES", "ENETDOWN", "EADDRNOTAVAIL"}) | UNREACHABLE


def _closed(sockets: list[Socket]) -> list[Socket]:
    return [socket for socket in sockets if _is_closed(socket)]


def _servers(sockets: list[Socket]) -> str:
    return ", ".join(sorted({str(socket.peer) for socket in sockets if socket.peer is not None}))


def _server(sockets: list[Socket]) -> Socket:
    return next((s for s in sockets if s.peer is not None), sockets[0])


def _evidence(lookup: Lookup, sockets: list[Socket]) -> list[Event]:
    events: list[Event] = []
    for socket in sockets[:4]:
        moved = [e for e in socket.timeline if isinstance(e, Sent | Received) and _within(lookup, e.record.time_ns)]
        waits = [wait for wait in socket.waits if _within(lookup, wait.start_ns)]
        events += moved[:1] + moved[-1:] + [e for wait in waits[:2] for e in wait.events[-1:]]
        events += [f.event for f in socket.faults[:1]]
        if socket.error_ready is not None:
            events.append(socket.error_ready)
        if not moved:
            events += socket.timeline[:2]
    return events


def _within(lookup: Lookup, time_ns: int | None) -> bool:
    """Before the next name was asked for on the same socket, and not before this one was."""
    until = lookup.until_ns
    return time_ns is None or until is None or (lookup.start_ns or 0) <= time_ns < until


def _did_without(case: Case, lookups: list[Lookup], lookup: Lookup) -> bool:
    """The program ended well, and names that it asked for later were answered: it got over this one."""
    later = lookups[lookups.index(lookup) + 1 :]
    fates = {case.fate(lookup.process), case.job_fate(lookup.process)}
    return fates == {"ok"} and any(look.answers and look.process is lookup.process for look in later)


def _later_solved(lookups: list[Lookup], failed: Lookup) -> bool:
    index = lookups.index(failed)
    return any(look.solved and (look.stem == failed.stem) for look in lookups[index + 1 :])


def _finding(case: Case, cause: str, lookup: Lookup, sockets: list[Socket]) -> Draft:
    server = _server(sockets)
    finding = case.finding(cause, server, _evidence(lookup, sockets), lookup.process, severity="fatal")
    ends = [s.closed_ns for s in sockets if s.closed_ns is not None] + [lookup.end_ns or 0]
    if lookup.until_ns is not None:
        ends = [lookup.until_ns]
    waits = [w.end_ns for s in sockets for w in s.waits if w.end_ns is not None and _within(lookup, w.start_ns)]
    finding.end_ns = max(ends + waits) or finding.end_ns
    if lookup.start_ns is not None and finding.end_ns is not None and case.has_clock:
        finding.duration_ns = finding.end_ns - lookup.start_ns
    name = word(lookup.stem or "NAME")
    server_name = server.peer.host if server.peer is not None else "SERVER"
    finding.next_steps = [
        Step(f"dig +time=2 +tries=1 @{server_name} {name}"),
        Step(f"getent ahosts {name}; cat /etc/resolv.conf"),
    ]
    return finding


@rule("dns-timeout", phase=Phase.NAME, proven_by=("name",), fires=_SEND + _TIMEOUT + "9 6.5 +++ exited with 6 +++",
      silent=_SEND + f"9 1.3 recvfrom(3, {_YES}, 512, 0, NULL, NULL) = 44 <0.01>\n9 1.4 +++ exited with 0 +++")  # fmt: skip
def dns_timeout(case: Case) -> Iterator[Draft]:
    """The name server did not answer.

    What it is: questions went out to port 53 and nothing came back in the time the resolver allows (2 to 5 s a try);
        variant `slow`: an answer came after all, but the look-up took a second or more.
    Why it matters: without the address there is no connection; one dead server first in the list costs 5 s each time.
    What proves it: queries without a reply of the same id, and the resolver's waits that ran out.
    Not this: only the AAAA answer missing while the connection follows; an answer that says no (dns-error); answers that
        threads may have read which the log leaves out (no -f).
    What to do: a working server first in resolv.conf; `options timeout:1 attempts:3`; repair the path to UDP 53.
    Source: resolv.conf(5), RFC 1035 4.2.1
    """
    yield from looked(case, "dns-timeout")
    lookups = lookups_of(case)
    for lookup in lookups:
        sockets = list(lookup.sockets.values())
        if lookup.solved:
            yield from _slow(case, lookup, sockets)
            continue
        if lookup.answers or _closed(sockets) or all(s.unseen for s in sockets):
            continue
        finding = _unanswered(case, lookup, sockets)
        if finding is not None:
            finding.recovered = "retry" if _later_solved(lookups, lookup) else ""
            if _did_without(case, lookups, lookup):
                finding.severity = "warning"
            yield finding
    for process, sockets in _asked_without_answer(case):
        finding = _unanswered(case, Lookup(process, ""), sockets) if not _closed(sockets) else None
        if finding is not None:
            yield finding


def _unanswered(case: Case, lookup: Lookup, sockets: list[Socket]) -> Draft | None:
    finding = _finding(case, "dns-timeout", lookup, sockets)
    waits = (wait for socket in sockets for wait in socket.waits if _within(lookup, wait.start_ns))
    timed_out = any(wait.timed_out for wait in waits)
    if not timed_out and _may_be_answered(case, lookup, sockets, finding.duration_ns or 0):
        return None
    finding.confidence = "confirmed" if timed_out else "likely" if case.shows(READS) else "possible"
    tries = len(lookup.queries) or sum(s.sent.calls for s in sockets)
    often = "once" if tries == 1 else f"{tries} times"
    within = f" within {seconds(finding.duration_ns)}" if finding.duration_ns else ""
    finding.summary = (
        f"{case.name_of(lookup.process)} asked for {lookup.stem or 'a name'} {often}, and {_servers(sockets)} did not "
        f"answer{within}."
    )
    finding.causes = [
        "the name server's address is wrong or unreachable (resolv.conf after a network change, dead VPN)",
        "UDP 53 or its answers are dropped (NACL, firewall)",
        "the server limits queries (AWS: 1024 packets a second per interface)",
    ]
    finding.remedy = ["put a working server first in resolv.conf; options timeout:1 attempts:3", "a local cache"]
    finding.refuted_by = "an answer with the same id in a packet capture of that time"
    return finding


def _may_be_answered(case: Case, lookup: Lookup, sockets: list[Socket], took_ns: int) -> bool:
    """No wait ran out, and an answer may have come unseen, or too late for this log."""
    if case.blind_to_threads(lookup.process) or _killed_at_once(case, lookup, sockets):
        return True
    if not (case.shows(READS) or lookup.repeated or _was_last(case, lookup)):
        return True  # how it was read is not recorded, and the process went on
    fate = case.fate(lookup.process)
    if took_ns >= _UNANSWERED_NS or fate == "killed":
        return False
    return case.sees_waits or fate != "failed"


def _killed_at_once(case: Case, lookup: Lookup, sockets: list[Socket]) -> bool:
    """The process was ended so soon after its question that no server would have been late."""
    process = lookup.process
    if process is None or case.fate(process) != "killed" or process.end_ns is None or not case.has_clock:
        return False
    asked = max((s.last_progress_ns or 0 for s in sockets), default=0)
    return process.end_ns - asked < _UNANSWERED_NS


def _slow(case: Case, lookup: Lookup, sockets: list[Socket]) -> Iterator[Draft]:
    if lookup.start_ns is None or lookup.end_ns is None or lookup.end_ns - lookup.start_ns < SLOW_NS:
        return
    finding = _finding(case, "dns-timeout", lookup, sockets)
    finding.severity, finding.variant, finding.confidence = "warning", "slow", "confirmed"
    finding.duration_ns = lookup.end_ns - lookup.start_ns
    silent = _servers([s for s in sockets if not s.received.calls])
    finding.summary = (
        f"{case.name_of(lookup.process)}: the look-up of {lookup.stem} took {seconds(finding.duration_ns)}"
        + (f"; {silent} did not answer, another server did." if silent else ".")
    )
    finding.causes = ["a dead or slow name server is first in resolv.conf", "many search-list variants are tried first"]
    finding.remedy = ["remove the dead server; a name with its final dot skips the search list"]
    finding.refuted_by = "answers within milliseconds in a packet capture"
    yield finding


@rule("dns-error", phase=Phase.NAME,
      fires=_SEND + f"9 1.3 recvfrom(3, {_NO}, 512, 0, NULL, NULL) = 28 <0.01>\n9 1.5 +++ exited with 6 +++",
      silent=_SEND + f"9 1.3 recvfrom(3, {_YES}, 512, 0, NULL, NULL) = 44 <0.01>\n9 1.4 +++ exited with 0 +++")  # fmt: skip
def dns_error(case: Case) -> Iterator[Draft]:
    """The name server answered, and the answer is no; or its port is closed.

    What it is: variants `nxdomain` (no such name), `servfail`, `refused`, `nodata` (no address), `closed` (port 53 refuses),
        `truncated` (the answer needs TCP, and TCP failed).
    Why it matters: the name is wrong, or this server does not know it: a private zone, a split horizon, a deleted endpoint.
    What proves it: the code in the answer's header, for the last candidate of the search list too.
    Not this: NXDOMAIN for the first search-list candidates, NODATA for AAAA alone: both are normal. NODATA where the log
        lacks the result of another read from the resolver (grep): it may have been the address.
    What to do: correct the name; attach the zone to this network; retry only SERVFAIL.
    Source: RFC 1035 4.1.1, resolv.conf(5), RFC 2308 2.2
    """
    lookups = lookups_of(case)
    for lookup in lookups:
        sockets = list(lookup.sockets.values())
        if not lookup.answers:
            sockets = _closed(sockets)
        if lookup.solved or not (lookup.answers or sockets) or _did_no_harm(case, lookups, lookup):
            continue
        finding = _finding(case, "dns-error", lookup, sockets)
        finding.confidence = "confirmed"
        _word(case, finding, lookup)
        finding.recovered = "retry" if _later_solved(lookups, lookup) else ""
        _weigh(case, finding, lookup)
        yield finding
    for process, sockets in _asked_without_answer(case):
        closed = _closed(sockets)
        if closed and case.fate(process) != "ok":
            lookup = Lookup(process, "")
            finding = _finding(case, "dns-error", lookup, closed)
            _word(case, finding, lookup)
            yield finding


def _did_no_harm(case: Case, lookups: list[Lookup], lookup: Lookup) -> bool:
    """The program did without the name, or has an address of another type, or may have got one unseen."""
    if case.fate(lookup.process) == "ok" and not _was_last(case, lookup):
        return True
    if not _is_nodata(lookup):
        return False
    return any(s.unseen for s in lookup.sockets.values()) or _other_type_solved(lookups, lookup)


def _is_nodata(lookup: Lookup) -> bool:
    """All its answers say that the name has no address of the type that they were asked for."""
    return bool(lookup.answers) and all(a.rcode == "NOERROR" and not a.truncated for a in lookup.answers)


def _other_type_solved(lookups: list[Lookup], lookup: Lookup) -> bool:
    """The name has no address of this type (NODATA) and one of another, asked for on its own: resolvers that ask for A and
    AAAA on two sockets may send the second question when the first is answered (RFC 8305 3).
    """
    return any(each.solved and each.process is lookup.process and each.names & lookup.names for each in lookups)


def _streams(case: Case, lookup: Lookup) -> Iterator[Socket]:
    """The network connections of the program that looked up a name."""
    for socket in case.clients:
        if socket.is_network and socket.type == "stream" and case.process(socket) is lookup.process:
            yield socket


def _was_last(case: Case, lookup: Lookup) -> bool:
    """The program did nothing on the network but look up this name."""
    return not any(case.connected(socket) for socket in _streams(case, lookup))


def _weigh(case: Case, finding: Draft, lookup: Lookup) -> None:
    """A program that went on to connect elsewhere did not die of this name at once. Many look up the name of their own host
    first (one without a dot), and do without; or what happened then is hidden. Nor did one that ended well, or still runs:
    to some (block lists, tests that a name is free, names for addresses) "no such name" is a good answer.
    """
    if lookup.process is not None and said_by(case, lookup.process).has(_NAME_WORDS):
        return
    fates = {case.fate(lookup.process), case.job_fate(lookup.process)}  # a thread may look like a process of its own
    if fates <= {"ok", "open"} or lookup.stem.rstrip(".").endswith(".arpa"):
        finding.severity = "warning"
    socket = _connected_next(case, lookup)
    if socket is None:
        return
    unseen = socket.turn is None and not socket.faults and not case.sees_close
    if unseen or "." not in lookup.stem.strip("."):
        finding.severity = "warning"
    finding.confidence = "possible"
    finding.summary += f" It went on without this name, to {case.label(socket)}."


def _connected_next(case: Case, lookup: Lookup) -> Socket | None:
    """A connection that the program made after the look-up."""
    last = max((case.ended(e) for s in lookup.sockets.values() for e in s.timeline[-1:]), default=None)
    for socket in _streams(case, lookup):
        attempt = next((a for a in socket.attempts if a.outcome == "connected" and a.events), None)
        if attempt is not None and last is not None and case.at(attempt.events[0]) > last:
            return socket
    return None


def _word(case: Case, finding: Draft, lookup: Lookup) -> None:
    name = lookup.stem or "a name"
    who = case.name_of(lookup.process)
    finding.causes = [
        "a typing error, or a deleted or moved host or endpoint",
        "a private zone that is not attached to this network, or another server's view (split horizon)",
        "the forwarder behind this server is down (SERVFAIL)",
    ]
    finding.remedy = ["correct the name, or attach the zone to this network", "retry only SERVFAIL, with back-off"]
    finding.refuted_by = "the same question answered with an address by the same server at that time"
    if not lookup.answers:
        finding.variant = "closed"
        server = case.evidence.sockets.get(finding.socket or "")
        fault = rejection(server, _REJECTED) if server is not None else None
        errno = (fault.errno if fault is not None else None) or "ECONNREFUSED"
        if errno == "ECONNREFUSED":
            why = "the port is closed (ECONNREFUSED): no name server there"
        else:
            finding.variant, why = "unreachable", f"the name server is unreachable from here ({errno})"
        finding.summary = f"{who} asked {finding.peer} for {name}: {why}."
        return
    last = next((a for a in reversed(lookup.answers) if a.rcode != "NOERROR"), lookup.answers[-1])
    code = last.rcode if last.rcode != "NOERROR" else "NODATA"
    if last.truncated:
        finding.variant = "truncated"
        finding.summary = f"{who}: the answer for {name} was too long for UDP, and the look-up over TCP failed."
        return
    finding.variant = code.lower()
    tried = sorted({q.question for q in lookup.queries if q.question})
    others = f" (also tried: {', '.join(tried[:4])})" if len(tried) > 1 else ""
    finding.summary = f"{who} asked {finding.peer} for {name}: {_ERRORS.get(code, code)} ({code}){others}."
