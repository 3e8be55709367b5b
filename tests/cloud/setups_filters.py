"""Security groups, network ACLs, routes."""

from __future__ import annotations

from systrace.cloud.aws.ports import Ports
from systrace.cloud.aws.steps import ALLOWED, BLOCKED, SHARE, UNKNOWN
from tests.cloud.registering import DB, NEAR, OUT, port, setup
from tests.cloud.world import ANY, ANY6, FOREIGN, World, entry, everything, last, rule

# ---------------------------------------------------------------------------------------------------- security groups


@setup("a database in the next subnet", DB, ALLOWED)
def _(w: World) -> None:
    pass


@setup("the group lets nothing out", DB, BLOCKED, "security-group-out", "no rule of sg-app")
def _(w: World) -> None:
    w.group("sg-app")


@setup("a rule without its ports", DB, UNKNOWN, "security-group-out", "has no ports")
def _(w: World) -> None:
    torn = rule(5432, cidr=ANY)
    del torn["FromPort"]
    w.group("sg-app", egress=[torn])


@setup("an interface without its groups", DB, UNKNOWN, "destination", "record of eni-db is not understood: Groups")
def _(w: World) -> None:
    del w.one("NetworkInterfaces", "eni-db")["Groups"]


@setup("out only to the wrong port", DB, BLOCKED, "security-group-out", "no rule of sg-app lets TCP 5432 out")
def _(w: World) -> None:
    w.group("sg-app", egress=[rule(443, cidr=ANY)])


@setup("several groups: the union counts", DB, ALLOWED)
def _(w: World) -> None:
    w.group("sg-app", egress=[rule(443, cidr=ANY)])
    w.group("sg-more", egress=[rule((5400, 5500), cidr="10.0.2.0/24")])
    w.one("NetworkInterfaces", "eni-job")["Groups"].append({"GroupId": "sg-more"})


@setup("the database admits another group", DB, BLOCKED, "security-group-in", "only sg-db: TCP 5432 in from sg-web")
def _(w: World) -> None:
    w.group("sg-db", ingress=[rule(5432, group="sg-web")])


@setup("out to the database's group", DB, ALLOWED)
def _(w: World) -> None:
    w.group("sg-app", egress=[rule(5432, group="sg-db")])


@setup("a group that refers to itself", NEAR, ALLOWED, source="eni-db")
def _(w: World) -> None:
    w.group("sg-db", ingress=[rule(group="sg-db")], egress=[rule(group="sg-db")])


@setup("a rule for IPv6 and traffic by IPv4", DB, BLOCKED, "security-group-out", "::/0")
def _(w: World) -> None:
    w.group("sg-app", egress=[rule(cidr=ANY6)])


@setup("UDP is not TCP", ("10.0.2.20", 53), BLOCKED, "security-group-in", "UDP 53", protocol="udp")
def _(w: World) -> None:
    w.group("sg-db", ingress=[rule(53, cidr=ANY)])


@setup("a protocol by its number", DB, ALLOWED)
def _(w: World) -> None:
    w.group("sg-db", ingress=[rule(5432, cidr="10.0.0.0/16", protocol="6")])


@setup("all ports as -1", DB, ALLOWED)
def _(w: World) -> None:
    w.group("sg-db", ingress=[rule((-1, -1), cidr="10.0.0.0/16")])


@setup("a prefix list of the customer's", DB, ALLOWED)
def _(w: World) -> None:
    w.group("sg-db", ingress=[rule(5432, prefix_list="pl-own")])
    w.details.append({"PrefixListId": "pl-own", "Entries": [{"Cidr": "10.0.1.0/28"}]})


@setup("a prefix list without entries", DB, UNKNOWN, "security-group-in", "entries of pl-own")
def _(w: World) -> None:
    w.group("sg-db", ingress=[rule(5432, prefix_list="pl-own")])
    w["PrefixLists"].append({"PrefixListId": "pl-own", "PrefixListName": "own", "MaxEntries": 5})


@setup("a prefix list that does not hold it", DB, BLOCKED, "security-group-in", "pl-own")
def _(w: World) -> None:
    w.group("sg-db", ingress=[rule(5432, prefix_list="pl-own")])
    w.details.append({"PrefixListId": "pl-own", "Entries": [{"Cidr": "10.0.3.0/24"}]})


@setup(
    "a group by name, and the public address",
    ("203.0.113.80", 5432),
    BLOCKED,
    "security-group-in",
    "matches private addresses only",
)
def _(w: World) -> None:
    w.interface("eni-pub", "10.0.9.80", "subnet-p", "sg-db", public="203.0.113.80")


