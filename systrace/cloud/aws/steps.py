"""What is answered: steps of the way to a peer, limits on silence along it, and what they amount to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

from systrace.cloud.aws.questions import Question
from systrace.dataclass import dataclass

ALLOWED, BLOCKED, SHARE, UNKNOWN = "allowed", "blocked", "share", "unknown"
OUTCOMES = {
    ALLOWED: "the configuration lets it through",
    BLOCKED: "the rule that is named drops it, or nobody is there",
    SHARE: "some of the ports, or targets, are let through: it fails now and then",
    UNKNOWN: "what decides was not read, or lies with somebody else",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One filter, route or gateway on the way."""

    name: str  # what is judged: security-group-out, route, acl-in-answer, ...
    outcome: str  # see OUTCOMES
    at: str  # id of the resource that decides; "" where none does
    text: str  # the rule that decides, for people
    share: float | None = None  # of `share`: 0 to 1
    change: str = ""  # what to change
    ask: str = ""  # of `unknown`: what is missing, and whom to ask
    cause: str = "connect-timeout"  # of the catalogue, where it is blocked


def allowed(name: str, at: str, said: str) -> Step:
    """A step that lets it through."""
    return Step(name, ALLOWED, at, said)


def blocked(name: str, at: str, said: str, change: str = "", cause: str = "connect-timeout") -> Step:
    """A step that does not."""
    return Step(name, BLOCKED, at, said, change=change, cause=cause)


@dataclass(frozen=True, slots=True)
class PathLimit:
    """A connection that is silent for longer is forgotten there."""

    at: str
    product: str
    idle_s: float
    after: str  # what the next packet meets: reset, silent; fin: it is closed before that
    certain: bool = True  # False: the default, and the setting was not read

    @property
    def unseen(self) -> bool:
        """Nothing tells the job."""
        return self.after in ("reset", "silent")


@dataclass(frozen=True, slots=True)
class FlowSeen:
    """What flow logs say of the connection at one interface."""

    outcome: str  # see flowlogs: rejected-out, rejected-in, answer-rejected, lost, innocent, mixed, undecided
    text: str

    @property
    def rejected(self) -> bool:
        """A filter of that interface dropped it. Not where it let other packets of it through."""
        return self.outcome in ("rejected-out", "rejected-in", "answer-rejected")


@dataclass(slots=True)
class Way:
    """From a network interface to a peer."""

    question: Question
    source: str = ""  # its interface
    source_text: str = ""
    steps: list[Step] = field(default_factory=list)
    limits: list[PathLimit] = field(default_factory=list)
    flows: list[FlowSeen] = field(default_factory=list)

    @property
    def deciding(self) -> Step | None:
        """The first step that blocks, else the first that lets a share through, else the first unknown one."""
        return decisive(self.steps)

    @property
    def outcome(self) -> str:
        """Of the whole way."""
        step = self.deciding
        return step.outcome if step is not None else ALLOWED

    @property
    def limit(self) -> PathLimit | None:
        """The shortest of those that nobody is told of."""
        return min((each for each in self.limits if each.unseen), key=lambda each: each.idle_s, default=None)


def decisive(steps: Sequence[Step]) -> Step | None:
    """The step that the verdict rests on; None where all allow."""
    for outcome in (BLOCKED, SHARE, UNKNOWN):
        found = next((each for each in steps if each.outcome == outcome), None)
        if found is not None:
            return found
    return None
