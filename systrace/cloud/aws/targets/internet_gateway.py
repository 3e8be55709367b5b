"""Internet gateways: they translate nothing for who has no public address; IPv6 needs none."""

from __future__ import annotations

from systrace.cloud.aws import interfaces
from systrace.cloud.aws.arrival import Sender, arrive
from systrace.cloud.aws.calls import LISTS
from systrace.cloud.aws.inventory import MissingError
from systrace.cloud.aws.ports import Ports
from systrace.cloud.aws.records import Record, text
from systrace.cloud.aws.routes import Route
from systrace.cloud.aws.steps import ALLOWED, BLOCKED, UNKNOWN, Step, allowed, blocked
from systrace.cloud.aws.targets import target
from systrace.cloud.aws.walk import Walk

_KEY, _EXCLUSIONS = "VpcBlockPublicAccessOptions", "VpcBlockPublicAccessExclusions"


@target("igw")
def internet_gateway(walk: Walk, route: Route) -> None:
    """The job's own public address, and whether the account blocks public access altogether."""
    own = walk.own
    public = walk.source.public_of(own)
    if not public:
        family = "IPv6" if ":" in own else "IPv4"
        walk.note(
            "public-address",
            BLOCKED,
            walk.source.identity,
            f"{walk.source.identity} ({own}) has no public {family} address: {route.target} does not translate for it",
            change="a public address (of a Fargate task: assignPublicIp=ENABLED), or a NAT gateway as the route's target",
        )
        return
    walk.note(
        "public-address",
        ALLOWED,
        walk.source.identity,
        f"{own} goes out as {public}" if public != own else f"{own} is global",
    )
    walk.run("block-public-access", walk.source.subnet, lambda: public_access(walk, walk.source.subnet))
    outside(walk, public, walk.question.answers, walk.whose)


@target("eigw")
def egress_only(walk: Walk, route: Route) -> None:
    """IPv6, and only what begins inside."""
    walk.note(
        "egress-only-internet-gateway", ALLOWED, route.target, f"{route.target} lets connections out that begin inside"
    )
    walk.run("block-public-access", walk.source.subnet, lambda: public_access(walk, walk.source.subnet, by_nat=True))
    outside(walk, walk.own, walk.question.answers, walk.whose)


def public_access(walk: Walk, subnet: str, *, by_nat: bool = False) -> Step:
    """VPC Block Public Access, as the subnet's record has it, else as the account's, and exclusions from it.

    Args:
        walk: the way.
        subnet: whose traffic goes through the internet gateway.
        by_nat: through a NAT or egress-only gateway, which block-ingress leaves alone.

    Raises:
        MissingError: whether it is on, or whom it excludes, was not read.
    """
    name, mode = "block-public-access", _mode(walk, subnet)
    said = f"VPC Block Public Access is {mode} for {subnet}"
    if mode == "off" or (mode == "block-ingress" and by_nat):
        return allowed(name, subnet, said)
    if mode not in ("block-bidirectional", "block-ingress"):
        raise MissingError("whether VPC Block Public Access is on was not read", f"`{LISTS[_KEY].command}`")
    excluded = _exclusion(walk, subnet)
    if excluded:
        return allowed(name, subnet, f"{said}, and {excluded}")
    change = f"an exclusion for {subnet}, or another mode, by who administers the account"
    return blocked(name, subnet, said, change)


def _exclusion(walk: Walk, subnet: str) -> str:
    """What is excluded, in words; both modes of an exclusion let connections out. "" where there is none."""
    for each in walk.inventory.records(_EXCLUSIONS):
        whose, state = text(each, "ResourceArn").rpartition("/")[2], text(each, "State")
        if whose not in (subnet, walk.source.vpc) or state in ("create-failed", "delete-complete", "disable-complete"):
            continue
        walk.inventory.sure(_EXCLUSIONS, each)
        if state != "create-complete" and not state.startswith("update-"):
            said = f"whether {whose} is excluded from VPC Block Public Access is not known: {state or 'no known state'}"
            raise MissingError(said, f"`{LISTS[_EXCLUSIONS].command}`")
        return f"{whose} is excluded ({text(each, 'InternetGatewayExclusionMode')})"
    walk.inventory.check_whole(_EXCLUSIONS)
    return ""


def _mode(walk: Walk, subnet: str) -> str:
    try:
        record = walk.inventory.one("Subnets", "SubnetId", subnet)
    except MissingError:
        record = {}
    return text(record, "BlockPublicAccessStates", "InternetGatewayBlockMode") or _mode_of_account(walk, subnet, record)


def _mode_of_account(walk: Walk, subnet: str, record: Record) -> str:
    """It is set for an account in a region: a folder may hold those of several."""
    _, _, _, region, account, *_ = [*text(record, "SubnetArn").split(":"), *[""] * 5]
    wanted = region, text(record, "OwnerId") or account
    options = walk.inventory.records(_KEY)
    walk.inventory.check_whole(_KEY)
    if any(bool(its_region) != bool(its_account) for its_region, its_account in map(_place, options)):
        raise MissingError(
            f"whose VPC Block Public Access was read is not told for {subnet}", f"`{LISTS[_KEY].command}`"
        )
    found = [
        each
        for each in options
        if all(not mine or mine == its for mine, its in zip(wanted, _place(each), strict=True)) or not any(_place(each))
    ]
    if not all(text(each, "AwsAccountId") for each in found):
        walk.check_visible()  # the account's own mode says nothing of a subnet that another account shares
    modes = {text(each, "InternetGatewayBlockMode") for each in found}
    if len(modes) > 1:
        said = (
            f"VPC Block Public Access is {' or '.join(sorted(modes))} for {subnet}: its account and region are not told"
        )
        raise MissingError(said, f"`{LISTS['Subnets'].command}` and `{LISTS[_KEY].command}` of its account and region")
    return next(iter(modes), "")


def _place(option: Record) -> tuple[str, str]:
    return text(option, "AwsRegion"), text(option, "AwsAccountId")


def outside(walk: Walk, public: str, answers: Ports, whose: str) -> None:
    """Beyond the gateway: where the peer's public address is that of an interface that is seen, on to it."""
    try:
        there = interfaces.of_public(walk.inventory, walk.question.peer)
    except MissingError as missing:
        said = (
            f"whether {walk.question.peer} is the public address of something of one's own is not known: {missing.what}"
        )
        walk.note("beyond", UNKNOWN, "", said, ask=missing.ask)
        return
    if there is None:
        walk.note("beyond", ALLOWED, "", f"{walk.question.peer} is outside: what filters there is not seen from here")
        return
    walk.note(
        "destination", ALLOWED, there.identity, f"{walk.question.peer} is the public address of {there}, {there.subnet}"
    )
    arrive(walk, there, Sender(public, frozenset(), "", answers, whose, private=False))
    route = walk.route("answer-route", there.subnet, there.vpc, public)
    if route is not None and not route.target.startswith("igw-"):
        said = f"{route.text}: answers of {there} do not leave by the internet gateway that the request came by"
        walk.note("answer-route", BLOCKED, route.table, said, change=f"use the private address of {there.identity}")
