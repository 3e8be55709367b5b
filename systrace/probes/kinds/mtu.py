"""Do large packets arrive? The same message over TCP with large segments and with small ones tells a black hole.

Where nothing may be sent (neither TLS nor --http), the answer is "unknown": a connection is made of small packets alone.
"""

from __future__ import annotations

import errno
import secrets
import select
import socket
import ssl
import time

from systrace.dataclass import dataclass
from systrace.probes import probe
from systrace.probes.asking import Allowed, Round
from systrace.probes.target import Target
from systrace.probes.tcp import TcpInfo, exchange, family_of, hear_errors, heard

_CONNECT_S, _ANSWER_S, _UDP_S = 2.0, 4.0, 1.0
_SMALL_SEGMENT = 536  # bytes, of the packets that every path must carry (RFC 9293 3.7.1)
_MESSAGE = 4000  # bytes: more than any packet of a path with an MTU of 1500
_SIZES = (576, 1280, 1400, 1420, 1450, 1480, 1492, 1500)
_UDP_PORT = 33434  # traceroute(8): nobody listens there
IP_MTU_DISCOVER, IP_PMTUDISC_PROBE = 10, 3  # <linux/in.h>
IPV6_MTU_DISCOVER = 23  # <linux/in6.h>


@dataclass(frozen=True, slots=True)
class _Tried:
    """Whether anything came back to a message, and what the kernel says then."""

    answered: bool
    unacked: int
    retransmissions: int  # of the message, not of the SYN
    pmtu: int

    @property
    def lost(self) -> bool:
        """Packets were."""
        return bool(self.unacked or self.retransmissions)


def _fits(target: Target, allowed: Allowed) -> bool:
    return (
        bool(target.port)
        and target.proxy is None
        and (target.tls or allowed.tls or (allowed.http and bool(target.url)))
    )


@probe(
    separates="large packets that vanish on the way (a black hole) from a server that is silent",
    phase=3,
    most_s=3 * (_CONNECT_S + _ANSWER_S) + _UDP_S,
    fits=_fits,
)
def mtu(target: Target, asking: Round) -> None:
    """Where a connection gets no answer, a second with small segments; where that gets one, a third like the first."""
    if not asking.open_address:
        return
    message = _hello(target) if target.tls or asking.allowed.tls else _head(target)
    large = _try(message, 0, target, asking)
    if large is None:
        return
    if large.answered:
        _note_passing(large, "", asking)
        return
    small = _try(message, _SMALL_SEGMENT, target, asking)
    if small is None or not small.answered:
        _note_unknown("are not answered, in small packets neither", large, asking)
        return
    again = _try(message, 0, target, asking)  # one slow answer is no black hole
    if again is None:
        _note_unknown("were not answered, in small packets they are; it could not be tried again", large, asking)
    elif again.answered:
        _note_passing(again, f" (once not within {_ANSWER_S:.0f} s)", asking)
    elif not again.lost:
        which = (
            "are acknowledged and not answered, in small packets they are: the server is slow, or its answers vanish"
        )
        _note_unknown(which, again, asking)
    else:
        _note_black_hole(again, asking)


def _note_passing(large: _Tried, slow: str, asking: Round) -> None:
    text = f"{_MESSAGE} bytes arrive and are answered{slow}; packets of up to {large.pmtu} bytes pass"
    asking.note("mtu", text, mtu=large.pmtu, outcome="passes")


def _note_unknown(which: str, large: _Tried, asking: Round) -> None:
    text = f"unknown: {_MESSAGE} bytes {which}"
    asking.note("mtu", text, outcome="unknown", unacked=large.unacked, retransmissions=large.retransmissions)


