"""Connect to each address of the service, and close at once: nothing is sent."""

from __future__ import annotations

from systrace.probes import probe
from systrace.probes.asking import Round
from systrace.probes.target import Target, joined
from systrace.probes.tcp import Dial, dial, words_of

_WAIT_S = 4.0  # SYNs go out at 0, 1 and 3 s; a router says after 3 s that a host does not answer
_TRIES = 3
_MOST_ADDRESSES = 4
_SLOW_S = 1.0  # what takes longer needed a second SYN, or a queue
_KEPT_FOR_OTHERS = 4  # connections


@probe(
    separates="dropped, refused, rejected by somebody on the way, slow to accept, SYNs lost",
    phase=1,
    most_s=_WAIT_S,
    fits=lambda target, _: bool(target.port) and target.proxy is None,
)
def connect(target: Target, asking: Round) -> None:
    """Up to three connections to each address, all at once: some of several paths or hosts may be dead."""
    addresses = asking.addresses[:_MOST_ADDRESSES]
    if not addresses:
        return
    tries = max(min(_TRIES, (target.most_connections - _KEPT_FOR_OTHERS) // len(addresses)), 1)
    dials = [Dial(one, target.port) for one in addresses for _ in range(tries)]
    dials = dials[: asking.take(len(dials))]
    dial(dials, asking.time_left(_WAIT_S))
    reached = any(each.outcome == "open" for each in dials)
    for one in addresses:
        _note(one, [each for each in dials if each.address == one], target, asking, reached)


def _note(address: str, dials: list[Dial], target: Target, asking: Round, reached: bool) -> None:
    if not dials:
        return
    # The best that happened, and whether all went so.
    order = ("open", "refused", "rejected", "unreachable", "silent")
    best = min(dials, key=lambda each: (order.index(each.outcome), each.took_s))
    failed = [each for each in dials if each.outcome != best.outcome]
    text, cause = _told(best, target)
    if best.outcome == "open" and failed:
        cause = _told(failed[0], target)[1]
        text = (
            f"{len(failed)} of {len(dials)} connections failed: {_told(failed[0], target)[0]}; the others were accepted"
        )
    elif best.outcome == "open" and (slow := max(dials, key=lambda each: each.syns)).syns > 1:
        cause = "slow-connect"
        text += f"; one needed {slow.syns} SYNs ({slow.took_s:.1f} s): the first got no answer"
    if best.outcome == "unreachable" and reached:  # IPv6 that this host has no route for: others are reached
        cause = ""
    asking.note(
        "peer-listens", text, subject=joined(address, target.port), cause=cause, outcome=best.outcome, address=address,
        tried=len(dials), failed=sum(each.outcome != "open" for each in dials),
        took_ms=round(best.took_s * 1000, 1), syns=max(each.syns for each in dials), error=best.error if best.errno else "",
        rejected_by=best.icmp.sender if best.icmp is not None else "",
    )  # fmt: skip


def _told(each: Dial, target: Target) -> tuple[str, str]:
    """In words, and the cause."""
    where = joined(each.address, target.port)
    if each.outcome == "open":
        return (
            f"{where} accepts connections ({each.took_s * 1000:.0f} ms)",
            "slow-connect" if each.took_s > _SLOW_S else "",
        )
    if each.outcome == "refused":
        return f"{where} refuses: the host is there, and nothing listens on that port", "connect-refused"
    if each.outcome == "rejected" and each.icmp is not None:
        return f"{where}: {each.icmp} said: {words_of(each.errno)}", "unreachable"
    if each.outcome == "unreachable":
        return f"{where}: {words_of(each.errno)}, by this host itself", "unreachable"
    return f"{where} did not answer {each.syns} SYNs within {each.took_s:.0f} s", "connect-timeout"
