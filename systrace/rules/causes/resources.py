"""Resources that ran out on this host: descriptors, local ports, addresses (verdicts 4.2, 4.6)."""

from __future__ import annotations

from collections.abc import Iterator

from systrace.model import Attempt, Draft, Event, Socket, Step
from systrace.rules.advice.probes import number
from systrace.rules.case.index import Case, where
from systrace.rules.examples import FAIL, FINE, connects
from systrace.rules.rule import Phase, rule


@rule("fd-exhaustion", phase=Phase.RESOURCES, of_process=True,
      fires="9 1.0 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = -1 EMFILE (Too many open files) <0.0001>\n" + FAIL,
      silent="9 1.0 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.0001>\n9 1.1 close(3) = 0 <0.0001>\n" + FINE)  # fmt: skip
def fd_exhaustion(case: Case) -> Iterator[Draft]:
    """The process (EMFILE) or the whole system (ENFILE) has no descriptor left.

    What it is: socket, accept, open, pipe or dup failed with EMFILE or ENFILE.
    Why it matters: it disguises itself: as "Temporary failure in name resolution", as missing files, as refused work.
    What proves it: the errno itself; it outranks what fails after it.
    Not this: a DNS or file problem that merely follows from it.
    What to do: close what is opened; raise LimitNOFILE only if the number is right.
    Source: getrlimit(2) RLIMIT_NOFILE, socket(2)
    """
    for process in case.evidence.processes.values():
        events = [e for e in process.faults if e.record.errno in ("EMFILE", "ENFILE")]
        if not events:
            continue
        finding = case.finding("fd-exhaustion", None, [events[0], events[-1]], process)
        first = events[0].record
        finding.severity, finding.confidence = "fatal", "confirmed"
        finding.variant = "process" if first.errno == "EMFILE" else "system"
        finding.count = len(events)
        held = sum(1 for s in case.evidence.sockets.values() if s.pid == process.pid and not s.closed_by)
        opened = f" ({held} sockets of it were open in this log)" if held else ""
        finding.summary = (
            f"{case.name_of(process)}: {first.syscall} failed with {first.errno}: "
            + ("the process has" if first.errno == "EMFILE" else "the whole system has")
            + f" no free descriptor{opened}; what fails after this follows from it."
        )
        finding.causes = ["descriptors are opened and not closed (a leak)", "the limit is too low for the work"]
        pid = number(process)
        finding.next_steps = [Step(f"ls /proc/{pid}/fd | wc -l; prlimit --nofile --pid {pid}")]
        finding.remedy = ["close what is opened", "ulimit -n / LimitNOFILE= higher, if the number is right"]
        finding.refuted_by = "free descriptors of that process at that time"
        yield finding


_MANY = 8  # connections to one destination


def lacks_ports(case: Case, attempt: Attempt) -> bool:
    """EADDRNOTAVAIL is about local ports, unless it is the only word on an IPv6 address: then this host has none."""
    if attempt.errno != "EADDRNOTAVAIL":
        return False
    return attempt.peer is None or ":" not in attempt.peer.host or _alike(case, attempt) >= _MANY


def _alike(case: Case, attempt: Attempt) -> int:
    """Connections of this log to the same destination."""
    return sum(1 for s in case.clients if s.peer == attempt.peer)


@rule("port-exhaustion", phase=Phase.PORT, of_process=True, of_connect=True,
      fires=connects("-1 EADDRNOTAVAIL (Cannot assign requested address) <0.0001>") + FAIL,
      silent='9 1.0 connect(3, {sa_family=AF_INET6, sin6_port=htons(443), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, "::1",'
      " &sin6_addr), sin6_scope_id=0}, 28) = -1 EADDRNOTAVAIL (Cannot assign requested address) <0.0001>\n"
      + connects("0 <0.0001>", 443, "1.1", fd=4, host="127.0.0.1") + FINE)  # fmt: skip
