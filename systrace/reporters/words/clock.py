"""Moments of a log for people: the host's wall clock where the log has one, in this machine's zone or in UTC."""

from __future__ import annotations

import time

from systrace.dataclass import dataclass
from systrace.model import Source

_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Clock:
    """How one log's times are written."""

    kind: str  # none, relative, time-of-day, epoch (see `model.Style`)
    first_ns: int | None
    utc: bool = False

    @staticmethod
    def of(source: Source, utc: bool = False) -> Clock:
        """That of a log."""
        return Clock(source.style.clock, source.first_ns, utc)

    def moment(self, ns: int | None) -> str:
        """`02:00:01.234`; `+1.234 s` where the log counts from its beginning; "" where nobody knows."""
        if ns is None or self.kind == "none":
            return ""
        if self.kind == "relative":
            return f"+{(ns - (self.first_ns or 0)) / _S:.3f} s"
        return f"{self._parts(ns, '%H:%M:%S')}.{ns // 1_000_000 % 1000:03}"

    def ahead_s(self) -> int:
        """Seconds by which the zone of these moments is ahead of UTC where the log begins."""
        if self.utc or self.kind != "epoch" or self.first_ns is None:
            return 0
        try:
            return time.localtime(self.first_ns // _S).tm_gmtoff
        except (OverflowError, ValueError, OSError):
            return 0

    def start(self) -> tuple[str, str]:
        """When the log begins, short, and the zone; a time of day is of the zone where it was recorded."""
        if self.first_ns is None or self.kind not in ("epoch", "time-of-day"):
            return "-", ""
        if self.kind == "time-of-day":
            return self._parts(self.first_ns, "%H:%M:%S"), ""
        return self._parts(self.first_ns, "%m-%d %H:%M:%S"), "UTC" if self.utc else self._parts(self.first_ns, "%Z")

    def span(self, first_ns: int | None, last_ns: int | None) -> str:
        """`2026-11-28 02:00:01 to 02:06:52 +0100`, as much of it as the log knows."""
        if first_ns is None or last_ns is None or self.kind not in ("epoch", "time-of-day"):
            return ""
        until = self._parts(last_ns, "%H:%M:%S")
        if self.kind == "time-of-day":
            began = self._parts(first_ns, "%H:%M:%S")
            return f"{began if began == until else f'{began} to {until}'} (its own clock)"
        day = "%Y-%m-%d %H:%M:%S"
        if self._parts(first_ns, "%Y-%m-%d") != self._parts(last_ns, "%Y-%m-%d"):
            until = self._parts(last_ns, day)
        if first_ns // _S == last_ns // _S:
            return f"{self._parts(first_ns, day)} {self._zone(first_ns)}"
        return f"{self._parts(first_ns, day)} to {until} {self._zone(first_ns)}"

    def _zone(self, first_ns: int) -> str:
        return "UTC" if self.utc else self._parts(first_ns, "%z")

    def _parts(self, ns: int, form: str) -> str:
        plain = self.utc or self.kind != "epoch"  # a time of day is a zone's already
        try:
            return time.strftime(form, time.gmtime(ns // _S) if plain else time.localtime(ns // _S))
        except (OverflowError, ValueError, OSError):  # a clock that no calendar knows
            return f"{ns / _S:.3f} s"
