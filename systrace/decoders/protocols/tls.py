"""TLS records (RFC 8446 5.1, RFC 5246 6.2): hellos, alerts and certificates where they are clear, the rest counted.

Where the session's keys are known (`use`), the rest is decrypted: see `tls_plain`.

Handshake messages are put together across records until encryption begins (TLS 1.3: after ServerHello; before:
after ChangeCipherSpec). Bytes that are no record come out as `NotTls`, with what came instead.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from systrace.decoders import decoder, direction, times
from systrace.decoders.buffer import StreamDecoder, span
from systrace.decoders.parts.tls_certificate import first_certificate, subject
from systrace.decoders.parts.tls_exchange import Exchange
from systrace.decoders.parts.tls_hello import Hello, client_hello, cut_hello, server_hello
from systrace.decoders.parts.tls_keys import KeyLog
from systrace.decoders.parts.tls_plain import Decryption, Sealed
from systrace.messages.piece import Piece
from systrace.messages.problem import printable
from systrace.messages.sniffing import sniff
from systrace.messages.tls import ALERTS, NO_KEYS, NotTls, TlsAlert, TlsCertificate, TlsHello, TlsRecords
from systrace.model import Message, Socket, Transfer

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION = 20, 21, 22, 23
_TYPES = frozenset({CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION, 24})
RECORD_LIMIT = (1 << 14) + 2048  # RFC 5246 6.2.3
HANDSHAKE_LIMIT = 1 << 17  # bytes of one handshake message kept
_HEADER = 5


class _Direction:
    """What one side has sent."""

    __slots__ = (
        "application",
        "encrypted",
        "first",
        "handshake",
        "last",
        "lost",
        "partial",
        "records",
        "secret",
        "size",
        "unsynced",
    )

    def __init__(self) -> None:
        self.records = 0
        self.application = 0
        self.secret = 0  # bytes of encrypted handshake
        self.encrypted = False
        self.handshake = bytearray()  # of messages that did not end yet
        self.partial = False  # a hole spoilt the handshake messages of this side
        self.lost = False  # no TLS any more
        self.unsynced = False  # a hole hid a record's header: look at the start of each call
        self.size = 0  # of the last encrypted record
        self.first: Transfer | None = None  # the call that carried the first of these handshake bytes
        self.last: Transfer | None = None


@decoder
class Tls(StreamDecoder):
    """One TLS connection."""

    name: ClassVar[str] = "tls"
    ports: ClassVar[frozenset[int]] = frozenset({443, 465, 563, 636, 853, 989, 990, 992, 993, 995, 5061, 5671, 8443})

    def __init__(self, socket: Socket) -> None:
        super().__init__(socket)
        self._sides = (_Direction(), _Direction())  # server, client
        self._plain: Decryption | None = None
        self._exchange = Exchange()

    @classmethod
    def identify(cls, client: bytes, server: bytes) -> int:
        """See `Decoder.identify`."""
        scores = [_score(head, from_client) for head, from_client in ((client, True), (server, False)) if head]
        return max(scores) if scores and 0 not in scores else 0

    def use(self, keylog: KeyLog) -> None:
        """See `Keyed.use`."""
        self._plain = Decryption(self.socket, keylog)

    def feed(self, from_client: bool, piece: Piece) -> Iterable[Message]:
        """See `Decoder.feed`; inside of a long record the payload is not even decoded."""
        side = self._sides[from_client]
        if side.lost:
            return ()
        (self.client if from_client else self.server).add(piece)
        return self.advance(from_client)

    def advance(self, from_client: bool) -> list[Message]:
        """Records that are whole."""
        out: list[Message] = []
        side, buffer = self._sides[from_client], self.client if from_client else self.server
        while buffer.size and not side.lost:
            header = buffer.peek(_HEADER)
            plausible = _maybe_record(header)
            if not plausible and not side.unsynced:
                self._not_tls(from_client, out)
            elif plausible and len(header) == _HEADER:
                side.unsynced = False
                if not self._record(from_client, header, out):
                    break
            elif plausible and not buffer.stuck:
                break
            else:
                self._skip_call(from_client, out)
        return out

    def ended(self, from_client: bool, how: str) -> list[Message]:
        """The rest: a hello that did not end, what was counted."""
        out: list[Message] = []
        side, buffer = self._sides[from_client], self.client if from_client else self.server
        waiting: tuple[int, int] | None = None
        if buffer.owed:
            waiting = (0, buffer.owed)
        elif buffer.size >= _HEADER and not side.lost:
            header = buffer.peek(_HEADER)
            length = int.from_bytes(header[3:], "big") if len(header) == _HEADER else 0
            waiting = (buffer.size - _HEADER, length)
            if header[:1] == b"\x16" and not side.encrypted:
                side.first = side.first or buffer.here
                body = buffer.take(_HEADER + length)[0][_HEADER:]
                self._cut_handshake(from_client, bytes(side.handshake) + body, buffer.last, out)
        elif side.handshake:
            self._cut_handshake(from_client, bytes(side.handshake), side.last, out)
        if self._plain is not None:
            out += self._plain.end(from_client, how)
            self._alerts(self._plain, out)
        if side.records or waiting is not None:
            out.append(self._records(from_client, waiting))
        return out

    # ------------------------------------------------------------------------------------------------------- records

    def _record(self, from_client: bool, header: bytes, out: list[Message]) -> bool:
        """Take the record that begins here; False while its rest must come first."""
        side, buffer = self._sides[from_client], self.client if from_client else self.server
        kind, length = header[0], int.from_bytes(header[3:], "big")
        whole = buffer.size >= _HEADER + length
        clear = kind == ALERT and length == 2  # encrypted ones are longer, or of type application data
        if kind != APPLICATION and (clear or not side.encrypted):
            if whole:
                self._clear(from_client, kind, length, out)
            return whole
        if self._plain is not None and self._plain.live and kind != CHANGE_CIPHER_SPEC:
            if whole:
                self._open(self._plain, from_client, header, out)
            return whole
        self._count(from_client, kind, length, out)
        buffer.skip(_HEADER + length)
        return True

    def _skip_call(self, from_client: bool, out: list[Message]) -> None:
        """A hole hid a record's header: the next call may begin with one."""
        side, buffer = self._sides[from_client], self.client if from_client else self.server
        skipped = buffer.skip_call()
        self._exchange.hole()
        side.unsynced = side.partial = True
        if self._plain is not None and side.encrypted:
            out += self._plain.skipped(from_client, skipped)

    def _count(self, from_client: bool, kind: int, length: int, out: list[Message]) -> None:
        """An encrypted record: nothing in it can be read, so it is skipped, even while it still comes."""
        side, buffer = self._sides[from_client], self.client if from_client else self.server
        event = buffer.here
        self._exchange.record(from_client, kind, length, event)
        side.records += 1
        if kind == APPLICATION:
            side.application += length
        elif kind == HANDSHAKE:
            side.secret += length
        elif kind == ALERT:
            self._alert(from_client, b"", event, out)
        side.last, side.size = event, length

    def _open(self, plain: Decryption, from_client: bool, header: bytes, out: list[Message]) -> None:
        """An encrypted record that has wholly come: what it carries, if its key is known."""
        buffer = self.client if from_client else self.server
        length = int.from_bytes(header[3:], "big")
        alerts: list[Message] = []  # what they say comes from `plain`
        self._count(from_client, header[0], length, alerts)
        buffer.skip(_HEADER)
        data, missing = buffer.take(length)
        out += plain.record(Sealed(from_client, header, None if missing else data, length, buffer.last))
        self._alerts(plain, out)

    def _alerts(self, plain: Decryption, out: list[Message]) -> None:
        for from_client, data, event in plain.alerts:
            self._alert(from_client, data, event, out)
        plain.alerts.clear()

    def _clear(self, from_client: bool, kind: int, length: int, out: list[Message]) -> None:
        """A whole record that is not encrypted."""
        side, buffer = self._sides[from_client], self.client if from_client else self.server
        event = buffer.here
        buffer.skip(_HEADER)
        data, missing = buffer.take(length)
        side.last = buffer.last
        if kind == CHANGE_CIPHER_SPEC:
            side.encrypted = True
        elif kind == ALERT:
            self._alert(from_client, data, event, out)
        elif kind == HANDSHAKE and not side.partial:
            if not side.handshake:
                side.first = event
            side.handshake += data
            if missing:
                side.partial = True
                self._handshake(from_client, out)
                self._cut_handshake(from_client, bytes(side.handshake), side.last, out)
                side.handshake.clear()
            else:
                self._handshake(from_client, out)

    def _alert(self, from_client: bool, data: bytes, event: Transfer | None, out: list[Message]) -> None:
        start, end = times(event, event)
        if len(data) != 2 and (len(data) < 2 or data[0] not in (1, 2)):
            level, code, name = "", None, "encrypted"
        else:  # two bytes are in clear: sealed ones are longer; of another level it is as bad (RFC 8446 6.2)
            level, code = "warning" if data[0] == 1 else "fatal", data[1]
            name = ALERTS.get(code, f"alert {code}")
        out.append(
            TlsAlert(
                *("tls", self.socket.uid, direction(self.socket, from_client), start, end),
                f"{level} TLS alert: {name}".strip(),
                complete=True,
                events=span(event, event),
                level=level,
                code=code,
                name=name,
                by_client=from_client,
            )
        )

    def _not_tls(self, from_client: bool, out: list[Message]) -> None:
        side, buffer = self._sides[from_client], self.client if from_client else self.server
        event = buffer.here
        offset, sample = buffer.taken, buffer.peek(64)
        buffer.skip(buffer.size)
        side.lost = True
        start, end = times(event, buffer.last)
        out.append(
            NotTls(
                *("tls", self.socket.uid, direction(self.socket, from_client), start, end),
                f"not TLS at byte {offset}: {printable(sample, 40)}",
                complete=True,
                events=span(event, buffer.last),
                offset=offset,
                sample=sample,
                looks_like=sniff(sample),
            )
        )

    def _records(self, from_client: bool, waiting: tuple[int, int] | None) -> TlsRecords:
        side = self._sides[from_client]
        buffer = self.client if from_client else self.server
        last = side.last or buffer.last or buffer.here  # the latter two: no record has wholly come
        start, end = times(last, last)
        return TlsRecords(
            *("tls", self.socket.uid, direction(self.socket, from_client), start, end),
            f"application data {side.application} bytes in {side.records} records",
            complete=waiting is None,
            events=span(last, None),
            records=side.records,
            application_bytes=side.application,
            handshake_bytes=side.secret,
            last_size=side.size,
            in_record=waiting,
            opened=self._plain.opened[from_client] if self._plain is not None else 0,
            sealed=self._plain.reason if self._plain is not None else NO_KEYS,
            exchange=self._exchange.told,
        )

    # ----------------------------------------------------------------------------------------------------- handshake

    def _handshake(self, from_client: bool, out: list[Message]) -> None:
        """Handshake messages that are whole: type, 24-bit length, body."""
        side = self._sides[from_client]
        held = side.handshake
        while len(held) >= 4:
            length = int.from_bytes(held[1:4], "big")
            if length > HANDSHAKE_LIMIT:
                side.partial = True
                held.clear()
                return
            if len(held) < 4 + length:
                return
            kind, body = held[0], bytes(held[4 : 4 + length])
            del held[: 4 + length]
            if kind == 1:
                self._hello(from_client, client_hello(body), side.last, out)
            elif kind == 2:
                hello = server_hello(body)
                self._hello(from_client, hello, side.last, out)
                if hello.versions == ("1.3",) and not hello.retry:
                    self._sides[0].encrypted = self._sides[1].encrypted = True
            elif kind == 11:
                self._certificate(from_client, body, side.last, out)

    def _cut_handshake(self, from_client: bool, data: bytes, last: Transfer | None, out: list[Message]) -> None:
        """What is known of a handshake message whose rest is not."""
        if data[:1] in (b"\x01", b"\x02"):
            self._hello(from_client, cut_hello(data), last, out)
        elif data[:1] == b"\x0b":
            self._certificate(from_client, data[4:], last, out)

    def _hello(self, from_client: bool, hello: Hello, last: Transfer | None, out: list[Message]) -> None:
        if self._plain is not None:
            self._plain.hello(hello)
        self._exchange.hello = True
        if not hello.client and not hello.cut:
            self._exchange.old = hello.versions != ("1.3",)
        first = self._sides[from_client].first
        start, end = times(first, last)
        words = [hello.sni or "", ",".join(hello.versions), ",".join(hello.alpn)]
        what = "ClientHello" if hello.client else "HelloRetryRequest" if hello.retry else "ServerHello"
        out.append(
            TlsHello(
                *("tls", self.socket.uid, direction(self.socket, from_client), start, end),
                " ".join([what, *(word for word in words if word)]),
                complete=not hello.cut,
                events=span(first, last),
                client=hello.client,
                sni=hello.sni,
                alpn=hello.alpn,
                versions=hello.versions,
                cipher=hello.cipher,
                cut=hello.cut,
                retry=hello.retry,
            )
        )

    def _certificate(self, from_client: bool, body: bytes, last: Transfer | None, out: list[Message]) -> None:
        first = self._sides[from_client].first
        start, end = times(first, last)
        der = first_certificate(body)
        out.append(
            TlsCertificate(
                *("tls", self.socket.uid, direction(self.socket, from_client), start, end),
                f"Certificate {subject(der)}".strip() if der else "Certificate",
                complete=bool(der),
                events=span(first, last),
            )
        )


def _score(head: bytes, from_client: bool) -> int:
    if not _maybe_record(head):
        return 0
    if len(head) < 3:
        return 45 if head[0] in (ALERT, HANDSHAKE) else 30
    if head[0] == HANDSHAKE and len(head) >= 6:
        due = {1} if from_client else {0, 2, 4, 11}
        return 100 if head[5] in due else 60
    if head[0] == ALERT and len(head) >= 7:
        return 97 if head[3:5] == b"\0\2" and head[5] in (1, 2) else 70
    return 92 if head[0] in (ALERT, HANDSHAKE) else 80 if len(head) >= _HEADER else 60


def _maybe_record(head: bytes) -> bool:
    """Could a record begin like this?"""
    if head[:1] and head[0] not in _TYPES:
        return False
    if (head[1:2] and head[1] != 3) or (head[2:3] and head[2] > 4):
        return False
    if len(head) < _HEADER:
        return True
    length = int.from_bytes(head[3:5], "big")
    return 0 < length <= RECORD_LIMIT or (head[0] == APPLICATION and not length)
