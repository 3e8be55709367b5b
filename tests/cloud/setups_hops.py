"""Gateways, what is not there, and what nothing filters."""

from __future__ import annotations

from systrace.cloud.aws.steps import ALLOWED, BLOCKED, SHARE, UNKNOWN
from tests.cloud.registering import DB, OUT, PUBLIC6, setup
from tests.cloud.world import ANY, ANY6, FOREIGN, OWN, World, entry, everything, last, rule

# --------------------------------------------------------------------------------------------------------- NAT gateway


@setup("out through NAT", OUT, ALLOWED)
def _(w: World) -> None:
    pass


@setup("a NAT gateway that was deleted, and a route that looks active", OUT, BLOCKED, "nat-gateway", "nat-1 is deleted")
def _(w: World) -> None:
    w.one("NatGateways", "nat-1")["State"] = "deleted"


@setup("a NAT gateway that is gone", OUT, BLOCKED, "nat-gateway", "does not exist")
def _(w: World) -> None:
    w["NatGateways"].clear()


@setup("NAT64", ("64:ff9b::c633:6409", 443), UNKNOWN, "beyond", "NAT64")
def _(w: World) -> None:
    w.table("rtb-a", "subnet-a", routes=[{"DestinationIpv6CidrBlock": "64:ff9b::/96", "NatGatewayId": "nat-1"}])
    w.one("NetworkInterfaces", "eni-job")["Ipv6Addresses"] = [{"Ipv6Address": "2001:db8::5"}]
    w.group("sg-app", egress=[rule(cidr=ANY6)])


@setup("a public address behind NAT itself", ("203.0.113.81", 5432), BLOCKED, "answer-route", "answers of eni-db2")
def _(w: World) -> None:
    w.interface("eni-db2", "10.0.1.81", "subnet-a", "sg-open", public="203.0.113.81")
    w.group("sg-open", ingress=[rule(5432, cidr=ANY)])


@setup("NAT in the job's own subnet routes to itself", OUT, BLOCKED, "nat-route", "routes back to a NAT gateway")
def _(w: World) -> None:
    w.one("NatGateways", "nat-1")["SubnetId"] = "subnet-a"


@setup("NAT's subnet lets nothing in from the job", OUT, BLOCKED, "nat-acl-in", "TCP 443 in from 10.0.1.10")
def _(w: World) -> None:
    rules = [entry(100, "allow", egress=True), entry(100, "allow", egress=False, ports=(1024, 65535)), *last()]
    w.acl("acl-p", rules, "subnet-p")


@setup("NAT's subnet lets half of the answers in", OUT, SHARE, "nat-acl-in-answer", "44% of TCP 1024-65535")
def _(w: World) -> None:
    inside = [
        entry(90, "allow", egress=False, cidr="10.0.0.0/16"),
        entry(100, "allow", egress=False, ports=(32768, 60999)),
    ]
    w.acl("acl-p", [entry(100, "allow", egress=True), *inside, *last()], "subnet-p")


@setup("NAT's subnet sends no answers to the job", OUT, BLOCKED, "nat-acl-out-answer", "out to 10.0.1.10")
def _(w: World) -> None:
    rules = [entry(100, "allow", egress=False), entry(100, "allow", egress=True, ports=(443, 443)), *last()]
    w.acl("acl-p", rules, "subnet-p")


@setup("NAT's subnet has no internet gateway", OUT, BLOCKED, "nat-route", "no route")
def _(w: World) -> None:
    w.table("rtb-p", "subnet-p")


@setup("private NAT to the internet", OUT, BLOCKED, "nat-route", "private")
def _(w: World) -> None:
    w.one("NatGateways", "nat-1")["ConnectivityType"] = "private"
    del w.one("NatGateways", "nat-1")["NatGatewayAddresses"][0]["PublicIp"]


@setup("private NAT on to a transit gateway", OUT, UNKNOWN, "beyond", "transit gateway")
def _(w: World) -> None:
    w.one("NatGateways", "nat-1")["ConnectivityType"] = "private"
    del w.one("NatGateways", "nat-1")["NatGatewayAddresses"][0]["PublicIp"]
    w.table("rtb-p", "subnet-p", routes=[{"DestinationCidrBlock": ANY, "TransitGatewayId": "tgw-1"}])


# ---------------------------------------------------------------------------------------------------- internet gateway


@setup("a public subnet without a public address", OUT, BLOCKED, "public-address", "no public IPv4 address")
def _(w: World) -> None:
    w.table("rtb-a", "subnet-a", routes=[{"DestinationCidrBlock": ANY, "GatewayId": "igw-1"}])