def port_exhaustion(case: Case) -> Iterator[Draft]:
    """There is no free local port for one more connection to that destination.

    What it is: connect(2) gave EADDRNOTAVAIL at once.
    Why it matters: closed connections hold their port for 60 s (TIME_WAIT) on the side that closed first: 28,000 ports
        are about 470 new connections a second to one destination.
    What proves it: the errno on connect; many connects to the same destination before it make it certain.
    Not this: EADDRNOTAVAIL of a bind to an address that this host doesn't have; IPv6 tried on a host without it.
    What to do: reuse connections; widen net.ipv4.ip_local_port_range; tcp_tw_reuse=1; more source addresses.
    Source: connect(2), ip-sysctl.rst ip_local_port_range, tcp_tw_reuse
    """
    for socket in case.clients:
        if socket.type in ("dgram", "raw"):
            continue
        for attempt in socket.attempts:
            if not lacks_ports(case, attempt):
                continue
            same = _alike(case, attempt)
            finding = case.finding("port-exhaustion", socket, attempt.events, severity="fatal")
            finding.confidence = "confirmed" if same >= _MANY else "likely"
            finding.summary = (
                f"{case.user(socket)}: connect to {finding.peer} failed with EADDRNOTAVAIL: no free local "
                f"port for this destination ({same} connections to it in this log)."
            )
            finding.causes = [
                "too many connections to one destination in a minute (closed ones hold their port for 60 s)",
                "other processes of this host hold the ports, or the socket is bound to an address that is not local",
            ]
            host, _ = where(attempt.peer)
            finding.next_steps = [
                Step(f"ss -s; ss -tan state time-wait dst {host} | wc -l"),
                Step("sysctl net.ipv4.ip_local_port_range"),
            ]
            finding.remedy = [
                "reuse connections (keep-alive, pool)",
                "net.ipv4.ip_local_port_range, net.ipv4.tcp_tw_reuse=1",
            ]
            finding.refuted_by = "free ports in that range at that time (ss -s)"
            yield finding


@rule("bind-conflict", phase=Phase.PORT, of_connect=True,
      fires='9 1.0 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.0001>\n'
      '9 1.0 bind(3, {sa_family=AF_INET, sin_port=htons(8080), sin_addr=inet_addr("0.0.0.0")}, 16)'
      " = -1 EADDRINUSE (Address already in use) <0.0001>\n" + FAIL,
      silent='9 1.0 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.0001>\n'
      '9 1.0 bind(3, {sa_family=AF_INET, sin_port=htons(8080), sin_addr=inet_addr("0.0.0.0")}, 16) = 0 <0.0001>\n'
      + FINE)  # fmt: skip
def bind_conflict(case: Case) -> Iterator[Draft]:
    """The local address or port that the program wants is taken, or is not this host's.

    What it is: bind, listen or connect from a fixed port failed with EADDRINUSE, EADDRNOTAVAIL or EACCES.
    Why it matters: usually the last run of the same program still holds the port (or its TIME_WAIT).
    What proves it: the errno itself.
    Not this: no free port for outgoing connections (port-exhaustion).
    What to do: find the holder; SO_REUSEADDR for servers; no fixed source port for clients.
    Source: bind(2), ip(7)
    """
    by_port: dict[int, list[Socket]] = {}
    for socket in case.evidence.sockets.values():
        if socket.local is not None and (socket.role == "listener" or case.connected(socket)):
            by_port.setdefault(socket.local.port, []).append(socket)
    for socket in case.evidence.sockets.values():
        errno, events = _refused_address(socket)
        if not events or errno not in _REFUSED:
            continue
        if any(_holds(case, s, socket, events[0]) for s in by_port.get(socket.local.port if socket.local else 0, ())):
            continue  # the other address family's listener, or an FTP client's control connection
        finding = case.finding("bind-conflict", socket, events, severity="fatal", confidence="confirmed")
        address = socket.peer or socket.local
        finding.peer = str(address) if address is not None else None
        finding.variant = errno.lower()
        finding.summary = (
            f"{case.user(socket)} could not take the local address {socket.local or 'it wanted'}: "
            f"{_REFUSED[errno]} ({errno})."
        )
        port = socket.local.port if socket.local is not None else "PORT"
        finding.causes = ["an earlier run of the same program still holds it", "another program uses that port"]
        finding.next_steps = [Step(f"ss -tulpn 'sport = :{port}'; ss -tan 'sport = :{port}'")]
        finding.remedy = ["stop the holder", "SO_REUSEADDR for servers; no fixed source port for clients"]
        finding.refuted_by = "nobody holding that port at that time"
        yield finding


_REFUSED = {
    "EADDRINUSE": "it is in use",
    "EADDRNOTAVAIL": "this host does not have that address",
    "EACCES": "it is not allowed to",
}


def _refused_address(socket: Socket) -> tuple[str, list[Event]]:
    """(why, calls) of the local address that a socket could not take by bind(2), listen(2) or connect(2); "" where it did."""
    if socket.kind != "socket" or socket.family in ("netlink", "packet"):
        return "", []
    for attempt in reversed(socket.attempts):
        if attempt.errno == "EADDRINUSE":
            return attempt.errno, list(attempt.events)
    fault = next((f for f in socket.faults if f.kind == "bind"), None)
    return (fault.errno or "", [fault.event]) if fault is not None else ("", [])


def _holds(case: Case, other: Socket, socket: Socket, bound: Event) -> bool:
    """The same process holds the port itself, by a socket that listens or is connected at that time."""
    if other is socket or other.pid != socket.pid or other.local is None or socket.local is None:
        return False
    if other.local.port != socket.local.port:
        return False
    if other.role == "listener":
        return other.state == "listening" and other.opened_ns != socket.opened_ns
    return case.connected(other) and (other.closed_ns is None or other.closed_ns >= case.at(bound))
