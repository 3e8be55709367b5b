"""Who gives up first: the limits of all parties of one wait that are known, and what was needed."""

from __future__ import annotations

from dataclasses import replace

from systrace.dataclass import dataclass
from systrace.idle_limits import known
from systrace.model import Analysis, Finding, Socket
from systrace.observations import Observation
from systrace.reporters.layout import Layout
from systrace.words import safe, seconds, wrap

_S = 1_000_000_000
_WAITS = frozenset("hung-read read-timeout idle-timeout peer-vanished http-error-status connect-timeout".split())
_FEW = 6


@dataclass(frozen=True, slots=True)
class Timer:
    """One limit, or what was needed."""

    after_ns: int
    who: str
    breaks: str = ""  # what broke here, or before
    need: bool = False
    sure: bool = True  # False: of something that may be in the path, or not


def timers(analysis: Analysis) -> list[Timer]:
    """Of the verdict's wait, the shortest first; none where there is nothing to compare."""
    at = analysis.verdict.finding
    finding = analysis.findings[at] if at is not None and at < len(analysis.findings) else None
    socket = analysis.evidence.sockets.get(finding.socket or "") if finding is not None else None
    if finding is None or socket is None or finding.cause not in _WAITS:
        return []
    found = {*_of_job(socket), *_of_others(analysis, socket), *_of_path(finding, socket)}
    need = next((each for each in sorted(found, key=_order) if each.need), None)
    if len(found) < 2:
        return []
    below = [
        each for each in found if need is not None and not each.need and each.sure and each.after_ns <= need.after_ns
    ]
    first = min(below, key=_order, default=None)
    broken = {first: "breaks here"} if first is not None else {}
    if need is not None and first is None and finding.cause == "idle-timeout":
        broken[need] = "it broke before this"
    return [replace(each, breaks=broken.get(each, "")) for each in sorted(found, key=_order)]


def _order(timer: Timer) -> tuple[int, str]:
    return timer.after_ns, timer.who


def _of_job(socket: Socket) -> list[Timer]:
    found = []
    wait = socket.waits[-1] if socket.waits else None
    if wait is not None and wait.limit_ns:
        found.append(Timer(wait.limit_ns, f"this job gives up ({wait.limit_source})"))
    elif socket.rcvtimeo_ns:
        found.append(Timer(socket.rcvtimeo_ns, "this job gives up (SO_RCVTIMEO)"))
    if socket.keepalive.on and socket.keepalive.idle_s:
        found.append(Timer(socket.keepalive.idle_s * _S, "keepalive's first probe"))
    return found


def _of_others(analysis: Analysis, socket: Socket) -> list[Timer]:
    found = []
    said = [
        each for each in analysis.evidence.observations if each.kind == "server-answered" and each.subject == socket.uid
    ]
    if said:  # the last request's
        found += _of_server(max(said, key=lambda each: each.value.get("request_line") or 0))
    for each in analysis.evidence.observations:
        if each.kind == "path-limit" and socket.peer is not None and each.subject == str(socket.peer):
            below = each.value.get("limit_below_s")
            if isinstance(below, int | float):
                found.append(
                    Timer(int(below * _S), f"the path forgets a silent connection ({each.source or 'measured'})")
                )
    return found


def _of_server(observation: Observation) -> list[Timer]:
    after = observation.value.get("after_s")
    if not isinstance(after, int | float):
        return []
    gave_up = {"client": "", "server": "the balancer gives up on its server"}.get(str(observation.value.get("gave_up")))
    if gave_up is None:
        return [Timer(int(after * _S), f"needed for the answer ({observation.source})", need=True)]
    return [Timer(int(after * _S), f"{gave_up} ({observation.source})")] if gave_up else []


def _of_path(finding: Finding, socket: Socket) -> list[Timer]:
    """Limits of what may be in the path, where that is what the verdict is about."""
    if finding.cause != "idle-timeout" or finding.duration_ns is None:
        return []
    probed = socket.keepalive.idle_s if socket.keepalive.on else None
    groups: dict[float, str] = {}
    for limit in known():
        if limit.unseen and limit.idle_s * _S <= finding.duration_ns and (probed is None or probed >= limit.idle_s):
            groups.setdefault(limit.idle_s, limit.product)
    text = "forgets a silent connection, if it is in the path"
    return [Timer(int(idle_s * _S), f"{product} {text}", sure=False) for idle_s, product in groups.items()]


def timer_lines(analysis: Analysis, layout: Layout) -> list[str]:
    """A block of the table."""
    found = timers(analysis)[:_FEW]
    if not any(each.need for each in found):
        return []
    out = ["Who gives up first"]
    width = max(len(seconds(each.after_ns)) for each in found)
    for each in found:
        mark = f" <- {each.breaks}" if each.breaks else ""
        out += wrap(
            f"{safe(each.who)}{mark}", layout.width, f"  {seconds(each.after_ns):>{width}}  ", " " * (width + 4)
        )
    return out