@setup("a public subnet and an Elastic IP", OUT, ALLOWED)
def _(w: World) -> None:
    w.table("rtb-a", "subnet-a", routes=[{"DestinationCidrBlock": ANY, "GatewayId": "igw-1"}])
    w.one("NetworkInterfaces", "eni-job")["Association"] = {"PublicIp": "203.0.113.66"}
    w.one("NetworkInterfaces", "eni-job")["PrivateIpAddresses"][0]["Association"] = {"PublicIp": "203.0.113.66"}


@setup("IPv6 needs no public IPv4", (PUBLIC6, 443), ALLOWED)
def _(w: World) -> None:
    w.table("rtb-a", "subnet-a", routes=[{"DestinationIpv6CidrBlock": ANY6, "GatewayId": "igw-1"}])
    w.one("NetworkInterfaces", "eni-job")["Ipv6Addresses"] = [{"Ipv6Address": "2001:db8::5"}]
    w.group("sg-app", egress=[rule(cidr=ANY6)])


@setup("a private IPv6 address of the job's", (PUBLIC6, 443), BLOCKED, "public-address", "fd00::5")
def _(w: World) -> None:
    w.table("rtb-a", "subnet-a", routes=[{"DestinationIpv6CidrBlock": ANY6, "GatewayId": "igw-1"}])
    w.one("NetworkInterfaces", "eni-job")["Ipv6Addresses"] = [{"Ipv6Address": "fd00::5"}]
    w.group("sg-app", egress=[rule(cidr=ANY6)])


@setup("IPv6 of an interface in another VPC", (PUBLIC6, 5432), BLOCKED, "security-group-in", "no rule of sg-db")
def _(w: World) -> None:
    w.table("rtb-a", "subnet-a", routes=[{"DestinationIpv6CidrBlock": ANY6, "GatewayId": "igw-1"}])
    w.one("NetworkInterfaces", "eni-job")["Ipv6Addresses"] = [{"Ipv6Address": "2001:db8::5"}]
    w.group("sg-app", egress=[rule(cidr=ANY6)])
    w.subnet("subnet-z", "10.7.0.0/24", vpc="vpc-2")
    w.acl("acl-z", everything(), "subnet-z")
    w.table("rtb-z", "subnet-z", routes=[{"DestinationIpv6CidrBlock": ANY6, "GatewayId": "igw-2"}], vpc="vpc-2")
    w.interface("eni-far", "10.7.0.9", "subnet-z", "sg-db", v6=PUBLIC6, vpc="vpc-2")


@setup("IPv6 and a group for IPv4 alone", (PUBLIC6, 443), BLOCKED, "security-group-out", "0.0.0.0/0")
def _(w: World) -> None:
    w.one("NetworkInterfaces", "eni-job")["Ipv6Addresses"] = [{"Ipv6Address": "2001:db8::5"}]


@setup("IPv6 through an egress-only gateway", (PUBLIC6, 443), ALLOWED)
def _(w: World) -> None:
    w.table("rtb-a", "subnet-a", routes=[{"DestinationIpv6CidrBlock": ANY6, "EgressOnlyInternetGatewayId": "eigw-1"}])
    w.one("NetworkInterfaces", "eni-job")["Ipv6Addresses"] = [{"Ipv6Address": "2001:db8::5"}]
    w.group("sg-app", egress=[rule(cidr=ANY6)])


@setup("an address of IPv6, and a job without one", (PUBLIC6, 443), BLOCKED, "source", "no IPv6 address")
def _(w: World) -> None:
    pass


@setup("public access is blocked for the subnet", OUT, BLOCKED, "block-public-access", "block-bidirectional")
def _(w: World) -> None:
    w.one("Subnets", "subnet-p")["BlockPublicAccessStates"] = {"InternetGatewayBlockMode": "block-bidirectional"}
    w.documents["VpcBlockPublicAccessOptions"] = {"InternetGatewayBlockMode": "block-bidirectional"}


@setup("public access is blocked, and the subnet is excluded", OUT, ALLOWED)
def _(w: World) -> None:
    w.documents["VpcBlockPublicAccessOptions"] = {"InternetGatewayBlockMode": "block-bidirectional"}
    arn = "arn:aws:ec2:eu-west-1:111111111111:subnet/subnet-p"
    w["VpcBlockPublicAccessExclusions"].append(
        {"ResourceArn": arn, "State": "create-complete", "InternetGatewayExclusionMode": "allow-egress"}
    )


def _two_accounts(w: World, mode: str, *, arn: str) -> None:
    """Options of two accounts and of two regions in one folder."""
    told = [(FOREIGN, "eu-west-1", "off"), (OWN, "us-east-1", "off"), (OWN, "eu-west-1", mode)]
    w.documents["VpcBlockPublicAccessOptions"] = [
        {"AwsAccountId": account, "AwsRegion": region, "InternetGatewayBlockMode": each}
        for account, region, each in told
    ]
    for each in w["Subnets"]:
        each["SubnetArn"] = arn.format(each["SubnetId"])


