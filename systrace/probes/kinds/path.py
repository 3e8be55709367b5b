"""After which hop SYNs to this very port die, and who rejects them: a traceroute by TTL and the socket's error queue.

Other traceroutes ask about other ports or protocols, which firewalls treat otherwise. An open port of the same host, where
one is known, tells a port that is filtered from a host that is not reached. Inside a cloud's network no hop answers: that
is normal and no finding.
"""

from __future__ import annotations

from systrace.probes import probe
from systrace.probes.asking import Round
from systrace.probes.target import Target, joined
from systrace.probes.tcp import Dial, dial

_WAIT_S = 1.5
_BATCH, _MOST_HOPS = 4, 24  # the last batch may reach the host with all of its SYNs
_CONTROL_S = 2.0


@probe(
    separates="where on the way packets to this port die, or who rejects them",
    phase=2,
    most_s=_WAIT_S * _MOST_HOPS / _BATCH + _CONTROL_S,
    fits=lambda target, _: bool(target.port) and target.proxy is None,
)
def path(target: Target, asking: Round) -> None:
    """Only where no connection could be made: else there is nothing to look for."""
    address = asking.closed_address
    if not address:
        return
    dials = _hops(address, target.port, asking)
    if not dials:
        return
    hops = [(each.ttl, each.icmp.sender) for each in dials if each.icmp is not None and each.icmp.expired]
    for ttl, sender in hops:
        asking.note("hop", f"hop {ttl} is {sender}", ttl=ttl, sender=sender)
    rejecting = next((each for each in dials if each.icmp is not None and not each.icmp.expired), None)
    last, after = (hops[-1][1], hops[-1][0]) if hops else ("", 0)
    if rejecting is not None and rejecting.icmp is not None:
        number = next((ttl for ttl, sender in hops if sender == rejecting.icmp.sender), None)
        text = f"{rejecting.icmp}{f', hop {number},' if number else ''} rejects packets to port {target.port}"
        asking.note("path-blocked", text, how="rejected", by=rejecting.icmp.sender, after_hop=after, last=last)
        return
    if any(_by_host(each) for each in dials):
        text = f"a SYN to port {target.port} was answered now: the fault comes and goes"
        asking.note("path-open", text, how="sometimes", after_hop=after, last=last)
        return
    where = f"after hop {after} ({last}), the last that answers" if hops else "and no hop answers, as in most clouds"
    text = f"SYNs to port {target.port} die {where}{_control(address, target, asking)}"
    asking.note("path-blocked", text, how="silent", after_hop=after, last=last)


def _hops(address: str, port: int, asking: Round) -> list[Dial]:
    """One SYN for each number of hops, in batches, until one is answered or no hop of a batch answers."""
    found: list[Dial] = []
    while len(found) < _MOST_HOPS:
        first = len(found) + 1
        batch = [Dial(address, port, ttl) for ttl in range(first, first + asking.take(_BATCH))]
        dial(batch, asking.time_left(_WAIT_S), enough=_by_host)
        nearest = min((each.ttl for each in batch if _by_host(each)), default=first + _BATCH)
        asking.give_back(sum(each.ttl < nearest for each in batch))  # what lives longer arrives, too
        found += batch
        told = [each.icmp.expired for each in batch if each.icmp is not None]
        if not told or not all(told) or any(_by_host(each) for each in batch):
            break
    return found


def _by_host(each: Dial) -> bool:
    """The host itself answered: that was a connection."""
    return each.outcome in ("open", "refused")


def _control(address: str, target: Target, asking: Round) -> str:
    """What another port of the same host says, in words."""
    ports = [port for port in target.controls if port != target.port][:1]
    dials = [Dial(address, port) for port in ports][: asking.take(1)]
    dial(dials, asking.time_left(_CONTROL_S))
    for each in dials:
        if each.outcome in ("open", "refused"):
            asking.note(
                "path-open",
                f"{joined(address, each.port)} answers",
                subject=joined(address, each.port),
                how=each.outcome,
            )
            return f"; port {each.port} of the same host answers: it is this port alone (a rule, or a full queue)"
        return f"; port {each.port} of the same host, which was open, does not answer either: host or path"
    return ""
