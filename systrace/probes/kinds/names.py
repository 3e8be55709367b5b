"""Ask each nameserver of the job by itself: a resolver library tells only what the first that answered said."""

from __future__ import annotations

import secrets
import select
import socket
import struct
import time
from dataclasses import field
from pathlib import Path

from systrace.dataclass import dataclass
from systrace.decoders.protocols.dns import parse, plausible
from systrace.messages.dns import DnsMessage
from systrace.probes import probe
from systrace.probes.asking import Round
from systrace.probes.target import Target, address_of
from systrace.probes.tcp import exchange, family_of
from systrace.words import safe

_TYPES = {"A": 1, "AAAA": 28}
_TRIES, _TRY_S = 2, 1.5  # glibc waits 5 s for each: a server on the way to a job answers much sooner
_ROUND_S = _TRIES * _TRY_S
_TCP_S = 3.0
_SOME_S = 0.2
_MOST_SERVERS = 4
_CLOSED = "port closed"


@dataclass(slots=True)
class _Asked:
    """One nameserver, and what it said to each question."""

    server: str
    asked: bool = False
    socket: socket.socket | None = None
    ids: dict[int, str] = field(default_factory=dict)
    answers: dict[str, DnsMessage] = field(default_factory=dict)
    took_s: float = 0.0
    error: str = ""

    @property
    def done(self) -> bool:
        return bool(self.error) or len(self.answers) == len(_TYPES)

    @property
    def addresses(self) -> list[str]:
        return [one for each in self.answers.values() for one in each.addresses]

    @property
    def outcome(self) -> str:
        if self.addresses:
            return "answered"
        if not self.answers:
            return self.error or "silent"
        wrong = next((each.rcode for each in self.answers.values() if each.rcode != "NOERROR"), "")
        return wrong or ("no address" if self.done else "silent")


@probe(
    separates="a dead nameserver, a name that is not there, an address that has changed",
    phase=0,
    most_s=2 * _ROUND_S + _TCP_S,
    fits=lambda target, _: target.is_name and target.proxy is None,
)
def names(target: Target, asking: Round) -> None:
    """A and AAAA, over UDP, over TCP where the answer was cut."""
    own = in_hosts(target.host)
    if own:
        text = f"{target.host} is {', '.join(own)} by /etc/hosts"
        asking.note("name", text, subject=target.host, outcome="answered", server="/etc/hosts", addresses=own)
        return
    for each in _ask_in_turn(target, asking):
        _note(each, target, asking)


def _ask_in_turn(target: Target, asking: Round) -> list[_Asked]:
    """What each nameserver says to the name, as a resolver would look for it. Who is silent is not asked again."""
    servers = [one for one in target.nameservers if address_of(one)][:_MOST_SERVERS]
    told = {one: _Asked(one) for one in servers}
    for name in _candidates(target):
        servers = [one for one in servers if not told[one].asked or told[one].outcome != "silent"]
        if asking.time_left(_ROUND_S) < _ROUND_S - _SOME_S:
            told |= {one: _Asked(one) for one in servers}
            break
        told |= {each.server: each for each in _ask(name, servers, asking)}
        if any(each.outcome == "answered" for each in told.values()):
            break
    return list(told.values())


def _candidates(target: Target) -> list[str]:
    """A name without a dot is looked for in the domains of resolv.conf first."""
    inside = [f"{target.host}.{domain}" for domain in target.search[:3]] if "." not in target.host else []
    return [*inside, target.host]


def _note(each: _Asked, target: Target, asking: Round) -> None:
    if not each.asked:  # it may be well
        text = f"nameserver {each.server}: there was no time left to ask it for {target.host}"
        asking.note("name", text, subject=target.host, outcome="unknown", server=each.server)
        return
    outcome, addresses = each.outcome, each.addresses
    ms, cause = round(each.took_s * 1000), "" if addresses else "dns-error"
    text = f"nameserver {each.server}: {outcome} for {target.host}"
    if addresses:
        text = f"nameserver {each.server}: {target.host} is {', '.join(addresses)} ({ms} ms)"
        if gone := [one for one in target.used if one not in addresses]:
            text += f"; the job used {', '.join(gone)}, which it does not name now"
        if missing := [kind for kind in _TYPES if kind not in each.answers]:
            cause, text = "dns-timeout", f"{text}; no answer for type {missing[0]}, for which resolvers wait"
    elif outcome == "silent":
        cause = "dns-timeout"
        text = f"nameserver {each.server} did not answer {_TRIES} queries within {_ROUND_S:.0f} s"
    elif outcome == _CLOSED:
        text = f"nameserver {each.server}: its port is closed, no nameserver runs there"
    elif outcome == each.error:
        cause, text = "unreachable", f"nameserver {each.server} cannot be reached: {outcome}"
    elif outcome == "no address":
        text = f"nameserver {each.server}: {target.host} is there and has no address"
    asking.note(
        "name", text, subject=target.host, cause=cause,
        outcome=outcome, server=each.server, addresses=addresses, took_ms=ms,
    )  # fmt: skip


