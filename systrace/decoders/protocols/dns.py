"""DNS over UDP and TCP (RFC 1035, 6891), as far as the bytes are known.

Nearly any bytes look like a DNS header, so counts and names are checked before a message is believed.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv6Address
from typing import ClassVar

from systrace.decoders import decoder, direction, times
from systrace.decoders.buffer import Buffer, span
from systrace.messages.dns import DnsMessage
from systrace.messages.piece import Piece
from systrace.messages.problem import printable
from systrace.model import Message, Socket, Transfer

TYPES = {
    1: "A",
    2: "NS",
    5: "CNAME",
    6: "SOA",
    12: "PTR",
    13: "HINFO",
    15: "MX",
    16: "TXT",
    28: "AAAA",
    33: "SRV",
    35: "NAPTR",
    39: "DNAME",
    41: "OPT",
    43: "DS",
    46: "RRSIG",
    47: "NSEC",
    48: "DNSKEY",
    50: "NSEC3",
    52: "TLSA",
    64: "SVCB",
    65: "HTTPS",
    251: "IXFR",
    252: "AXFR",
    255: "ANY",
    257: "CAA",
}
RCODES = {
    0: "NOERROR",
    1: "FORMERR",
    2: "SERVFAIL",
    3: "NXDOMAIN",
    4: "NOTIMP",
    5: "REFUSED",
    6: "YXDOMAIN",
    7: "YXRRSET",
    8: "NXRRSET",
    9: "NOTAUTH",
    10: "NOTZONE",
    16: "BADVERS",
}
_HEADER = 12
_MOST_RECORDS = 2000
_MOST_LABELS = 128
_KNOWN_OPCODES = frozenset({0, 1, 2, 4, 5})


class _CutError(Exception):
    """The known bytes end."""


@decoder
class Dns:
    """One resolver's socket: datagrams, or length-prefixed messages on a stream."""

    name: ClassVar[str] = "dns"
    ports: ClassVar[frozenset[int]] = frozenset({53, 5353, 5355, 8053})

    def __init__(self, socket: Socket) -> None:
        self.socket = socket
        self.handed_over = False
        self._datagrams = socket.type == "dgram"
        self._buffers = (Buffer(), Buffer())  # server, client

    @classmethod
    def identify(cls, client: bytes, server: bytes) -> int:
        """See `Decoder.identify`."""
        scores = [_score(head, response) for head, response in ((client, False), (server, True)) if head]
        return max(scores) if scores and 0 not in scores else 0

    def feed(self, from_client: bool, piece: Piece) -> Iterable[Message]:
        """See `Decoder.feed`."""
        if self._datagrams:
            message = self._message(from_client, piece.data, piece.missing > 0, piece.event, piece.event)
            return () if message is None else (message,)
        buffer = self._buffers[from_client]
        buffer.add(piece)
        return self._stream(from_client, buffer)

    def end(self, from_client: bool, how: str) -> Iterable[Message]:
        """A message that did not end comes out cut."""
        buffer = self._buffers[from_client]
        if self._datagrams or buffer.known < 2 + _HEADER:
            return ()
        first = buffer.here
        data = buffer.take(buffer.size)[0][2:]
        message = self._message(from_client, data, True, first, buffer.last)
        if message is None:
            return ()
        message.complete = False
        return (message,)

    def leftover(self) -> list[tuple[bool, Piece]]:
        """Never hands over."""
        return []

    def _stream(self, from_client: bool, buffer: Buffer) -> list[Message]:
        """RFC 1035 4.2.2: two bytes of length before each message."""
        out: list[Message] = []
        while buffer.size >= 2:
            prefix = buffer.peek(2)
            if len(prefix) < 2:
                if not buffer.stuck:
                    break
                buffer.skip_call()
                continue
            length = int.from_bytes(prefix, "big")
            if buffer.size < 2 + length:
                break
            first = buffer.here
            data, missing = buffer.take(2 + length)
            message = self._message(from_client, data[2:], missing > 0, first, buffer.last)
            if message is not None:
                out.append(message)
        return out

    def _message(
        self, from_client: bool, data: bytes, missing: bool, first: Transfer | None, last: Transfer | None
    ) -> DnsMessage | None:
        if not plausible(data):
            return None
        start, end = times(first, last)
        way = direction(self.socket, from_client)
        message = DnsMessage("dns", self.socket.uid, way, start, end, "", True, span(first, last))
        message.tcp = not self._datagrams
        message.server = self._peer(first)
        parse(data, message)
        message.cut = message.cut or (missing and len(message.answers) < message.answer_count)
        name = message.question or "?"
        if message.is_response:
            values = ", ".join(value for _, kind, value in message.answers if kind in ("A", "AAAA", "CNAME"))
            found = values or (f"{message.answer_count} answers" if message.rcode == "NOERROR" else "")
            message.summary = f"{message.qtype} {name}: {message.rcode} {found}".strip()[:200]
        else:
            message.summary = f"{message.qtype} {name}?"
        return message

    def _peer(self, event: Transfer | None) -> str:
        endpoint = self.socket.peer
        if endpoint is None and event is not None and event.address is not None:
            endpoint = event.address()
        return str(endpoint) if endpoint is not None else ""