def _note_black_hole(large: _Tried, asking: Round) -> None:
    admitted = _admitted(asking)
    which = "were never acknowledged" if large.unacked else "arrived late, their answer did not"
    size = f" Packets of {admitted} bytes pass." if admitted else ""
    text = (
        f"large packets vanish: {_MESSAGE} bytes {which} ({large.retransmissions} retransmissions); the same in packets of "
        f"{_SMALL_SEGMENT} bytes are answered.{size} ICMP that would tell is lost: clamp the MSS, or set a smaller MTU"
    )
    asking.note(
        "mtu", text, cause="send-blocked" if large.unacked else "hung-read", outcome="black hole", how="large packets",
        mtu=admitted or None, unacked=large.unacked, retransmissions=large.retransmissions,
    )  # fmt: skip


def _try(message: bytes, segment: int, target: Target, asking: Round) -> _Tried | None:
    """None where no connection may be made, or could."""
    connection = asking.connected(_CONNECT_S, segment)
    if connection is None:
        return None
    with connection as one:
        syns = TcpInfo.of(one).total_retrans  # that were sent again
        try:
            came = bool(exchange(one, message, asking.time_left(_ANSWER_S), bool))
        except OSError as error:
            came = error.errno in (errno.ECONNRESET, errno.EPIPE)  # an answer, too
        info = TcpInfo.of(one)
    return _Tried(came, info.unacked, info.total_retrans - syns, info.pmtu)


def _hello(target: Target) -> bytes:
    """A ClientHello that is long by the application protocols that it offers; no server knows them."""
    context = ssl.create_default_context()
    names = ["http/1.1"]
    while sum(map(len, names)) < _MESSAGE - 600:
        names.append(secrets.token_hex(100))
    context.set_alpn_protocols(names)
    sent = ssl.MemoryBIO()
    try:
        shaking = context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname=target.server_name or target.host)
    except ValueError:  # no name that IDNA knows: the size is the question, not the name
        context.check_hostname = False
        shaking = context.wrap_bio(ssl.MemoryBIO(), sent)
    try:
        shaking.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return sent.read()


def _head(target: Target) -> bytes:
    """HEAD with a field that nobody reads."""
    path = "/" + target.url.partition("://")[2].partition("/")[2]
    head = f"HEAD {path} HTTP/1.1\r\nHost: {target.host}\r\nUser-Agent: systrace-check\r\nConnection: close\r\n"
    return f"{head}X-Padding: {'.' * (_MESSAGE - len(head) - 15)}\r\n\r\n".encode("ascii", "replace")


def _admitted(asking: Round) -> int:
    """The largest packet that the path is known to carry: UDP that may not be parted, to a port where nobody is."""
    address, largest = asking.open_address, 0
    waiting: dict[int, tuple[int, socket.socket]] = {}
    poll, until = select.poll(), time.monotonic() + asking.time_left(_UDP_S)
    try:
        for number, size in enumerate(_SIZES):
            one = _sent(address, _UDP_PORT + number, size)
            if one is not None:
                waiting[one.fileno()] = size, one
                poll.register(one, 0)  # errors alone
        while waiting and (left := until - time.monotonic()) > 0:
            for fd, _ in poll.poll(left * 1000 + 1):
                size, one = waiting.pop(fd)
                poll.unregister(fd)
                said = heard(one)
                if said is not None:
                    arrived = (said.type, said.code) in ((3, 3), (1, 4)) and said.sender == address
                    largest = max(largest, size if arrived else said.mtu)
                one.close()
    finally:
        for _, one in waiting.values():
            one.close()
    return largest


def _sent(address: str, port: int, size: int) -> socket.socket | None:
    family = family_of(address)
    try:
        one = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    except OSError:
        return None
    six = family == socket.AF_INET6
    level, option = (socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER) if six else (socket.IPPROTO_IP, IP_MTU_DISCOVER)
    try:
        one.setsockopt(level, option, IP_PMTUDISC_PROBE)
        hear_errors(one)
        one.connect((address, port))
        one.send(bytes(size - (48 if six else 28)))  # headers
    except OSError:
        one.close()
        return None
    return one
