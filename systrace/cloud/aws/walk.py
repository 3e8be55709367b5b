"""The evaluator: from the job's network interface over filters and routes to the peer. It asks nobody but the inventory."""

from __future__ import annotations

from collections.abc import Callable

from systrace.cloud.aws import acls, exempt, groups, interfaces, routes, tracking
from systrace.cloud.aws.calls import LISTS
from systrace.cloud.aws.groups import Other
from systrace.cloud.aws.interfaces import Interface
from systrace.cloud.aws.inventory import Inventory, MissingError
from systrace.cloud.aws.ports import Ports
from systrace.cloud.aws.questions import Question
from systrace.cloud.aws.records import address, contains, dicts, is_private, number, text
from systrace.cloud.aws.routes import Route
from systrace.cloud.aws.steps import ALLOWED, BLOCKED, UNKNOWN, PathLimit, Step, Way, allowed, blocked

_OUTSIDE = ("igw-", "eigw-")


def way_to(inventory: Inventory, question: Question, source: Interface) -> Way:
    """Every step from an interface to a peer, and back."""
    walk = Walk(inventory, question, source)
    walk.go()
    return walk.way


def unknown_source(question: Question, missing: MissingError) -> Way:
    """The way of a job whose interface is not known."""
    return Way(question, steps=[Step("source", UNKNOWN, "", missing.what, ask=missing.ask)])