# ------------------------------------------------------------------------------------------------------- network ACLs


@setup("the default ACL of another VPC is not asked", DB, ALLOWED)
def _(w: World) -> None:
    w["NetworkAcls"].insert(0, {"NetworkAclId": "acl-0", "IsDefault": True, "Entries": last(), "Associations": []})


@setup("answers have no way back", DB, BLOCKED, "acl-in-answer", "rule * denies")
def _(w: World) -> None:
    w.acl(
        "acl-a",
        [entry(100, "allow", egress=True), entry(100, "allow", egress=False, ports=(443, 443)), *last()],
        "subnet-a",
    )


@setup("a shadowed deny denies nothing", DB, ALLOWED)
def _(w: World) -> None:
    w.acl("acl-b", [entry(200, "deny", egress=False, ports=(5432, 5432)), *everything()], "subnet-b")


@setup("a deny before the allow", DB, BLOCKED, "acl-in", "rule 90 denies TCP 5432 of 10.0.1.0/24")
def _(w: World) -> None:
    w.acl("acl-b", [*everything(), entry(90, "deny", egress=False, ports=(5432, 5432), cidr="10.0.1.0/24")], "subnet-b")


@setup("a rule of an ACL without its ports", DB, UNKNOWN, "acl-in", "rule 90 denies TCP of")
def _(w: World) -> None:
    torn = entry(90, "deny", egress=False, ports=(1, 2))
    del torn["PortRange"]
    w.acl("acl-b", [torn, *everything()], "subnet-b")


@setup("no ACL within one subnet", NEAR, ALLOWED)
def _(w: World) -> None:
    w.acl("acl-a", last(), "subnet-a")


@setup("answers to some of Linux's ports", DB, SHARE, "acl-in-answer", "43% of TCP 32768-60999")
def _(w: World) -> None:
    rules = [entry(100, "allow", egress=True), entry(100, "allow", egress=False, ports=(1024, 44999))]
    w.acl("acl-a", [*rules, *last()], "subnet-a")


@setup("answers to Windows' ports: 49152 and up", DB, SHARE, "acl-out-answer", "42% of TCP 32768-60999")
def _(w: World) -> None:
    rules = [entry(100, "allow", egress=False), entry(100, "allow", egress=True, ports=(49152, 65535))]
    w.acl("acl-b", [*rules, *last()], "subnet-b")


@setup("the job's own port is among them", DB, ALLOWED, **port(50000))
def _(w: World) -> None:
    rules = [entry(100, "allow", egress=False), entry(100, "allow", egress=True, ports=(49152, 65535))]
    w.acl("acl-b", [*rules, *last()], "subnet-b")


@setup("the job's own port is not", DB, BLOCKED, "acl-out-answer", "TCP 41000 (the job's port)", **port(41000))
def _(w: World) -> None:
    rules = [entry(100, "allow", egress=False), entry(100, "allow", egress=True, ports=(49152, 65535))]
    w.acl("acl-b", [*rules, *last()], "subnet-b")


@setup("the host's own range of ports", DB, ALLOWED, answers=Ports(((50000, 60000),)))
def _(w: World) -> None:
    rules = [entry(100, "allow", egress=False), entry(100, "allow", egress=True, ports=(49152, 65535))]
    w.acl("acl-b", [*rules, *last()], "subnet-b")


# ------------------------------------------------------------------------------------------------------------- routes


@setup("no route", OUT, BLOCKED, "route", "rtb-a (subnet-a) has no route")
def _(w: World) -> None:
    w.table("rtb-a", "subnet-a")


@setup("the main table counts where there is no other", OUT, BLOCKED, "route", "rtb-main", source="eni-db")
def _(w: World) -> None:
    pass


@setup("a blackhole", OUT, BLOCKED, "route", "blackhole")
def _(w: World) -> None:
    w.table("rtb-a", "subnet-a", routes=[{"DestinationCidrBlock": ANY, "NatGatewayId": "nat-0", "State": "blackhole"}])


@setup("a more specific route to an appliance", DB, UNKNOWN, "beyond", "appliance (eni-fw)")
def _(w: World) -> None:
    w.table("rtb-a", "subnet-a", routes=[{"DestinationCidrBlock": "10.0.2.0/24", "NetworkInterfaceId": "eni-fw"}])
    w.interface("eni-fw", "10.0.9.60", "subnet-p", "sg-app", SourceDestCheck=False)


@setup("an appliance that checks destinations", DB, BLOCKED, "appliance", "checks source and destination")
def _(w: World) -> None:
    w.table("rtb-a", "subnet-a", routes=[{"DestinationCidrBlock": "10.0.2.0/24", "NetworkInterfaceId": "eni-fw"}])
    w.interface("eni-fw", "10.0.9.60", "subnet-p", "sg-app", SourceDestCheck=True)


