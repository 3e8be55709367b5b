"""Two sides that do not speak the same protocol, and on which ports which is usual."""

from __future__ import annotations

from systrace.dataclass import dataclass
from systrace.model import Message

USUAL_PORTS: dict[str, frozenset[int]] = {}  # protocol -> ports of its servers; entered with each decoder


@dataclass(slots=True)
class Mismatch(Message):
    """One side spoke `protocol`, the other answered with something else: the wrong port, a proxy, a plain-text page."""

    spoken: str = ""  # name of the decoder that fits the side which spoke first
    spoken_by_client: bool = True
    answered: str = ""  # name of the decoder that fits the answer, else what `sniffing.sniff` calls it
    sample: bytes = b""  # first known bytes of the answer, at most 64
