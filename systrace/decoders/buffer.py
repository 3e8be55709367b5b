"""What decoders share: the bytes of one direction that no message has taken yet, holes included.

All operations are linear in the bytes that pass, however they are cut into calls: bytes are appended to one growing
array, its taken front is deleted rarely, and searches remember how far they got.
"""

from __future__ import annotations

import abc
import re
from collections import deque
from collections.abc import Iterable
from typing import ClassVar, NamedTuple

from systrace.messages.piece import Piece
from systrace.model import Event, Message, Socket, Transfer

LINE_LIMIT = 65536  # bytes; no line protocol allows longer ones (RFC 5321 4.5.3.1: 1000, RFC 9051: 8192)
_COMPACT = 65536  # bytes taken before the array's front is deleted


class Line(NamedTuple):
    """One line of a text protocol, without its end."""

    data: bytes
    ending: bytes  # b"\r\n", b"\n", or b"" when it has none (cut, or longer than the limit)
    cut: bool  # a hole swallowed its rest, or it is longer than the limit


class Buffer:
    """Bytes of one direction, first in first out: known runs with holes between them.

    `size` is how many bytes wait, `taken` how many were taken before (the offset of the next byte in its stream).
    `known` bytes can be read at once; if `stuck`, a hole follows them, so that waiting for more cannot help.
    """

    __slots__ = ("_data", "_front", "_hole", "_later", "_marks", "_owed", "_pos", "_searched", "last", "size", "taken")

    def __init__(self) -> None:
        self._data = bytearray()  # the known run at the front
        self._pos = 0  # of it, taken
        self._hole = 0  # missing bytes right after the run
        self._later: deque[tuple[bytes, int]] | None = None  # (known, missing) after that hole
        self._marks: deque[tuple[int, Transfer]] | None = (
            None  # (offset of its end, call); an empty one takes 760 bytes
        )
        self._front = 0  # offset where the first of these calls began
        self._owed = 0  # bytes to drop as they come
        self._searched = (b"", 0)  # needle, offset up to which it is not there
        self.size = 0
        self.taken = 0
        self.last: Transfer | None = None  # the call that carried the last byte taken

    def __len__(self) -> int:
        return self.size

    @property
    def known(self) -> int:
        """Known bytes that can be read now, before any hole."""
        return len(self._data) - self._pos

    @property
    def stuck(self) -> bool:
        """A hole follows the known bytes."""
        return self._hole > 0

    @property
    def hole(self) -> int:
        """Missing bytes right after the known ones."""
        return self._hole

    @property
    def here(self) -> Transfer | None:
        """The call that carried the next byte; None when nothing waits."""
        return self._marks[0][1] if self._marks else None

    @property
    def owed(self) -> int:
        """Bytes that `skip` still has to drop when they come."""
        return self._owed

    def add(self, piece: Piece) -> None:
        """Append what a call moved. Its payload is not even decoded while `skip` has more than that to drop."""
        size = piece.size
        if self._owed >= size:
            self._owed -= size
            self.taken += size
            self.last = piece.event
            return
        for known, missing in piece.parts:
            if self._hole:
                if self._later is None:
                    self._later = deque()
                self._later.append((known, missing))
            else:
                self._data += known
                self._hole = missing
        self.size += size
        mark = self.taken + self.size, piece.event
        if self._marks:
            self._marks.append(mark)
        else:
            self._front = self.taken
            self._marks = deque((mark,))
        if self._owed:
            owed, self._owed = self._owed, 0
            self.skip(owed)

    def peek(self, n: int) -> bytes:
        """The next known bytes, at most `n`; fewer when a hole or the end comes first."""
        return bytes(self._data[self._pos : self._pos + n])

    def byte(self, at: int) -> int:
        """The known byte at index `at` (0 is the next); -1 when it is not known."""
        return self._data[self._pos + at] if self._pos + at < len(self._data) else -1

    def find(self, needle: bytes) -> int:
        """Index of `needle` in the known bytes, or -1; asked again after `add`, only new bytes are searched."""
        offset = self._searched[1] if self._searched[0] == needle else 0
        start = max(self._pos, self._pos + offset - self.taken)
        found = self._data.find(needle, start)
        if found >= 0:
            return found - self._pos
        self._searched = (needle, self.taken + max(0, self.known - len(needle) + 1))
        return -1

    def search(self, pattern: re.Pattern[bytes], longest: int) -> int:
        """Index after the first match of `pattern` (at most `longest` bytes long), or -1; remembers like `find`."""
        key = pattern.pattern
        offset = self._searched[1] if self._searched[0] == key else 0
        found = pattern.search(self._data, max(self._pos, self._pos + offset - self.taken))
        if found:
            return found.end() - self._pos
        self._searched = (key, self.taken + max(0, self.known - longest + 1))
        return -1

    def take(self, n: int) -> tuple[bytes, int]:
        """Take the next `n` bytes (or all that wait): the known ones up to the first hole, and how many are missing.

        Known bytes behind a hole are dropped and count as missing; `take_parts` keeps them.
        """
        n = min(n, self.size)
        data = self.peek(n)
        self._advance(n)
        return data, n - len(data)

    def take_parts(self, n: int) -> list[tuple[bytes, int]]:
        """Take the next `n` bytes (or all that wait) as [(known, missing bytes that follow)]."""
        parts: list[tuple[bytes, int]] = []
        left = min(n, self.size)
        while left:
            data = self.peek(left)
            missing = min(self._hole, left - len(data)) if len(data) == self.known else 0
            self._advance(len(data) + missing)
            left -= len(data) + missing
            parts.append((data, missing))
        return parts

    def skip(self, n: int) -> None:
        """Drop the next `n` bytes, those that have not come yet included."""
        now = min(n, self.size)
        self._advance(now)
        self._owed += n - now

    def resync(self) -> int:
        """Drop up to where bytes are known again after the next hole (mostly the start of a call); returns how many."""
        n = self.known + self._hole
        self._advance(n)
        return n

    def skip_call(self) -> int:
        """Drop what is left of the call that carried the next byte; returns how many bytes."""
        n = self._marks[0][0] - self.taken if self._marks else 0
        self._advance(n)
        return n

    def call_rest(self) -> int:
        """How many bytes are left of the call that carried the next byte."""
        return self._marks[0][0] - self.taken if self._marks else 0

    def line(self, limit: int = LINE_LIMIT) -> Line | None:
        """Take the next line; None while its end has not come. A line that a hole cuts ends there."""
        end = self.find(b"\n")
        if 0 <= end <= limit:
            text = self.peek(end + 1)
            self._advance(end + 1)
            if text.endswith(b"\r\n"):
                return Line(text[:-2], b"\r\n", False)
            return Line(text[:-1], b"\n", False)
        if self.known > limit:
            return Line(self.take(limit)[0], b"", True)
        if self._hole:
            text = self.peek(self.known)
            self.resync()
            return Line(text, b"", True)
        return None

    def pieces(self) -> list[Piece]:
        """Take all that waits, as pieces with the calls that carried them."""
        pieces = []
        while self._marks:
            end, event = self._marks[0]
            for known, missing in self.take_parts(end - self.taken):
                pieces.append(Piece(known, missing, event))
        return pieces

    def _advance(self, n: int) -> None:
        """Drop `n` bytes, at most `size`."""
        if not n:
            return
        self.taken += n
        self.size -= n
        marks = self._marks
        while marks and marks[0][0] <= self.taken:
            self._front, self.last = marks.popleft()
        if not marks:
            self._marks = None
        elif self._front < self.taken:
            self.last = marks[0][1]
        while n:
            run = len(self._data) - self._pos
            if n < run:
                self._pos += n
                break
            n -= run
            self._data.clear()
            self._pos = 0
            gone = min(n, self._hole)
            n -= gone
            self._hole -= gone
            if not self._hole:
                self._refill()
        if self._pos > _COMPACT and self._pos * 2 > len(self._data):
            del self._data[: self._pos]
            self._pos = 0

    def _refill(self) -> None:
        """The front run and its hole are used up: take what came after them."""
        later = self._later
        while later and not self._hole:
            known, self._hole = later.popleft()
            self._data += known
        if not later:
            self._later = None


