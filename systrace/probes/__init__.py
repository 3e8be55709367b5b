"""Questions to the network from where the job runs: the smallest that tells the suspects of a verdict apart.

Adding a probe is adding a file to `kinds` with a function under `@probe`. None needs root, none sends a byte to the peer
that was not asked for (`--http`, `--tls`, or a port where the trace speaks TLS), all have an end. Answers are
observations: what they tell people is `value["text"]`, what is wrong in the words of the catalogue `value["cause"]`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from systrace.dataclass import dataclass
from systrace.observations import Observation
from systrace.probes.asking import Allowed, Round
from systrace.probes.target import Target
from systrace.registry import Registry
from systrace.words import safe

Ask = Callable[[Target, Round], None]
DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True)
class Probe:
    """One kind of question."""

    name: str
    separates: str  # which suspects it tells apart
    phase: int  # what is learned in one serves the next: names, connections, path, size of packets, words
    most_s: float  # it lasts no longer
    fits: Callable[[Target, Allowed], bool]
    ask: Ask  # notes what it learns in the round


PROBES: Registry[Probe] = Registry("systrace.probes.kinds")


def probe(
    *, separates: str, phase: int, most_s: float, fits: Callable[[Target, Allowed], bool] = lambda target, allowed: True
) -> Callable[[Ask], Ask]:
    """Register a function under its module's name."""

    def enter(ask: Ask) -> Ask:
        name = ask.__module__.rpartition(".")[2]
        PROBES.add(name, Probe(name, separates, phase, most_s, fits, ask))
        return ask

    return enter


def fitting(target: Target, allowed: Allowed) -> list[Probe]:
    """Those that make sense for a target, in their order."""
    return sorted((each for each in PROBES.values() if each.fits(target, allowed)), key=lambda each: each.phase)


def longest_s(targets: Sequence[Target], allowed: Allowed) -> float:
    """How long `run` may take for them."""
    return sum(each.most_s for target in targets for each in fitting(target, allowed))


def run(
    targets: Sequence[Target],
    *,
    allowed: Allowed = Allowed(),  # noqa: B008 (frozen)
    deadline_s: float = DEADLINE_S,
    found: list[Observation] | None = None,
) -> list[Observation]:
    """Ask about each target what fits it, one after the other.

    Args:
        targets: host and port each.
        allowed: what may be sent.
        deadline_s: for all of them; what has not been asked by then is not asked.
        found: is filled as answers come, so that they are known where this is interrupted.
    """
    found = [] if found is None else found
    until = time.monotonic() + deadline_s
    for target in targets:
        asking = Round(target, allowed, until, found)
        for each in fitting(target, allowed):
            if time.monotonic() >= until:
                break
            asking.begin(each.name, each.most_s)
            _ask(each, target, asking)
    return found


def _ask(each: Probe, target: Target, asking: Round) -> None:
    """What this host or a peer makes impossible for one probe must not silence the others."""
    try:
        each.ask(target, asking)
    except Exception as error:  # noqa: BLE001 (whatever it is)
        kind = "peer-listens" if target.port else "name"
        why = safe(str(error)) or type(error).__name__
        asking.note(kind, f"could not be asked: {why}", outcome="unknown", error=type(error).__name__)
