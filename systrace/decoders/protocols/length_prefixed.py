"""The fallback: a binary protocol of frames that begin with their length, known by nothing else.

The layout (2 or 4 bytes, either byte order, the prefix counted or not) is the one that fits both sides. What is
decoded is only whether the lengths are kept: a frame that ends too early, or a length that cannot be.
"""

from __future__ import annotations

from collections.abc import Iterable

from systrace.decoders import decoder
from systrace.decoders.buffer import Buffer
from systrace.decoders.dialogue import FramedDialogue, unfinished
from systrace.messages.framing import LAYOUTS, SANE, Layout
from systrace.messages.problem import printable
from systrace.messages.replies import FramingError, Reply, Request, Unit
from systrace.model import Message, Socket, Transfer

HEAD = 256  # bytes of each side that a layout is judged by
PATIENCE = 64 << 10  # bytes held before a layout is settled
UNLIKELY_TEXT = 0.95  # share of printable bytes from which it is a text protocol


@decoder
class LengthPrefixed(FramedDialogue):
    """One connection of an unknown protocol."""

    name = "length-prefixed"
    header = 4

    EXAMPLES = (
        (
            b"\x00\x00\x00\x05\x01abcd\x00\x00\x00\x03\x02\xffz",
            b"\x00\x00\x00\x06\x81hello\x00\x00\x00\x09\x82abc",
            ["frame of 9 bytes", "frame of 7 bytes", "frame of 10 bytes", "frame: 8 of 13 bytes"],
        ),
        (
            b"\x00\x0c\x01\x00\xfe\x01report",
            b"\x00\x09\x02\x00\xfe\x01abc",
            ["frame of 12 bytes", "frame of 9 bytes"],
        ),
        (
            b"\x05\x00\x00\x00\x01\x80\x00\x00\x02",
            b"\x04\x00\x00\x00\x01\x80\x00\x07\xf0\xff\xff\x7f\x99\x01",
            [
                "frame of 9 bytes",
                "frame of 8 bytes",
                "impossible length 2147483632 at byte 8: \\xf0\\xff\\xff\\x7f\\x99\\x01",
            ],
        ),
    )
    NOT_ME = (
        (b"GET / HTTP/1.1\r\nHost: db\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"),
        (b"EHLO job\r\n", b"220 mx ESMTP\r\n"),
        (b"\x00\x00\x00\x05\x01abcd", b""),
        (b"\x16\x03\x01\x00\x05\x01\x02\x03\x04\x05", b"\x15\x03\x03\x00\x02\x02\x50"),
        (b"0123456789", b"9876543210"),
    )

    def __init__(self, socket: Socket) -> None:
        super().__init__(socket)
        self._layout: Layout | None = None
        self._broken = {True: False, False: False}

    @classmethod
    def identify(cls, client: bytes, server: bytes) -> int:
        """See `Decoder.identify`: both sides must have spoken; at most 58: anything else goes before."""
        if not client or not server or _is_text(client) or _is_text(server):
            return 0
        return max(_fit(layout, client, server) for layout in LAYOUTS)

    def advance(self, from_client: bool) -> Iterable[Message]:
        """See `StreamDecoder.advance`; nothing is read until both sides have said enough to settle the layout."""
        out: list[Message] = []
        if self._layout is None:
            if not (self.client.size and self.server.size) or self.client.size + self.server.size < PATIENCE:
                return out
            self._settle(out)
        elif not self._broken[from_client]:
            self.drain(from_client, out)
        else:
            self.buffer(from_client).skip(self.buffer(from_client).size)
        return out

    def ended(self, from_client: bool, how: str) -> Iterable[Message]:
        """See `Decoder.end`."""
        out: list[Message] = []
        if self._layout is None:
            self._settle(out)
        self.cut(from_client, how, out)
        return out

    def frame_size(self, from_client: bool, head: bytes) -> int:
        """See `FramedDialogue.frame_size`."""
        layout = self._layout
        if layout is None or len(head) < layout.width:
            return 0
        size = layout.length(head)
        return size if layout.width <= size <= SANE else -1

    def opaque(self, from_client: bool) -> bool:
        """See `FramedDialogue.opaque`: after a wrong length nothing can be found again."""
        return self._broken[from_client]

    def begins(self, from_client: bool, head: bytes) -> bool:
        """See `FramedDialogue.begins`: a guess that a hole's end is a frame's start would prove nothing."""
        self._broken[from_client] = True
        return False

    def frame_name(self, from_client: bool, head: bytes) -> str:
        """See `FramedDialogue.frame_name`."""
        return "frame"

    def frame(self, from_client: bool, data: bytes, size: int, first: Transfer | None, out: list[Message]) -> None:
        """See `FramedDialogue.frame`."""
        kind: type[Unit] = Request if from_client else Reply
        message = self.make(kind, from_client, first, f"frame of {size} bytes")
        if isinstance(message, Request):
            message.wants_answer = False  # nobody knows
        out.append(message)

    def _lose(self, from_client: bool, buffer: Buffer, out: list[Message], impossible: bool) -> None:
        """See `FramedDialogue`; here the length is said, since it is all that is known of the protocol."""
        layout, head = self._layout, buffer.peek(32)
        self._broken[from_client] = True
        if not impossible or layout is None or len(head) < layout.width:
            buffer.skip(buffer.size)
            return
        offset, first, length = buffer.taken, buffer.here, layout.length(head) - layout.width * (not layout.inclusive)
        buffer.skip_call()
        text = f"impossible length {length} at byte {offset}: {printable(head, 40)}"
        message = unfinished(self.make(FramingError, from_client, first, text), "malformed", length, 0)
        message.offset, message.sample = offset, head
        out.append(message)
        buffer.skip(buffer.size)

    def _settle(self, out: list[Message]) -> None:
        """Choose the layout that fits best, and read what was held."""
        client, server = self.client.peek(HEAD), self.server.peek(HEAD)
        if client and server:
            self._layout = max(LAYOUTS, key=lambda layout: _fit(layout, client, server))
            self.drain(True, out)
            self.drain(False, out)
        else:
            self._broken = {True: True, False: True}


def _is_text(head: bytes) -> bool:
    readable = sum(32 <= byte < 127 or byte in b"\r\n\t" for byte in head)
    return readable >= UNLIKELY_TEXT * len(head)


def _walk(layout: Layout, head: bytes) -> tuple[int, bool, bool]:
    """(whole frames, the bytes end where a frame ends, all lengths are sane) of one side's first bytes."""
    at = whole = 0
    while at + layout.width <= len(head):
        size = layout.length(head[at : at + layout.width])
        if not layout.width < size <= SANE:
            return whole, False, False
        if at + size > len(head):
            return whole, False, True
        at += size
        whole += 1
    return whole, at == len(head), True


def _fit(layout: Layout, client: bytes, server: bytes) -> int:
    """How well both sides' first bytes fit a layout, 0 to 58.

    What the client sends is taken to be well-formed; the server may break off, or say nonsense after a first frame.
    """
    asked, asked_ends, asked_sane = _walk(layout, client)
    answered, answered_ends, answered_sane = _walk(layout, server)
    long = layout.width == 4
    if not asked or not (asked_ends or (len(client) >= HEAD and asked_sane)):
        return 0
    if not asked_ends and asked < 2:
        return 0
    if answered_ends:
        return 50 + min(4, asked + answered) + 4 * long
    if answered_sane and (answered or len(server) >= HEAD or long):
        return 41 + 4 * bool(answered) + 2 * long
    return (41 + long) if answered and long else 0