class StreamDecoder(abc.ABC):
    """Base for decoders of byte streams: a Buffer a side, and `advance` called when one of them grew.

    A subclass sets `name` and `ports`, defines `identify` and `advance`, and may extend `ended`.
    """

    name: ClassVar[str]
    ports: ClassVar[frozenset[int]] = frozenset()

    def __init__(self, socket: Socket) -> None:
        self.socket = socket
        self.handed_over = False
        self.client = Buffer()  # what the client sent
        self.server = Buffer()

    def feed(self, from_client: bool, piece: Piece) -> Iterable[Message]:
        """Buffer the bytes, then decode what is whole."""
        (self.client if from_client else self.server).add(piece)
        return self.advance(from_client)

    def end(self, from_client: bool, how: str) -> Iterable[Message]:
        """See `Decoder.end`."""
        return self.ended(from_client, how)

    @abc.abstractmethod
    def advance(self, from_client: bool) -> Iterable[Message]:
        """Messages that the bytes of this side now complete."""

    def ended(self, from_client: bool, how: str) -> Iterable[Message]:
        """Messages that the end of this side completes or leaves incomplete."""
        return ()

    def leftover(self) -> list[tuple[bool, Piece]]:
        """What neither side's messages took, for the protocol that follows."""
        return [(True, p) for p in self.client.pieces()] + [(False, p) for p in self.server.pieces()]


def span(first: Transfer | None, last: Transfer | None) -> list[Event]:
    """The calls that carried a message, as `Message.events` wants them: first and last, once if they are the same."""
    if first is None:
        return [] if last is None else [last]
    return [first] if last is None or last is first else [first, last]
