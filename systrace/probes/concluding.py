"""What the answers amount to, in the words of the catalogue of causes."""

from __future__ import annotations

from collections.abc import Sequence

from systrace.dataclass import dataclass
from systrace.observations import Observation

FINE, FOUND, UNKNOWN = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The answer."""

    status: int  # FINE, FOUND, UNKNOWN: the exit status
    cause: str  # of the catalogue; healthy, inconclusive
    subject: str
    text: str


def conclude(observations: Sequence[Observation]) -> Conclusion:
    """The first thing that is wrong, as probes come in the order in which one fault hides the next."""
    wrong = next((each for each in observations if each.value.get("cause")), None)
    if wrong is not None:
        return Conclusion(FOUND, str(wrong.value["cause"]), wrong.subject, _with_path(wrong, observations))
    if not any(_told(each) for each in observations):
        return Conclusion(UNKNOWN, "inconclusive", "", "nothing could be asked")
    return Conclusion(FINE, "healthy", observations[0].subject, "no fault was found now")


def _told(each: Observation) -> bool:
    """It is an answer."""
    return each.kind != "hop" and each.value.get("outcome") != "unknown"


def _with_path(wrong: Observation, observations: Sequence[Observation]) -> str:
    """A connection that was not made is told with the place where it failed."""
    text = str(wrong.value.get("text", ""))
    if wrong.kind != "peer-listens" or not wrong.value.get("failed"):
        return text
    port = wrong.subject.rpartition(":")[2]
    blocked = (each for each in observations if each.kind == "path-blocked" and each.subject.rpartition(":")[2] == port)
    more = next((str(each.value.get("text", "")) for each in blocked), "")
    known = not more or (wrong.value.get("rejected_by") and ", hop" not in more)
    return text if known else f"{text}; {more}"
