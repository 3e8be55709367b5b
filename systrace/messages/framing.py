"""How frames tell their lengths."""

from __future__ import annotations

import struct
from typing import NamedTuple

SANE = 64 << 20  # bytes; larger frames are taken for a misread length


class Layout(NamedTuple):
    """How a length is written."""

    width: int  # bytes
    order: str  # ">" or "<"
    inclusive: bool  # the prefix is counted

    def length(self, head: bytes) -> int:
        """Size of the frame that begins so, prefix included; `head` has at least `width` bytes."""
        value = struct.unpack_from(self.order + ("H" if self.width == 2 else "I"), head)[0]
        return int(value) + (0 if self.inclusive else self.width)

    def __str__(self) -> str:
        order = "big" if self.order == ">" else "little"
        return f"{self.width}-byte {order}-endian length" + (", itself included" if self.inclusive else "")


LAYOUTS = tuple(Layout(width, order, inclusive) for width in (4, 2) for order in "><" for inclusive in (False, True))
