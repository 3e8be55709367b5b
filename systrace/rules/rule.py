"""What a rule is: a cause, how to find it, where it stands among the others, and two traces that prove it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Any

from systrace.dataclass import dataclass
from systrace.model import Draft
from systrace.registry import Registry
from systrace.rules.case.index import Case

Check = Callable[[Case], Iterator[Draft]]


class Phase(IntEnum):
    """What fails in an earlier phase explains what the same process meets after it."""

    RESOURCES = 0
    PORT = 1
    NAME = 2
    CONNECT = 3
    HANDSHAKE = 4
    EXCHANGE = 5


class Harm(IntEnum):
    """What a finding of severity warning or info says of a job in which nothing failed."""

    NONE = 0
    DELAY = 1  # degraded
    COPED = 2  # healthy where the job ended well; degraded where it let a child's failure pass
    REST = 3  # healthy: it waits on purpose


@dataclass(frozen=True, slots=True)
class Rule:
    """One cause. All that other stages and the verdict need to know of it stands here."""

    cause: str
    check: Check
    fires: str
    silent: str
    phase: Phase = Phase.EXCHANGE
    over: tuple[str, ...] = ()  # causes that say the same of a socket less well: they are left out where this one fires
    endless: bool = False  # a wait that nothing in the program ends
    hung: tuple[str, ...] | None = None  # the variants that make the job hung; None: all, if it is endless
    ends: tuple[str, ...] = ()  # ... and those that are an end all the same
    of_process: bool = False  # a shortage: all that its process does afterwards suffers from it
    of_connect: bool = False  # the connection never came about: another address, or a later try, makes it good
    on_path: bool = False  # what the peer is (a proxy, the cloud's metadata service) changes the advice
    no_answer: bool = False  # ... as an answer that never arrived
    content: bool = False  # what came was wrong: it explains the death of whoever read it
    gives_way: bool = False  # ... and this is left out where it does
    apart: bool = False  # what a job's failure is called in which nobody opened a connection
    proven_by: tuple[str, ...] = ()  # kinds of observations (`observations.KINDS`) of its peer that leave no doubt
    judges: bool = False  # judges the findings of the others
    harm: Harm = Harm.NONE

    @property
    def page(self) -> str:
        """The docstring."""
        return self.check.__doc__ or ""

    def hangs(self, finding: Draft, fate: str) -> bool:
        """Whether a finding says that the job hung; `fate` is that of its process (see `Case.fate`): whoever leaves by itself,
        and says that it failed, has given up.
        """
        if self.hung is None:
            return self.endless and finding.variant not in self.ends and fate != "failed"
        return finding.variant in self.hung and (self.endless or fate == "open")


RULES: Registry[Rule] = Registry("systrace.rules.causes")


def rule(cause: str, *, fires: str, silent: str, **facts: Any) -> Callable[[Check], Check]:
    """Enter a rule for a cause; `facts` are the other fields of `Rule`."""

    def enter(check: Check) -> Check:
        RULES.add(cause, Rule(cause, check, fires, silent, **facts))
        return check

    return enter
