"""Which decoder fits what was said. Content decides; a usual port only breaks ties."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from systrace.decoders import DECODERS, Decoder
from systrace.messages.piece import Piece
from systrace.model import Message, Socket

HEAD_BYTES = 256  # of each side's beginning that decoders are asked about
SURE = 90  # taken at once
PROVEN = 98  # nothing else is asked
LIKELY = 40  # taken when nothing better is to come
ALONE = 60  # one side by itself looks like it
PORT_BONUS = 4


def choose(client: bytes, server: bytes, socket: Socket | None, least: int | None = None) -> type[Decoder] | None:
    """The decoder that fits both sides' first bytes best, with a score of at least `least` (LIKELY by default)."""
    if not client and not server:
        return None
    best, best_score = None, 0
    port = _server_port(socket)
    for candidate in DECODERS.values():
        score = candidate.identify(client, server)
        if score >= (LIKELY if least is None else least):
            rank = score + (PORT_BONUS if port in candidate.ports else 0)
            if rank > best_score:
                best, best_score = candidate, rank
            if score >= PROVEN:
                break
    return best


def alone(client: bytes, server: bytes, socket: Socket | None) -> type[Decoder] | None:
    """The decoder that one side's bytes look like by themselves (the other is given empty)."""
    return choose(client, server, socket, ALONE)


def fits(candidate: type[Decoder], client: bytes, server: bytes) -> bool:
    """Can both sides be speaking this protocol?"""
    return candidate.identify(client, server) > 0


def _server_port(socket: Socket | None) -> int:
    """The port of the serving side, 0 when unknown."""
    if socket is None:
        return 0
    endpoint = socket.local if socket.role == "server" else socket.peer
    return endpoint.port if endpoint is not None else 0


class Deaf:
    """Stands in for a decoder on a side that nothing understands."""

    name: ClassVar[str] = ""
    ports: ClassVar[frozenset[int]] = frozenset()
    handed_over = False

    @classmethod
    def identify(cls, client: bytes, server: bytes) -> int:
        """Never chosen."""
        return 0

    def feed(self, from_client: bool, piece: Piece) -> Iterable[Message]:
        """Nothing comes out."""
        return ()

    def end(self, from_client: bool, how: str) -> Iterable[Message]:
        """Nothing comes out."""
        return ()

    def leftover(self) -> list[tuple[bool, Piece]]:
        """Never asked."""
        return []


DEAF = Deaf()