class Walk:
    """One question on its way; targets and arrivals add their steps."""

    def __init__(self, inventory: Inventory, question: Question, source: Interface) -> None:
        self.inventory, self.question, self.source = inventory, question, source
        self.way = Way(question, source.identity, self._source_text())

    @property
    def own(self) -> str:
        """The job's own address of the peer's family, "" where its interface has none."""
        return self.source.own(self.question.local, self.question.peer)

    def _source_text(self) -> str:
        return f"{self.source}, {self.source.addresses[0] if self.source.addresses else 'no address'}, {self.source.subnet}"

    # --------------------------------------------------------------------------------------------------------- steps

    def run(self, name: str, at: str, judge: Callable[[], Step]) -> Step:
        """Add a step; where what decides was not read, it is unknown."""
        try:
            step = judge()
        except MissingError as missing:
            step = Step(name, UNKNOWN, at, missing.what, ask=missing.ask)
        self.way.steps.append(step)
        return step

    def note(self, name: str, outcome: str, at: str, said: str, *, change: str = "", ask: str = "") -> None:
        """Add a step that needs no judging."""
        self.way.steps.append(Step(name, outcome, at, said, change=change, ask=ask))

    def limit(self, at: str, product: str, idle_s: float, after: str, *, certain: bool = True) -> None:
        """Something on the way that forgets silent connections."""
        self.way.limits.append(PathLimit(at, product, idle_s, after, certain))

    def group(self, name: str, owner: Interface, other: Other, *, inbound: bool, port: int | None = None) -> None:
        """A step of an interface's security groups."""
        if not owner.groups:
            self.note(name, ALLOWED, owner.identity, f"{owner.identity} has no security group")
            return
        number, wanted = self.question.number, self.question.port if port is None else port
        self.run(
            name,
            owner.identity,
            lambda: groups.judge(self.inventory, name, owner.groups, other, number, wanted, inbound=inbound),
        )

    def acl(self, name: str, subnet: str, other: str, ports: Ports, *, inbound: bool, whose: str = "") -> None:
        """A step of a subnet's network ACL."""
        self.run(
            name,
            subnet,
            lambda: acls.judge(
                self.inventory, name, subnet, other, self.question.number, ports, inbound=inbound, whose=whose
            ),
        )

    @property
    def whose(self) -> str:
        """The ports of answers, in words."""
        return " (the job's port)" if self.question.seen else " (the ports that its host chooses from)"

    @property
    def wanted(self) -> Ports:
        """The port of requests."""
        return Ports(((self.question.port, self.question.port),))

    # ----------------------------------------------------------------------------------------------------------- way

    def go(self) -> None:
        """All of it."""
        told = exempt.told(self.inventory, self.question.peer, self.question.port, self.source.vpc)
        if told is not None:
            self.way.steps.append(told)
            return
        if self.source.has(self.question.peer) or self._is_loopback():
            said = "the peer is the job's own host: nothing of AWS is in between"
            self.note("source", ALLOWED, self.source.identity, said)
            return
        if not self.own:
            self._without_address()
            return
        self.group("security-group-out", self.source, self.other(), inbound=False)
        self.limits_of_tracking()
        route = self.route("route", self.source.subnet, self.source.vpc, self.question.peer)
        if route is None:
            return
        self._acls(route)
        self.follow(route)

    def _without_address(self) -> None:
        identity, is_six = self.source.identity, ":" in self.question.peer
        said = f"{identity} has no {'IPv6' if is_six else 'IPv4'} address"
        if not isinstance(self.source.record.get("Ipv6Addresses" if is_six else "PrivateIpAddresses"), list):
            ask = f"`{LISTS['NetworkInterfaces'].command}`"
            self.note("source", UNKNOWN, identity, f"{said} in its record, which does not tell of these", ask=ask)
            return
        change = "give it one, or use the other family's address of the peer"
        self.note("source", BLOCKED, identity, said, change=change)

    def _acls(self, route: Route) -> None:
        """Steps of the ACL of the job's subnet, where the way leads out of it."""
        subnet, asked = self.source.subnet, self.question
        try:
            if route.target in ("local", "") and self._within_subnet():
                return
        except MissingError as missing:
            said = f"whether {asked.peer} is in {subnet} itself, where no ACL is asked, is not known: {missing.what}"
            self.note("acl-out", UNKNOWN, subnet, said, ask=missing.ask)
            return
        self.acl("acl-out", subnet, asked.peer, self.wanted, inbound=False)
        self.acl("acl-in-answer", subnet, asked.peer, asked.answers, inbound=True, whose=self.whose)

    def _is_loopback(self) -> bool:
        found = address(self.question.peer)
        return found is not None and found.is_loopback

    def follow(self, route: Route) -> None:
        """On to what a route leads to."""
        from systrace.cloud.aws.targets import TARGETS

        kind = route.target.partition("-")[0] if "-" in route.target else route.target
        kind = "arn" if route.target.startswith("arn:") else kind
        if kind in TARGETS:
            TARGETS[kind](self, route)
        else:
            self.note(
                "beyond",
                UNKNOWN,
                route.target,
                f"{route.target or 'a target without a name'} is of an unknown kind",
                ask="who made this route",
            )

    def route(self, name: str, subnet: str, vpc: str, host: str) -> Route | None:
        """A step of a route table; the route, where there is one that works."""
        found: list[Route] = []

        def judge() -> Step:
            table = routes.table_of(self.inventory, subnet, vpc)
            route = routes.best(self.inventory, table, host)
            identity = text(table, "RouteTableId")
            if route is None:
                return blocked(
                    name,
                    identity,
                    f"{identity} ({subnet}) has no route to {host}",
                    change=f"add a route to {host} to {identity}",
                )
            if route.blackhole:
                return blocked(
                    name,
                    identity,
                    f"{route.text} is a blackhole: {route.target} is gone or detached",
                    change=f"point {route.destination} in {identity} to something that exists",
                )
            if route.target.startswith(_OUTSIDE) and is_private(host):
                said = (
                    f"{route.text}: there is no more specific route to {host}, and an internet gateway drops private "
                )
                there = "the peering connection, transit gateway or VPN that leads there"
                change = f"a route to {host}, in the route table of {self.source.subnet}, to {there}"
                return blocked(name, identity, f"{said}addresses", change)
            found.append(route)
            return allowed(name, identity, route.text)

        self.run(name, subnet, judge)
        return found[0] if found else None

    def other(self) -> Other:
        """The peer, as the rules of the source's groups see it."""
        try:
            there = interfaces.at(self.inventory, self.question.peer, self.source.vpc)
            if there is None and self._in_vpc():
                self.check_visible()
        except MissingError as missing:
            return Other(self.question.peer, None, why=missing.ask or missing.what)
        if there is not None:
            return Other(self.question.peer, frozenset(there.groups))
        return Other(self.question.peer, frozenset(), private=self._in_vpc())

    def _in_vpc(self) -> bool:
        record = self.inventory.one("Vpcs", "VpcId", self.source.vpc)
        blocks = [text(record, "CidrBlock")]
        blocks += [text(each, "CidrBlock") for each in dicts(record, "CidrBlockAssociationSet")]
        blocks += [text(each, "Ipv6CidrBlock") for each in dicts(record, "Ipv6CidrBlockAssociationSet")]
        return any(contains(each, self.question.peer) for each in blocks)

    def _within_subnet(self) -> bool:
        """The peer is in the job's own subnet: network ACLs are not asked.

        Raises:
            MissingError: neither the subnet's addresses nor the peer's interface were read.
        """
        try:
            blocks = self._blocks_of_subnet()
        except MissingError:
            there = interfaces.at(self.inventory, self.question.peer, self.source.vpc)
            if there is None:
                raise
            return there.subnet == self.source.subnet
        return any(contains(each, self.question.peer) for each in blocks)

    def _blocks_of_subnet(self) -> list[str]:
        """Of the peer's family: the job has an address of it, so there is one."""
        record = self.inventory.one("Subnets", "SubnetId", self.source.subnet)
        blocks = [text(record, "CidrBlock")]
        if ":" in self.question.peer:
            blocks = [text(each, "Ipv6CidrBlock") for each in dicts(record, "Ipv6CidrBlockAssociationSet")]
        if not any(blocks):
            raise MissingError(f"the addresses of {self.source.subnet} were not read", f"`{LISTS['Subnets'].command}`")
        return blocks

    def check_visible(self) -> None:
        """Of a VPC that another account shares, this one does not see all interfaces.

        Raises:
            MissingError: that is so, or it is not known who owns the subnet.
        """
        record = self.inventory.one("Subnets", "SubnetId", self.source.subnet)
        owner = text(record, "OwnerId")
        if owner and self.source.owner and owner != self.source.owner:
            raise MissingError(
                f"{self.source.subnet} is shared by account {owner}: interfaces of others there are not shown to "
                f"{self.source.owner}",
                f"account {owner}: who has {self.question.peer}, and which groups it is in",
            )

    def limits_of_tracking(self) -> None:
        """Security groups track connections, and forget silent ones where the interface says so."""
        asked, source = self.question, self.source
        if asked.protocol != "tcp":
            return
        if groups.untracked(self.inventory, source.groups, asked.number, asked.port, asked.peer):
            return
        told = number(source.record, "ConnectionTrackingConfiguration", "TcpEstablishedTimeout")
        if told is not None:
            self.limit(source.identity, "EC2 connection tracking", told, "silent")
            return
        try:
            short = bool(source.instance) and tracking.is_short(self.inventory, source.instance)
        except MissingError as missing:
            if asked.is_silent_for(tracking.SHORT_S):  # else it makes no difference
                said = (
                    f"whether {source.instance} forgets connections after {tracking.SHORT_S} s of silence is not known"
                )
                self.note("connection-tracking", UNKNOWN, source.instance, f"{said}: {missing.what}", ask=missing.ask)
            return
        if short:
            self.limit(source.identity, "EC2 connection tracking (Nitro v6)", tracking.SHORT_S, "silent")
