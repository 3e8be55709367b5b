"""Load balancers: a listener on the port, and idle timeouts; `target_groups` has what is behind it.

Source: ELB guides: idle_timeout.timeout_seconds (60 s), tcp.idle_timeout.seconds (350 s).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from systrace.cloud.aws import target_groups
from systrace.cloud.aws.calls import LISTS
from systrace.cloud.aws.interfaces import Interface
from systrace.cloud.aws.inventory import MissingError
from systrace.cloud.aws.records import Record, number, text
from systrace.cloud.aws.steps import ALLOWED, BLOCKED, UNKNOWN

if TYPE_CHECKING:
    from systrace.cloud.aws.arrival import Sender
    from systrace.cloud.aws.walk import Walk

_APPLICATION_S, _NETWORK_S = 60, 350
_DATAGRAMS = ("UDP", "QUIC")


def arrive(walk: Walk, there: Interface, sender: Sender) -> None:
    """Beyond the filters of its interface, which is described as `ELB app/NAME/ID` or `ELB net/NAME/ID`."""
    suffix = there.description.removeprefix("ELB ")
    if suffix.partition("/")[0] not in ("app", "net"):
        walk.note(
            "load-balancer",
            UNKNOWN,
            there.identity,
            f"{there} is a classic or gateway load balancer",
            ask="its listeners, targets and idle timeout: `aws elb describe-load-balancers`",
        )
        return
    try:
        found = walk.inventory.found("LoadBalancers", lambda each: text(each, "LoadBalancerArn").endswith(f"/{suffix}"))
        if found is None:
            raise MissingError(
                f"{suffix} is not among the load balancers that were read", f"`{LISTS['LoadBalancers'].command}`"
            )
        _state(walk, found, suffix)
        listener = _listener(walk, found)
    except MissingError as missing:
        walk.note("load-balancer", UNKNOWN, there.identity, missing.what, ask=missing.ask)
        return
    _limit(walk, found, listener)
    if listener is not None:
        target_groups.judge(walk, target_groups.Balanced(found, there, sender), listener)


def _state(walk: Walk, balancer: Record, suffix: str) -> None:
    """A step where it does not serve, or that is not known."""
    state = text(balancer, "State", "Code")
    if state in ("provisioning", "failed"):
        walk.note("load-balancer", BLOCKED, suffix, f"{suffix} is {state}", change="a load balancer that is active")
    elif state not in ("active", "active_impaired"):
        said = f"{suffix} is {state or 'in no known state'}"
        walk.note("load-balancer", UNKNOWN, suffix, said, ask=f"`{LISTS['LoadBalancers'].command}`")


def _listener(walk: Walk, balancer: Record) -> Record | None:
    """A step of the listener on the port; None where there is none."""
    arn = text(balancer, "LoadBalancerArn")
    name, port = text(balancer, "LoadBalancerName") or arn, walk.question.port
    known = walk.inventory.details("Listeners", arn)
    datagrams = walk.question.protocol == "udp"
    for each in known:
        protocol = text(each, "Protocol")
        fits = "UDP" in protocol or "QUIC" in protocol if datagrams else protocol not in _DATAGRAMS
        if number(each, "Port") == port and fits:
            walk.note("listener", ALLOWED, name, f"{name} listens on {protocol} {port}")
            return each
    ports = ", ".join(f"{text(each, 'Protocol')} {number(each, 'Port')}" for each in known) or "no port"
    walk.note(
        "listener",
        BLOCKED,
        name,
        f"{name} has no listener on {walk.question.service}, but on {ports}",
        change=f"a listener on {port}, or another port in the job",
    )
    return None


def _limit(walk: Walk, balancer: Record, listener: Record | None) -> None:
    arn, name = text(balancer, "LoadBalancerArn"), text(balancer, "LoadBalancerName")
    application = text(balancer, "Type") == "application"
    certain, told = True, ""
    try:
        if application:
            told = walk.inventory.attribute("LoadBalancerAttributes", arn, "idle_timeout.timeout_seconds")
        elif listener is not None:
            told = walk.inventory.attribute(
                "ListenerAttributes", text(listener, "ListenerArn"), "tcp.idle_timeout.seconds"
            )
    except MissingError:
        certain = False
    idle_s = int(told) if told.isdecimal() and len(told) < 7 else _APPLICATION_S if application else _NETWORK_S
    if application:
        walk.limit(name, "Application Load Balancer", idle_s, "fin", certain=certain)
    elif walk.question.protocol == "tcp":
        walk.limit(name, "Network Load Balancer", idle_s, "reset", certain=certain)