def in_hosts(name: str, path: Path = Path("/etc/hosts")) -> list[str]:
    """Addresses that hosts(5) gives a name."""
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    rows = [line.partition("#")[0].split() for line in lines]
    wanted = name.lower().rstrip(".")
    return [row[0] for row in rows if row and wanted in map(str.lower, row[1:]) and address_of(row[0])]


def query(name: str, kind: str, number: int) -> bytes:
    """RFC 1035: one question, recursion desired."""
    labels = [label.encode("ascii", "replace")[:63] for label in name.split(".") if label]
    asked = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    return struct.pack(">6H", number, 0x0100, 1, 0, 0, 0) + asked + struct.pack(">2H", _TYPES[kind], 1)


def _ask(name: str, servers: list[str], asking: Round) -> list[_Asked]:
    """All of them at once."""
    told = [_Asked(one, asked=True) for one in servers]
    try:
        began = time.monotonic()
        for _ in range(_TRIES):
            for each in told:
                _send(each, name)
            _collect(told, began, asking.time_left(_TRY_S))
        for each in told:
            for kind, answer in list(each.answers.items()):
                if answer.truncated:
                    each.answers[kind] = _over_tcp(each.server, name, kind, asking) or answer
    finally:
        for each in told:
            if each.socket is not None:
                each.socket.close()
    return told


def _send(each: _Asked, name: str) -> None:
    try:
        if each.socket is None:  # which a kernel without IPv6 refuses
            each.socket = socket.socket(family_of(each.server), socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        each.socket.connect((each.server, 53))
        for kind in _TYPES:
            if kind not in each.answers and not each.error:
                number = secrets.randbelow(1 << 16)
                each.ids[number] = kind
                each.socket.send(query(name, kind, number))
    except ConnectionRefusedError:
        each.error = _CLOSED
    except OSError as error:
        each.error = error.strerror or str(error)


def _collect(told: list[_Asked], began: float, wait_s: float) -> None:
    until, poll = time.monotonic() + wait_s, select.poll()
    by_fd = {each.socket.fileno(): (each, each.socket) for each in told if each.socket is not None and not each.done}
    for fd in by_fd:
        poll.register(fd, select.POLLIN)
    while by_fd and (left := until - time.monotonic()) > 0:
        for fd, _ in poll.poll(left * 1000 + 1):
            each, one = by_fd[fd]
            _take(each, one)
            each.took_s = time.monotonic() - began
            if each.done:
                poll.unregister(fd)
                del by_fd[fd]


def _take(each: _Asked, one: socket.socket) -> None:
    try:
        data = one.recv(1 << 16)
    except ConnectionRefusedError:
        each.error = _CLOSED
        return
    except OSError as error:
        each.error = error.strerror or str(error)
        return
    kind = each.ids.get(int.from_bytes(data[:2], "big"))
    if kind is not None and (answer := _read(data)) is not None:
        each.answers[kind] = answer


def _read(data: bytes) -> DnsMessage | None:
    answer = DnsMessage("dns", "", "received", None, None, "", True)
    if not plausible(data):
        return None
    parse(data, answer)
    return answer if answer.is_response else None


def _over_tcp(server: str, name: str, kind: str, asking: Round) -> DnsMessage | None:
    """The whole answer; None where it is not to be had."""
    asked = query(name, kind, secrets.randbelow(1 << 16))

    def whole(came: bytes) -> bool:
        return len(came) > 2 and len(came) >= 2 + int.from_bytes(came[:2], "big")

    try:
        with socket.create_connection((server, 53), asking.time_left(_TCP_S) or 0.1) as one:
            one.setblocking(False)
            return _read(exchange(one, struct.pack(">H", len(asked)) + asked, asking.time_left(_TCP_S), whole)[2:])
    except OSError as error:
        text = f"nameserver {server}: the answer is too long for UDP, and over TCP: {safe(str(error))}"
        asking.note("name", text, subject=name, cause="dns-error", outcome="tcp", server=server)
        return None
