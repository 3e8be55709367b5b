"""States of a thread that a cause's own file knows: asked before the judges of waits that stand in this folder."""

from __future__ import annotations

from collections.abc import Callable

from systrace.look.nouns import Look, ProcessState, Thread
from systrace.registry import Registry
from systrace.rules.look.waits import Judgement

Judge = Callable[[Look, ProcessState, Thread], Judgement | None]
STATES: Registry[Judge] = Registry("systrace.rules.causes")


def state(name: str) -> Callable[[Judge], Judge]:
    """Enter a judge beside the rule of its cause; it says None of every thread that is not in this state."""

    def enter(judge: Judge) -> Judge:
        return STATES.add(name, judge)

    return enter