@setup("a static route before a propagated one", ("172.16.0.9", 443), UNKNOWN, "beyond", "transit gateway")
def _(w: World) -> None:
    vgw = {"DestinationCidrBlock": "172.16.0.0/12", "GatewayId": "vgw-1", "Origin": "EnableVgwRoutePropagation"}
    w.table("rtb-a", "subnet-a", routes=[vgw, {"DestinationCidrBlock": "172.16.0.0/12", "TransitGatewayId": "tgw-1"}])


@setup("a propagated one that is more specific", ("172.16.0.9", 443), UNKNOWN, "beyond", "virtual private gateway")
def _(w: World) -> None:
    vgw = {"DestinationCidrBlock": "172.16.0.0/16", "GatewayId": "vgw-1", "Origin": "EnableVgwRoutePropagation"}
    w.table("rtb-a", "subnet-a", routes=[vgw, {"DestinationCidrBlock": "172.16.0.0/12", "TransitGatewayId": "tgw-1"}])


@setup("a prefix list without entries may be more specific", OUT, UNKNOWN, "route", "could be more specific")
def _(w: World) -> None:
    w.one("RouteTables", "rtb-a")["Routes"].append(
        {"State": "active", "DestinationPrefixListId": "pl-own", "TransitGatewayId": "tgw-1"}
    )


@setup("peering: beyond it others decide", ("10.9.0.9", 443), UNKNOWN, "beyond", "other VPC's rules")
def _(w: World) -> None:
    w.table("rtb-a", "subnet-a", routes=[{"DestinationCidrBlock": "10.9.0.0/16", "VpcPeeringConnectionId": "pcx-1"}])
    w["VpcPeeringConnections"].append({"VpcPeeringConnectionId": "pcx-1", "Status": {"Code": "active"}})


@setup(
    "out to a group of the other VPC alone",
    ("10.9.0.9", 443),
    UNKNOWN,
    "security-group-out",
    "sg-there, of another VPC",
)
def _(w: World) -> None:
    pair = rule(443, group="sg-there")
    pair["UserIdGroupPairs"][0] |= {"VpcPeeringConnectionId": "pcx-1", "UserId": FOREIGN}
    w.group("sg-app", egress=[pair])
    w.table("rtb-a", "subnet-a", routes=[{"DestinationCidrBlock": "10.9.0.0/16", "VpcPeeringConnectionId": "pcx-1"}])
    w["VpcPeeringConnections"].append({"VpcPeeringConnectionId": "pcx-1", "Status": {"Code": "active"}})


@setup("peering that nobody accepted", ("10.9.0.9", 443), BLOCKED, "peering", "pending-acceptance")
def _(w: World) -> None:
    w.table("rtb-a", "subnet-a", routes=[{"DestinationCidrBlock": "10.9.0.0/16", "VpcPeeringConnectionId": "pcx-1"}])
    w["VpcPeeringConnections"].append({"VpcPeeringConnectionId": "pcx-1", "Status": {"Code": "pending-acceptance"}})


PRIVATE = ("10.9.0.9", "172.20.0.9", "192.168.7.9", "100.64.0.9", "169.254.9.9")


def _private(peer: str) -> None:
    said = f"no more specific route to {peer}, and an internet gateway drops private addresses"

    @setup(f"{peer} through an internet gateway", (peer, 443), BLOCKED, "route", said)
    def _(w: World) -> None:
        w.table("rtb-a", "subnet-a", routes=[{"DestinationCidrBlock": ANY, "GatewayId": "igw-1"}])
        w.one("NetworkInterfaces", "eni-job")["Association"] = {"PublicIp": "203.0.113.66"}

    @setup(f"{peer} through NAT", (peer, 443), BLOCKED, "nat-route", said)
    def _(w: World) -> None:
        pass


for each in PRIVATE:
    _private(each)


@setup(
    "a private address of IPv6 through an internet gateway", ("fd00:9::9", 443), BLOCKED, "route", "private addresses"
)
def _(w: World) -> None:
    w.table("rtb-a", "subnet-a", routes=[{"DestinationIpv6CidrBlock": ANY6, "GatewayId": "igw-1"}])
    w.one("NetworkInterfaces", "eni-job")["Ipv6Addresses"] = [{"Ipv6Address": "2001:db8::5"}]
    w.group("sg-app", egress=[rule(cidr=ANY6)])


@setup("addresses for documentation are no private ones", ("192.0.2.9", 443), ALLOWED)
def _(w: World) -> None:
    pass
