"""Ways as observations, held against what the job was seen to do: its silences, its keepalive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from systrace.cloud.aws.steps import ALLOWED, BLOCKED, SHARE, UNKNOWN, PathLimit, Way
from systrace.dataclass import dataclass
from systrace.observations import Observation
from systrace.words import clean

SOURCE = "systrace aws"
FINE, FOUND, UNDECIDED = 0, 1, 2
_TEXT = 600
_LOOK = "look at the host's firewall, the listener, its backlog"


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What a way amounts to."""

    status: int  # FINE, FOUND, UNDECIDED: the exit status
    outcome: str  # of the way; "idle": nothing blocks, and the job's silence is longer than the path bears
    cause: str  # of the catalogue; healthy, inconclusive
    text: str


def conclude(way: Way) -> Conclusion:
    """The verdict first."""
    step, question = way.deciding, way.question
    if step is not None and step.outcome in (BLOCKED, SHARE):
        share = f" {step.share:.0%} pass" if step.outcome == SHARE and step.share is not None else ""
        lead = "blocked" if step.outcome == BLOCKED else f"now and then:{share}"
        text = f"{lead} ({words(step.name)}): {step.text}"
        return Conclusion(FOUND, step.outcome, _cause(step.cause, way), clean(text, _TEXT))
    rejecting = next((each for each in way.flows if each.rejected), None)
    if rejecting is not None:  # the configuration of today may be another than that of then
        text = f"blocked (flow logs): {rejecting.text}; the configuration that was read does not show which rule"
        return Conclusion(FOUND, BLOCKED, _cause("connect-timeout", way), clean(text, _TEXT))
    told = held_against(way)
    if told and way.limit is not None:
        return Conclusion(FOUND, "idle", "idle-timeout", clean(told, _TEXT))
    if step is not None:
        text = f"not decided ({words(step.name)}): {step.text}"
        return Conclusion(UNDECIDED, UNKNOWN, "inconclusive", clean(text, _TEXT))
    limits = f"; {limits_text(way.limits)}" if way.limits else ""
    text = f"nothing in the configuration blocks {question.service}: {_LOOK}{limits}"
    return Conclusion(FINE, ALLOWED, "healthy", clean(text, _TEXT))


def _cause(cause: str, way: Way) -> str:
    return "dns-timeout" if way.question.protocol == "udp" and way.question.port == 53 else cause


def words(name: str) -> str:
    """A step's name for people.

    >>> [words(name) for name in ("acl-out", "nat-acl-in-answer", "nat-gateway", "security-group-in")]
    ['network ACL, out', "NAT's network ACL, answers in", 'NAT gateway', 'security group, in']
    """
    if name == "nat-gateway":
        return "NAT gateway"
    lead = "NAT's " if name.startswith("nat-") else ""
    name = name.removeprefix("nat-").replace("-in-answer", ", answers in").replace("-out-answer", ", answers out")
    for way in ("-in", "-out"):
        name = f"{name.removesuffix(way)}, {way[1:]}" if name.endswith(way) else name
    return lead + name.replace("acl", "network ACL").replace("-", " ")


def limits_text(limits: Sequence[PathLimit]) -> str:
    """All limits in a phrase."""
    return "; ".join(limit_text(each) for each in limits)


def limit_text(limit: PathLimit) -> str:
    """What becomes of a silent connection there."""
    how = {
        "reset": "forgets a connection after {} of silence and answers what comes then with a reset",
        "silent": "forgets a connection after {} of silence and drops what comes then",
        "fin": "closes a connection after {} of silence",
    }[limit.after]
    sure = "" if limit.certain else " (the default: its setting was not read)"
    return f"{limit.product} {limit.at} {how.format(f'{limit.idle_s:g} s')}{sure}"


def held_against(way: Way) -> str:
    """That the job's silence was longer than the path bears, "" where it was not, or keepalive came first."""
    question, limit = way.question, way.limit
    if limit is None or not limit.certain or not question.is_silent_for(limit.idle_s):
        return ""
    probes = "no keepalive is seen"
    if question.keepalive_s is not None:
        probes = f"the first keepalive probe comes after {question.keepalive_s:g} s"
    silence = f"the job's connection was silent for {question.silence_s:.0f} s"
    return f"the path forgets: {limit_text(limit)}; {silence}, and {probes}"


def advice(way: Way) -> list[str]:
    """What to do, a line each."""
    from systrace.keepalive import ADVISED_SYSCTLS, IDLE_S

    step = way.deciding
    said = [step.change, f"ask: {step.ask}" if step.ask else ""] if step is not None else []
    told = [clean(each, _TEXT) for each in said if each]
    silence = way.question.silence_s or 0
    told += [
        f"{limit_text(each)}, and the job's was silent for {silence:.0f} s: the idle timeout there must be longer than what "
        "the job waits for; keepalive does not count"
        for each in way.limits
        if not each.unseen and silence >= each.idle_s
    ]
    if held_against(way):
        told.append(
            f"keepalive of {IDLE_S} s on this connection (SO_KEEPALIVE, TCP_KEEPIDLE), and on this host: {ADVISED_SYSCTLS}"
        )
    elif way.limit is not None and way.outcome == ALLOWED and way.question.keepalive_s is None:
        told.append(f"whoever waits longer than {way.limit.idle_s:g} s there needs keepalive")
    return told


def observations(way: Way, when_ns: int, where: str) -> list[Observation]:
    """The facts that rules read.

    `path-blocked` where a rule drops everything; `path-open` where nothing does, or a share passes; `path-limit` with the
    shortest limit that nobody is told of (`limit_below_s`), and all others in `limits`. What is unknown is no fact.
    """
    answer, found = conclude(way), list[Observation]()
    step = way.deciding
    base: dict[str, Any] = {"probe": "aws", "configured": True, "interface": clean(way.source, 80)}

    def note(kind: str, text: str, **value: Any) -> None:
        found.append(Observation(kind, way.question.subject, base | {"text": text} | value, SOURCE, when_ns, where))

    for each in way.flows:
        if each.rejected or each.outcome == "innocent":
            note("path-blocked" if each.rejected else "path-open", f"flow logs: {each.text}", flow=each.outcome)
    if step is not None and step.outcome in (BLOCKED, SHARE):
        kind = "path-blocked" if step.outcome == BLOCKED else "path-open"
        share = {} if step.share is None else {"share": round(step.share, 4)}
        note(kind, answer.text, cause=answer.cause, step=step.name, at=clean(step.at, 200), **share)
    elif way.outcome == ALLOWED:
        note("path-open", f"nothing in the configuration blocks {way.question.service} to {way.question.peer}")
    if way.limits and answer.outcome != BLOCKED:
        note("path-limit", clean(held_against(way) or limits_text(way.limits), _TEXT), **_limit_values(way))
    return found


def _limit_values(way: Way) -> dict[str, Any]:
    limit = way.limit
    plain = [
        {
            "at": clean(each.at, 200),
            "product": each.product,
            "idle_s": each.idle_s,
            "after": each.after,
            "certain": each.certain,
        }
        for each in way.limits
    ]
    value: dict[str, Any] = {"limits": plain}
    if limit is not None and limit.certain:
        value |= {"limit_above_s": limit.idle_s, "limit_below_s": limit.idle_s, "how": limit.after, "keepalive": True}
        if held_against(way):
            value["cause"] = "idle-timeout"
    return value
