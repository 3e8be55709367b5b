"""The course of an idle test: a round, a second one where that narrows the answer, and what it means for people."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from systrace.idle_limits import Limit, known
from systrace.keepalive import ADVISED_SYSCTLS, IDLE_S
from systrace.observations import Observation
from systrace.probes.idle.judging import CUT, LIMIT, NONE, SERVER, Judgement, judge, narrowed
from systrace.probes.idle.silence import Silences
from systrace.probes.idle.waits import CONTROLS, between, bracketing, keepalive_s, narrow_enough
from systrace.probes.target import Target, joined
from systrace.probes.tcp import Dial, dial

_SLACK_S = 8.0  # connecting, and waiting for the last answers
_CONNECT_S, _MOST_ADDRESSES = 2.0, 4
_SOURCE = "systrace check --idle"
Tick = Callable[[int, float, float], None]  # round, seconds gone, seconds in all


class IdleTest:
    """One peer, one address."""

    def __init__(self, target: Target, address: str, longest_s: float, limits: Sequence[Limit] = ()) -> None:
        self.target, self.address, self.longest_s = target, address, longest_s
        self.limits = [*known(), *limits]
        self.connections = target.most_connections
        self._waits = bracketing(self.limits, longest_s, self.connections - CONTROLS)
        self.rounds: list[Silences] = []

    @property
    def longest(self) -> tuple[float, float]:
        """Seconds it takes: one round; with a second one."""
        return self.longest_s + _SLACK_S, 2 * (self.longest_s + _SLACK_S)

    def run(self, tick: Tick | None = None) -> None:
        """All of it; what is known at an interrupt stays.

        Raises:
            Refused: no connection can be made.
        """
        self._round(self._waits, tick)
        first = self._judged(0)
        if first.kind == LIMIT and first.below_s is not None and not narrow_enough(first.above_s, first.below_s):
            parts = self.connections - CONTROLS
            self._round(between(first.above_s, first.below_s, parts), tick)

    def _round(self, waits: Sequence[float], tick: Tick | None) -> None:
        test = Silences(self.address, self.target.port, waits, CONTROLS, keepalive_s(max(waits)))
        self.rounds.append(test)
        number, whole = len(self.rounds), max(waits) + _SLACK_S
        test.run((lambda gone: tick(number, gone, whole)) if tick is not None else None)

    def _judged(self, at: int) -> Judgement:
        return judge(self.rounds[at].silents, self.rounds[at].controls, self.limits)

    @property
    def judgement(self) -> Judgement:
        """Of all that is known."""
        if len(self.rounds) > 1:
            return narrowed(self._judged(0), self._judged(1), self.limits)
        return self._judged(0) if self.rounds else Judgement("unclear")

    def observation(self) -> Observation:
        """The fact that rules read."""
        found = self.judgement
        value: dict[str, Any] = {
            "probe": "idle",
            "text": told(found),
            "outcome": found.kind,
            "how": found.how or found.kind,
        }
        value |= {"connections": found.tried, "seconds": round(self.longest_s, 1)}
        if found.kind in (LIMIT, NONE):
            kind = "path-limit"
            value |= {"limit_above_s": _figure(found.above_s), "limit_below_s": _figure(found.below_s)}
            value |= {"fits": [each.product for each in found.fits], "keepalive": found.kind == LIMIT}
        else:
            kind = "peer-listens"
            value |= {"survived_s": _figure(found.above_s), "after_s": _figure(found.below_s)}
        if found.kind == LIMIT:
            value["cause"] = "idle-timeout"
        elif found.kind == CUT:
            value["cause"] = "peer-vanished"
        subject = joined(self.address, self.target.port)
        return Observation(kind, subject, value, _SOURCE, time.time_ns(), os.uname().nodename)


def reachable(addresses: Sequence[str], port: int) -> str:
    """The first of several that accepts, else the first."""
    dials = [Dial(one, port) for one in addresses[:_MOST_ADDRESSES]]
    if len(dials) > 1:
        dial(dials, _CONNECT_S)
    return next((each.address for each in dials if each.outcome == "open"), addresses[0])


def _figure(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 2)


def _s(seconds: float | None) -> str:
    return "?" if seconds is None else f"{seconds:.{2 if seconds < 10 else 1 if seconds < 100 else 0}f} s"


def told(found: Judgement) -> str:
    """The answer in a sentence or two."""
    if found.kind == LIMIT:
        what = "answers with a reset" if found.how == "reset" else "drops what comes then, in silence"
        return (
            f"something on the path forgets a connection after {_s(found.above_s)} to {_s(found.below_s)} of silence and "
            f"{what}; connections with keepalive lived on"
        )
    if found.kind == SERVER:
        ends = "resets" if found.how == "reset" else "closes"
        return (
            f"the peer (or a balancer that answers for it) {ends} silent connections after {_s(found.below_s)}; up to then "
            "the path forgets none, of longer silences this says nothing"
        )
    if found.kind == CUT:
        return "the connections with keepalive died, too: the path was cut or the peer went away; that is no idle limit"
    if found.kind == NONE:
        return f"no limit: connections live on after {_s(found.above_s)} of silence"
    return f"not decided: silences of up to {_s(found.above_s)} were survived, then the test ended"


def advice(found: Judgement, target: Target) -> list[str]:
    """What to do with it, a line each."""
    if found.kind == LIMIT:
        fits = [f"it fits {', '.join(each.product for each in found.fits)}"] if found.fits else []
        fits = fits or ["it is the limit of no product in the catalogue: a setting of somebody's own"]
        idle = IDLE_S if found.above_s > 2 * IDLE_S else max(int(found.above_s / 3), 1)
        sysctls = ADVISED_SYSCTLS.replace(f"keepalive_time={IDLE_S}", f"keepalive_time={idle}")
        return [*fits, f"keepalive cures it: let the job set SO_KEEPALIVE, and on this host: {sysctls}"]
    if found.kind == SERVER:
        return [
            "to test the path for longer: `systrace sink --listen PORT` on a host beyond the same gateway, and "
            f"`systrace check --idle {target.host}:PORT` with that host from here"
        ]
    return []
