"""Byte streams -> messages: one file per wire protocol.

A decoder is a class with the shape of `Decoder`, entered by `@decoder`. It is chosen by what the bytes are, on both
sides; a port only breaks ties. Streams have holes where strace's `-s` cut a string: a `Piece` says how many bytes
happened and which of them are known, and a decoder must count through what it cannot see.

`conversation.Decoding` is the stage's entry. `buffer` holds what decoders share: `Buffer` (one direction's bytes that
no message has taken yet), `StreamDecoder` (a base class with one Buffer a side). What comes out stands in `messages`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from systrace.messages.mismatch import USUAL_PORTS
from systrace.messages.piece import Piece
from systrace.model import Message, Received, Socket, Transfer
from systrace.registry import Registry

if TYPE_CHECKING:
    from systrace.decoders.parts.tls_keys import KeyLog


class Decoder(Protocol):
    """One conversation on one socket. Never raises on input; yields messages as they complete."""

    name: ClassVar[str]
    ports: ClassVar[frozenset[int]]  # usual server ports, only to break ties
    handed_over: bool  # True: what follows is another protocol (STARTTLS, CONNECT, 101); `leftover` is then asked

    def __init__(self, socket: Socket) -> None: ...

    @classmethod
    def identify(cls, client: bytes, server: bytes) -> int:
        """0 (surely not) ... 100 (surely) from the first known bytes that each side sent; either may be empty.

        Bytes may be cut anywhere (32 bytes and fewer). Called with one side empty, too: `identify(b"", server)` says
        what the answering side alone looks like. 0 when one of two given sides cannot be this protocol. 90 and more
        is taken at once; less waits for the other side, a few calls or the end, then the best of at least 40 is taken.
        """

    def feed(self, from_client: bool, piece: Piece) -> Iterable[Message]:
        """Next bytes of one direction, in order. The caller runs the iterable to its end before the next call."""

    def end(self, from_client: bool, how: str) -> Iterable[Message]:
        """That direction ended: "eof", "reset", "closed" (by this side), "unfinished" (the log ends). Called once."""

    def leftover(self) -> list[tuple[bool, Piece]]:
        """(from_client, piece) that were fed but belong to the next protocol; asked once, after `handed_over`."""


@runtime_checkable
class Keyed(Protocol):
    """A decoder whose contents are encrypted, and which can read them with the right keys."""

    def use(self, keylog: KeyLog) -> None:
        """Session keys; they may come later than what they open. Called before anything is fed."""


DECODERS: Registry[type[Decoder]] = Registry("systrace.decoders.protocols")


def decoder(cls: type[Decoder]) -> type[Decoder]:
    """Enter a decoder under its name."""
    USUAL_PORTS[cls.name] = cls.ports
    return DECODERS.add(cls.name, cls)


def direction(socket: Socket, from_client: bool) -> str:
    """ "sent" or "received", as the traced side of the socket sees bytes that the client (or server) sent."""
    return "sent" if from_client != (socket.role == "server") else "received"


def times(first: Transfer | None, last: Transfer | None) -> tuple[int | None, int | None]:
    """(start_ns, end_ns) of what was carried by these calls and those between them.

    What is sent starts when its first call begins; what is received, when that call returns: it had waited till then.
    """
    if first is None:
        start = None
    elif isinstance(first, Received):
        start = returned_ns(first)
    else:
        start = first.record.time_ns
    return start, None if last is None else returned_ns(last)


def returned_ns(event: Transfer) -> int | None:
    """When a call returned; when it began, if the log has no durations."""
    record = event.record
    if record.duration_ns is None or record.time_ns is None:
        return record.time_ns
    return record.time_ns + record.duration_ns
