"""What two runs are compared by: steps of each, pairs of these, and the differences that come of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import NamedTuple

from systrace.dataclass import dataclass

GOOD, BAD = "GOOD", "BAD"  # as people read them

PROCESS, LOOKUP, CONNECTION, REQUEST = "process", "look-up", "connection", "request"


class Key(NamedTuple):
    """What a step is, in any run of the job. "" is unknown, and nothing is told apart by it."""

    kind: str
    role: str  # shape of the command that did it
    peer: str  # name, else ""
    port: str  # "443"; "{port}" for those that are handed out (32768 and above); path of a UNIX socket
    protocol: str = ""
    method: str = ""
    shape: str = ""  # of the URL, statement, name or command


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a log."""

    file: str
    line: int  # 0: unknown
    time_s: float | None  # since the first record


@dataclass(slots=True, frozen=True)
class Step:
    """One thing that a job did, and what came of it. Texts are as the trace had them, secrets masked, not yet safe."""

    key: Key
    text: str  # "GET http://api.example/v1/rows", "connect to db.example:5432"
    exact: str  # address, whole URL: tells steps of one key apart
    outcome: str  # "200", "refused"; "" where the log does not show it
    failed: bool
    place: Place
    who: str = ""  # command
    peer: str = ""  # name:port or address:port, for people
    socket: str = ""
    times: Mapping[str, int] = field(default_factory=dict)  # "connect", "first byte", ...: ns
    size: int | None = None  # bytes of the answer, of one that is whole
    content: str = ""  # media type of the answer
    options: Mapping[str, str] = field(default_factory=dict)  # keepalive, timeouts: as told
    start_ns: int = 0
    changes: bool = False  # done twice is not the same as done once
    optional: bool = False  # how often it is done depends on caches, pools and timing


class Pair(NamedTuple):
    """The same step in both runs; None where one of them has not got it."""

    good: Step | None
    bad: Step | None


@dataclass(slots=True, frozen=True)
class Difference:
    """One difference that matters, of one step or of several alike."""

    kind: str  # cause, outcome, only-good, only-bad, peer, request, content, size, time, option, count, arguments
    text: str  # a sentence
    step: str
    who: str
    peer: str
    good: str  # what it was; "" where there is nothing
    bad: str
    good_place: Place | None
    bad_place: Place | None
    count: int = 1  # so many steps
    of: int = 1  # of so many
    order: float = 0.0  # position in BAD
    weight: int = 0  # the larger the more telling
    slower_s: float = 0.0  # of times: by so much
    failed: bool = False  # BAD failed there


@dataclass(slots=True, frozen=True)
class Run:
    """One side, in short."""

    files: Sequence[str]
    job: str
    outcome: str
    cause: str
    headline: str
    steps: int
    span_s: float | None


@dataclass(slots=True, frozen=True)
class Comparison:
    """The answer."""

    good: Run
    bad: Run
    alike: int  # steps that both have, with the same outcome
    differences: Sequence[Difference]  # the most telling first; empty: none that matters
    parted: int | None  # index of the one where they part first
    unseen: Sequence[str]  # what could not be compared, and why
