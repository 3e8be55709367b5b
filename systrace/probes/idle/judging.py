"""What silent connections and their control group prove together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from systrace.dataclass import dataclass
from systrace.idle_limits import Limit
from systrace.probes.idle.silence import ALIVE, CLOSED, RESET, SILENT, UNTRIED, Silent
from systrace.probes.idle.waits import fitting

LIMIT, SERVER, NONE, CUT, UNCLEAR = "limit", "server closes", "no limit", "path cut", "unclear"


@dataclass(frozen=True, slots=True)
class Judgement:
    """The answer of an idle test."""

    kind: str  # LIMIT, SERVER, NONE, CUT, UNCLEAR
    above_s: float = 0.0  # the longest silence that was survived
    below_s: float | None = None  # the shortest that was not
    how: str = ""  # reset, silent; of SERVER fin, reset
    fits: tuple[Limit, ...] = ()
    tried: int = 0

    @property
    def proven(self) -> bool:
        """A limit on silence, and keepalive cures it."""
        return self.kind == LIMIT


def judge(silents: Sequence[Silent], controls: Sequence[Silent], limits: Sequence[Limit]) -> Judgement:
    """Of one round.

    A limit is claimed only where the control group, which was probed all the time, lives on after a silent one had died.
    """
    tried = [each for each in silents if each.outcome != UNTRIED]
    lived = [each.after_s for each in tried if each.outcome == ALIVE]
    above = max(lived, default=0.0)
    dead = [each for each in tried if each.dead]
    found = Judgement(UNCLEAR, above, tried=len(tried))
    if dead and not any(each.asked for each in dead) and controls and all(each.dead for each in controls):
        return replace(found, kind=SERVER, below_s=min(each.after_s for each in dead), how=RESET)  # of its own accord
    if dead:
        if any(each.dead for each in controls):
            return replace(found, kind=CUT, how=SILENT if any(each.outcome == SILENT for each in controls) else RESET)
        if not any(each.outcome in (ALIVE, CLOSED) for each in controls):
            return found
        below = min(each.after_s for each in dead)
        above = max((one for one in lived if one < below), default=0.0)
        resets = sum(each.outcome == RESET for each in dead)
        how = RESET if 2 * resets >= len(dead) else SILENT
        return replace(found, kind=LIMIT, above_s=above, below_s=below, how=how, fits=_fits(limits, above, below, how))
    closed = [each for each in tried if each.outcome == CLOSED]
    if closed:
        return replace(found, kind=SERVER, below_s=min(each.after_s for each in closed), how="fin")
    if any(each.dead for each in controls):  # it went after the last silence was over
        return replace(found, kind=CUT, how=SILENT)
    longest = max(silents, key=lambda each: each.wait_s)
    return replace(found, kind=NONE) if longest.outcome == ALIVE else found


def narrowed(first: Judgement, second: Judgement, limits: Sequence[Limit]) -> Judgement:
    """What both rounds say; the second counts only where it confirms the first."""
    if second.kind in (CUT, SERVER):
        return second
    if not second.proven or second.below_s is None or first.below_s is None:
        return first
    above = max(first.above_s, second.above_s)
    below = min(first.below_s, second.below_s)
    if above >= below:
        return first
    tried = first.tried + second.tried
    return replace(second, above_s=above, below_s=below, fits=_fits(limits, above, below, second.how), tried=tried)


def _fits(limits: Sequence[Limit], above_s: float, below_s: float, how: str) -> tuple[Limit, ...]:
    """Those first that are known to end a connection in this way."""
    return tuple(sorted(fitting(limits, above_s, below_s), key=lambda each: each.after != how))