@setup(
    "public access is blocked in this account and region", OUT, BLOCKED, "block-public-access", "block-bidirectional"
)
def _(w: World) -> None:
    _two_accounts(w, "block-bidirectional", arn=f"arn:aws:ec2:eu-west-1:{OWN}:subnet/{{}}")


@setup("public access is blocked in another region", OUT, ALLOWED)
def _(w: World) -> None:
    _two_accounts(w, "block-bidirectional", arn=f"arn:aws:ec2:us-east-1:{OWN}:subnet/{{}}")


@setup(
    "public access is blocked in some region", OUT, UNKNOWN, "block-public-access", "account and region are not told"
)
def _(w: World) -> None:
    _two_accounts(w, "block-bidirectional", arn="")


@setup("public access was read of another account alone", OUT, UNKNOWN, "block-public-access", "was not read")
def _(w: World) -> None:
    _two_accounts(w, "block-bidirectional", arn=f"arn:aws:ec2:eu-central-1:{OWN}:subnet/{{}}")


@setup("an exclusion that is being made", OUT, UNKNOWN, "block-public-access", "create-in-progress")
def _(w: World) -> None:
    w.documents["VpcBlockPublicAccessOptions"] = {"InternetGatewayBlockMode": "block-bidirectional"}
    arn = f"arn:aws:ec2:eu-west-1:{OWN}:vpc/vpc-1"
    w["VpcBlockPublicAccessExclusions"].append({"ResourceArn": arn, "State": "create-in-progress"})


@setup("block-ingress leaves NAT alone", OUT, ALLOWED)
def _(w: World) -> None:
    w.one("Subnets", "subnet-p")["BlockPublicAccessStates"] = {"InternetGatewayBlockMode": "block-ingress"}


@setup(
    "public access is blocked, and exclusions were not read",
    OUT,
    UNKNOWN,
    "block-public-access",
    "Exclusions was not read",
)
def _(w: World) -> None:
    w.documents["VpcBlockPublicAccessOptions"] = {"InternetGatewayBlockMode": "block-bidirectional"}
    w.documents.pop("VpcBlockPublicAccessExclusions")


# ---------------------------------------------------------------------------------------------------- what is not there


@setup("an address that nobody has any more", ("10.0.2.99", 5432), BLOCKED, "destination", "nobody is there")
def _(w: World) -> None:
    pass


@setup("an interface that is attached to nothing", DB, BLOCKED, "destination", "attached to nothing")
def _(w: World) -> None:
    w.one("NetworkInterfaces", "eni-db")["Status"] = "available"


@setup("the job's own host", ("10.0.1.10", 80), ALLOWED)
def _(w: World) -> None:
    w.group("sg-app")


@setup("its loopback", ("127.0.0.1", 80), ALLOWED)
def _(w: World) -> None:
    w.group("sg-app")


@setup("an instance that was stopped", DB, BLOCKED, "instance", "i-db is stopped")
def _(w: World) -> None:
    w.one("NetworkInterfaces", "eni-db")["Attachment"] = {"InstanceId": "i-db", "DeviceIndex": 0}
    w["Reservations"].append({"Instances": [{"InstanceId": "i-db", "State": {"Name": "stopped"}}]})


@setup(
    "a shared VPC: others' interfaces are not shown",
    ("10.0.2.99", 5432),
    UNKNOWN,
    "destination",
    f"shared by account {FOREIGN}",
)
def _(w: World) -> None:
    for each in w["Subnets"]:
        each["OwnerId"] = FOREIGN


@setup("a gateway in a state of next year", OUT, UNKNOWN, "nat-gateway", "not understood: State")
def _(w: World) -> None:
    w.one("NatGateways", "nat-1")["State"] = "hibernating"


@setup("whose public address it is was not read to the end", OUT, UNKNOWN, "beyond", "one's own is not known")
def _(w: World) -> None:
    del w.interface("eni-torn", "10.0.1.99", "subnet-a", "sg-app")["Groups"]


# --------------------------------------------------------------------------------------------------- what is not blamed


@setup("the resolver, and filters that let nothing out", ("10.0.0.2", 53), ALLOWED, protocol="udp")
def _(w: World) -> None:
    w.group("sg-app")
    w.acl("acl-a", last(), "subnet-a")


@setup("instance metadata, the same", ("169.254.169.254", 80), ALLOWED)
def _(w: World) -> None:
    w.group("sg-app")


@setup("task metadata, the same", ("169.254.170.2", 80), ALLOWED)
def _(w: World) -> None:
    w.group("sg-app")


@setup(
    "a resolver of the customer's is filtered",
    ("10.0.2.20", 53),
    BLOCKED,
    "security-group-out",
    "UDP 53",
    protocol="udp",
)
def _(w: World) -> None:
    w.group("sg-app")