def plausible(data: bytes) -> bool:
    """Twelve known bytes whose flags and counts a resolver or server would send."""
    if len(data) < _HEADER:
        return False
    flags = data[2] << 8 | data[3]
    response, opcode, rcode = flags >> 15, flags >> 11 & 15, flags & 15
    questions, answers, authority, additional = (int.from_bytes(data[at : at + 2], "big") for at in (4, 6, 8, 10))
    if opcode not in _KNOWN_OPCODES or rcode not in RCODES or questions > 1 or flags & 0x40:
        return False
    if not response and (answers or rcode or questions != 1 or authority > 4):
        return False
    return additional <= 64 and answers <= _MOST_RECORDS and authority <= 64


def parse(data: bytes, message: DnsMessage) -> None:
    """Fill in a message from its bytes; `cut` says that they ended early."""
    flags = data[2] << 8 | data[3]
    message.id = data[0] << 8 | data[1]
    message.is_response = bool(flags & 0x8000)
    message.authoritative = bool(flags & 0x0400)
    message.truncated = bool(flags & 0x0200)
    message.recursion_available = bool(flags & 0x0080)
    message.rcode = RCODES.get(flags & 15, str(flags & 15))
    questions = int.from_bytes(data[4:6], "big")
    message.answer_count = int.from_bytes(data[6:8], "big")
    at = _HEADER
    answers: list[tuple[str, str, str]] = []
    try:
        for _ in range(questions):
            message.question, at = _name(data, at)
            message.qtype = _type(_number(data, at))
            _number(data, at + 2)
            at += 4
        for _ in range(message.answer_count):
            record, at = _record(data, at)
            answers.append(record)
    except _CutError:
        message.cut = True
    message.answers = tuple(answers)


def _record(data: bytes, at: int) -> tuple[tuple[str, str, str], int]:
    name, at = _name(data, at)
    kind, length = _number(data, at), _number(data, at + 8)
    start = at + 10
    if start + length > len(data):
        raise _CutError
    return (name, _type(kind), _value(data, kind, start, length)), start + length


def _value(data: bytes, kind: int, at: int, length: int) -> str:
    content = data[at : at + length]
    if kind == 1 and length == 4:
        return ".".join(str(byte) for byte in content)
    if kind == 28 and length == 16:
        return str(IPv6Address(content))
    if kind in (2, 5, 12, 39):
        return _name(data, at)[0]
    if kind == 15 and length > 2:
        return f"{_number(data, at)} {_name(data, at + 2)[0]}"
    if kind == 33 and length > 6:
        return f"{_number(data, at)} {_number(data, at + 2)} {_number(data, at + 4)} {_name(data, at + 6)[0]}"
    if kind == 16:
        parts, position = [], 0
        while position < length:
            parts.append(content[position + 1 : position + 1 + content[position]])
            position += 1 + content[position]
        return printable(b"".join(parts))
    return content[:64].hex()


def _name(data: bytes, at: int) -> tuple[str, int]:
    """(name, offset after it); compression pointers only lead backwards (RFC 1035 4.1.4)."""
    labels: list[str] = []
    after = -1
    limit = at
    for _ in range(_MOST_LABELS):
        if at >= len(data):
            raise _CutError
        size = data[at]
        if size >= 0xC0:
            target = _number(data, at) & 0x3FFF
            after = at + 2 if after < 0 else after
            if target >= limit:
                raise _CutError
            at = limit = target
        elif size >= 0x40 or at + size >= len(data):
            raise _CutError
        elif not size:
            return ".".join(labels), after if after >= 0 else at + 1
        else:
            labels.append(printable(data[at + 1 : at + 1 + size], 63))
            at += 1 + size
    raise _CutError


def _number(data: bytes, at: int) -> int:
    if at + 2 > len(data):
        raise _CutError
    return data[at] << 8 | data[at + 1]


def _type(number: int) -> str:
    return TYPES.get(number, f"TYPE{number}")


def _score(head: bytes, response: bool) -> int:
    """UDP: the header first; TCP: two bytes of length before it."""
    for offset in (0, 2):
        data = head[offset:]
        if not plausible(data) or bool(data[2] & 0x80) != response:
            continue
        if offset and not _HEADER <= int.from_bytes(head[:2], "big") <= 1 << 16:
            continue
        questions = int.from_bytes(data[4:6], "big")
        if not questions:
            return 50 if response else 0
        try:
            _, at = _name(data, _HEADER)
        except _CutError:
            if len(data) > 100 or not _letters(data[_HEADER:]):
                continue
            return 60
        if at + 4 > len(data):
            return 70
        known = _number(data, at) in TYPES and _number(data, at + 2) & 0x7FFF in (1, 3, 4, 255)
        if known:
            return 95
    return 0


def _letters(data: bytes) -> bool:
    """Does a cut name begin like one: a length, then characters of host names?"""
    if not data:
        return True
    label = data[1 : 1 + data[0]]
    return 0 < data[0] < 64 and all(45 <= byte < 123 for byte in label)
