"""The course of the questions about one target: what may be sent, how much time and how many connections are left."""

from __future__ import annotations

import os
import socket
import time
from typing import Any

from systrace.dataclass import dataclass
from systrace.observations import Observation
from systrace.probes.target import Target, address_of
from systrace.probes.tcp import Dial, dial

OPEN = "open"


@dataclass(frozen=True, slots=True)
class Allowed:
    """What may be sent to a peer beyond the packets that make a connection."""

    http: bool = False
    tls: bool = False  # a handshake, even where neither trace nor port speaks of TLS


class Round:
    """Everything that was learned, and how to add to it."""

    def __init__(self, target: Target, allowed: Allowed, until: float, found: list[Observation]) -> None:
        self.target, self.allowed, self.until = target, allowed, until
        self._found, self._from = found, len(found)
        self._left = target.most_connections
        self._name, self._end = "", until

    def begin(self, name: str, most_s: float) -> None:
        """The next probe."""
        self._name, self._end = name, min(time.monotonic() + most_s, self.until)

    def time_left(self, most_s: float) -> float:
        """Seconds that may be waited now, at most so many."""
        return max(min(self._end - time.monotonic(), most_s), 0.0)

    def take(self, connections: int) -> int:
        """How many of these connections may be made."""
        taken = min(connections, self._left)
        self._left -= taken
        return taken

    def give_back(self, connections: int) -> None:
        """Of those that were taken, so many were not made."""
        self._left += connections

    def connected(self, wait_s: float, segment: int = 0) -> socket.socket | None:
        """A connection to the address that was found open; None where none may be made, or could.

        Args:
            wait_s: for it, at most.
            segment: TCP_MAXSEG; 0: as usual.
        """
        if not self.open_address or not self.take(1):
            return None
        each = Dial(self.open_address, self.target.port, segment=segment)
        dial([each], self.time_left(wait_s), keep=True)
        return each.socket

    def note(self, kind: str, text: str, *, subject: str = "", cause: str = "", **value: Any) -> None:
        """Something was learned.

        Args:
            kind: see observations.KINDS.
            text: for people, whole.
            subject: else the target.
            cause: of the catalogue, where something is wrong.
            **value: figures.
        """
        told = {"probe": self._name, "text": text} | ({"cause": cause} if cause else {}) | value
        source = f"systrace check ({self._name})"
        self._found.append(
            Observation(kind, subject or str(self.target), told, source, time.time_ns(), os.uname().nodename)
        )

    @property
    def found(self) -> list[Observation]:
        """What is known of this target so far."""
        return self._found[self._from :]

    @property
    def addresses(self) -> list[str]:
        """Of the host: those that the job used, then those that nameservers gave."""
        if not self.target.is_name:
            return [address_of(self.target.host)]
        named = [one for each in self.found if each.kind == "name" for one in each.value.get("addresses", ())]
        return list(dict.fromkeys([*self.target.used, *named]))

    @property
    def open_address(self) -> str:
        """One where a connection was made; "" where none was."""
        return self._address(OPEN)

    @property
    def closed_address(self) -> str:
        """One where none was made, not even a refusal by the host itself."""
        return self._address("silent", "rejected")

    def _address(self, *outcomes: str) -> str:
        tried = (each.value for each in self.found if "address" in each.value)
        return next((value["address"] for value in tried if value.get("outcome") in outcomes), "")
