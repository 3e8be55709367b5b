"""Network set-ups, and the answer that a network engineer would give to each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from systrace.cloud.aws.ports import Ports
from systrace.cloud.aws.questions import Question
from tests.cloud.world import World

DB, NEAR, OUT = ("10.0.2.20", 5432), ("10.0.1.30", 5432), ("198.51.100.9", 443)
PUBLIC6 = "2001:db8:aa::9"


@dataclass(frozen=True)
class Setup:
    """One of them."""

    name: str
    peer: tuple[str, int]
    outcome: str
    step: str  # that decides; "" where all allow
    said: str  # part of what that step says
    change: Callable[[World], None]
    asked: dict[str, Any] = field(default_factory=dict)  # of the question
    source: str = "eni-job"

    @property
    def question(self) -> Question:
        return Question(*self.peer, **self.asked)

    def world(self) -> World:
        world = World()
        self.change(world)
        return world


SETUPS: list[Setup] = []


def setup(
    called: str, peer: tuple[str, int], outcome: str, step: str = "", said: str = "", *, source: str = "eni-job",
          **asked: Any) -> Callable[[Callable[[World], None]], None]:  # fmt: skip
    """A set-up is a change to the world."""

    def enter(change: Callable[[World], None]) -> None:
        SETUPS.append(Setup(called, peer, outcome, step, said, change, asked, source))

    return enter


def port(number: int) -> dict[str, Any]:
    """The job's own port, as its log shows it."""
    return {"answers": Ports(((number, number),)), "seen": True}
