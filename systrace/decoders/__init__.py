"""Byte streams -> messages: one file per wire protocol.

A decoder is a class with the shape of `Decoder`, entered by `@decoder`. It is chosen by what the bytes are, on both
sides; a port only breaks ties. Streams have holes where strace's `-s` cut a string: a `Piece` says how many bytes
happened and which of them are known, and a decoder must count through what it cannot see.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Protocol

from systrace.model import Message, Socket, Transfer
from systrace.registry import Registry


class Piece:
    """Bytes that one call moved in one direction: `data` is known, `missing` more bytes followed that `-s` cut."""

    __slots__ = ("data", "event", "missing")

    def __init__(self, data: bytes, missing: int, event: Transfer) -> None:
        self.data = data
        self.missing = missing
        self.event = event

    @property
    def size(self) -> int:
        """Bytes that happened."""
        return len(self.data) + self.missing


class Decoder(Protocol):
    """One conversation on one socket. Never raises on input; yields messages as they complete."""

    name: ClassVar[str]
    ports: ClassVar[frozenset[int]]  # usual server ports, only to break ties

    def __init__(self, socket: Socket) -> None: ...

    @classmethod
    def identify(cls, client: bytes, server: bytes) -> int:
        """0 (surely not) ... 100 (surely) from the first known bytes that each side sent; either may be empty."""

    def feed(self, from_client: bool, piece: Piece) -> Iterable[Message]:
        """Next bytes of one direction, in order."""

    def end(self, from_client: bool, how: str) -> Iterable[Message]:
        """That direction ended: "eof", "reset", "closed" (by this side), "unfinished" (the log ends). Called once."""


DECODERS: Registry[type[Decoder]] = Registry("systrace.decoders")


def decoder(cls: type[Decoder]) -> type[Decoder]:
    """Enter a decoder under its name."""
    return DECODERS.add(cls.name, cls)
