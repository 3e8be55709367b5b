"""Bytes that one call moved, decoded from the log only when asked for."""

from __future__ import annotations

from systrace.model import Transfer


class Piece:
    """Bytes that one call moved in one direction, decoded from the log only when asked for.

    `size` bytes happened. `parts` is [(known bytes, how many missing bytes follow them)], in order: one item for most
    calls, several for the vectors of writev(2) and kin, of which `-s` cuts each. `data` and `missing` are the short
    form: the bytes known up to the first hole, and all the others as missing.
    """

    __slots__ = ("_parts", "event", "size")

    def __init__(self, data: bytes, missing: int, event: Transfer) -> None:
        self._parts: list[tuple[bytes, int]] | None = [(data, missing)]
        self.size = len(data) + missing
        self.event = event

    @classmethod
    def of(cls, event: Transfer) -> Piece:
        """What a call on a stream moved; its payload is not looked at yet."""
        piece = cls.__new__(cls)
        piece._parts = None
        piece.size = event.size
        piece.event = event
        return piece

    @property
    def parts(self) -> list[tuple[bytes, int]]:
        """[(known bytes, missing bytes that follow)]; the sum of all is `size`."""
        if self._parts is None:
            self._parts = _parts(self.event.payload(), self.size)
        return self._parts

    @property
    def data(self) -> bytes:
        """Known bytes up to the first hole."""
        return self.parts[0][0]

    @property
    def missing(self) -> int:
        """Bytes that happened and are not in `data`."""
        return self.size - len(self.parts[0][0])


def _parts(payload: list[tuple[bytes, int]], size: int) -> list[tuple[bytes, int]]:
    """A call's strings as (known, missing), fitted to the `size` bytes that it really moved."""
    if len(payload) == 1:
        known = payload[0][0]
        if len(known) > size:
            known = known[:size]
        return [(known, size - len(known))]
    parts: list[tuple[bytes, int]] = []
    left = size
    for known, length in payload:
        length = min(max(length, len(known)), left)
        known = known[:length]
        if length:
            parts.append((known, length - len(known)))
        left -= length
    if left or not parts:
        parts.append((b"", left))
    return parts
