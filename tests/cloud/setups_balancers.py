"""Load balancers and what is behind them."""

from __future__ import annotations

from typing import Any

from systrace.cloud.aws.steps import ALLOWED, BLOCKED, SHARE, UNKNOWN
from tests.cloud.registering import setup
from tests.cloud.world import ANY, ANY6, Json, World, entry, everything, last, rule

LB = ("10.0.2.40", 443)


@setup("an application load balancer", LB, ALLOWED)
def _(w: World) -> None:
    w.network_balancer("10.0.2.20", kind="app")


@setup(
    "no listener on this port", ("10.0.2.40", 8080), BLOCKED, "listener", "no listener on TCP 8080, but on HTTPS 443"
)
def _(w: World) -> None:
    w.network_balancer("10.0.2.20", kind="app")
    w.group("sg-lb", ingress=[rule((1, 9999), cidr=ANY)])


@setup("no target", LB, BLOCKED, "targets", "no target")
def _(w: World) -> None:
    w.network_balancer(kind="app")


@setup("no target is healthy", LB, BLOCKED, "targets", "unhealthy, Target.Timeout")
def _(w: World) -> None:
    w.network_balancer("10.0.2.20", kind="app")
    state = {"State": "unhealthy", "Reason": "Target.Timeout"}
    w.details[-1]["TargetHealthDescriptions"][0]["TargetHealth"] = state


@setup(
    "targets see the client, and admit the balancer alone",
    LB,
    BLOCKED,
    "target-security-group-in",
    "see the client's address",
)
def _(w: World) -> None:
    w.network_balancer("i-t")
    w.interface("eni-t", "10.0.2.50", "subnet-b", "sg-t", instance="i-t")
    w.group("sg-t", ingress=[rule(8443, cidr="10.0.2.40/32")])


@setup("a client that is a target of its own balancer", LB, SHARE, "target-security-group-in", "hairpin")
def _(w: World) -> None:
    w.network_balancer("i-t", "i-job")
    w.interface("eni-t", "10.0.2.50", "subnet-b", "sg-t", instance="i-t")
    w.group("sg-t", ingress=[rule(8443, cidr="10.0.0.0/16")])


@setup("a balancer whose state is not told", LB, UNKNOWN, "load-balancer", "no known state")
def _(w: World) -> None:
    w.network_balancer("10.0.2.20", kind="app")
    del w["LoadBalancers"][0]["State"]


# ------------------------------------------------------------------------------------------------------- target groups


def _health(world: World, *targets: tuple[str, str, str], group: str = "tg") -> None:
    """In place of what is said of a target group's targets: id, state and reason."""
    arn = f"arn:aws:elasticloadbalancing:eu-west-1:111111111111:targetgroup/{group}/3f"
    told = [
        {"Target": {"Id": one, "Port": 8443}, "TargetHealth": {"State": state, "Reason": reason}}
        for one, state, reason in targets
    ]
    known = [each for each in world.details if (each.get("TargetGroupArn"), "Attributes" in each) != (arn, False)]
    world.details = [*known, {"TargetGroupArn": arn, "TargetHealthDescriptions": told}]


def _two_groups(world: World, kind: str, *, weight: int) -> None:
    """Beside tg, which gets 75 of 100, one without a target."""
    world.network_balancer("10.0.2.20", kind=kind)
    listener = next(each["Listeners"][0] for each in world.details if "Listeners" in each)
    own = listener["DefaultActions"][0]["TargetGroupArn"]
    other = own.replace("/tg/", "/tg2/")
    pair = [{"TargetGroupArn": own, "Weight": 75}, {"TargetGroupArn": other, "Weight": weight}]
    listener["DefaultActions"] = [{"Type": "forward", "ForwardConfig": {"TargetGroups": pair}}]
    _health(world, group="tg2")


@setup("a target group without targets gets a quarter", LB, SHARE, "targets", "25% of the connections go there")
def _(w: World) -> None:
    _two_groups(w, "app", weight=25)


@setup("the same, of a network load balancer", LB, SHARE, "targets", "tg2 of lb has no target")
def _(w: World) -> None:
    _two_groups(w, "net", weight=25)


@setup("one that gets nothing", LB, ALLOWED)
def _(w: World) -> None:
    _two_groups(w, "app", weight=0)


@setup("both are dead", LB, BLOCKED, "targets", "tg of lb has no target")
def _(w: World) -> None:
    _two_groups(w, "app", weight=25)
    _health(w)


@setup("both are dead, and the path may match another rule", LB, UNKNOWN, "targets", "the listener has other rules: 1")
def _(w: World) -> None:
    _two_groups(w, "app", weight=25)
    _health(w)
    next(each for each in w.details if "Rules" in each)["Rules"].append({"Priority": "1", "IsDefault": False})


@setup("a Lambda function, whose health nobody checks", LB, ALLOWED)
def _(w: World) -> None:
    w.network_balancer("arn:aws:lambda:eu-west-1:111111111111:function:f", kind="app")
    _health(w, ("arn:aws:lambda:eu-west-1:111111111111:function:f", "unavailable", "Target.HealthCheckDisabled"))


@setup("targets that are being registered", LB, UNKNOWN, "targets", "initial, Elb.RegistrationInProgress")
def _(w: World) -> None:
    w.network_balancer("10.0.2.20", kind="app")
    _health(w, ("10.0.2.20", "initial", "Elb.RegistrationInProgress"))


@setup("targets that answer the health check with another status", LB, UNKNOWN, "targets", "ResponseCodeMismatch")
def _(w: World) -> None:
    w.network_balancer("10.0.2.20", kind="app")
    _health(w, ("10.0.2.20", "unhealthy", "Target.ResponseCodeMismatch"))


# ---------------------------------------------------------------------------------------------------- who targets see


def _kept(world: World, *ingress: Json, subnet: str = "subnet-b", **group: Any) -> None:
    """Target i-t, which sees the client's address."""
    world.network_balancer("i-t")
    world.interface("eni-t", "10.0.2.50", subnet, "sg-t", instance="i-t")
    world.group("sg-t", ingress=[*ingress])
    world["TargetGroups"][0] |= group


@setup("targets admit the balancer's group", LB, ALLOWED)
def _(w: World) -> None:
    _kept(w, rule(8443, group="sg-lb"))


@setup("targets admit the client's group alone", LB, UNKNOWN, "target-security-group-in", "may not count")
def _(w: World) -> None:
    _kept(w, rule(8443, group="sg-app"))


@setup("targets of a type that is not told", LB, UNKNOWN, "target-security-group-in", "targets of tg is not known")
def _(w: World) -> None:
    _kept(w, rule(8443, group="sg-lb"), TargetType=None)


@setup("a target that is ill is not asked whether it admits the client", LB, ALLOWED)
def _(w: World) -> None:
    _kept(w, rule(8443, cidr="10.0.1.0/24"))
    w.interface("eni-u", "10.0.2.51", "subnet-b", "sg-none", instance="i-u")
    _health(w, ("i-t", "healthy", ""), ("i-u", "unhealthy", "Target.FailedHealthChecks"))


@setup("targets by address see the balancer's", LB, ALLOWED)
def _(w: World) -> None:
    w.network_balancer("10.0.2.50")
    w.interface("eni-t", "10.0.2.50", "subnet-b", "sg-t")
    w.group("sg-t", ingress=[rule(8443, group="sg-lb")])


@setup("targets by address, of datagrams, see the client's", ("10.0.2.40", 443), BLOCKED, "target-security-group-in",
       "client's address", protocol="udp")  # fmt: skip
def _(w: World) -> None:
    w.network_balancer("10.0.2.50")
    w.group("sg-lb", ingress=[rule(443, cidr="10.0.0.0/16", protocol="udp")])
    next(each for each in w.details if "Listeners" in each)["Listeners"][0]["Protocol"] = "UDP"
    w["TargetGroups"][0]["Protocol"] = "UDP"
    w.interface("eni-t", "10.0.2.50", "subnet-b", "sg-t")
    w.group("sg-t", ingress=[rule(8443, cidr="10.0.2.40/32", protocol="udp")])


@setup("a client of the other family is not seen by targets", ("2001:db8:1::40", 443), ALLOWED)
def _(w: World) -> None:
    _kept(w, rule(8443, cidr="10.0.2.0/24"))
    w["Vpcs"][0]["Ipv6CidrBlockAssociationSet"] = [{"Ipv6CidrBlock": "2001:db8:1::/56"}]
    w.one("RouteTables", "rtb-a")["Routes"].append(
        {"State": "active", "DestinationIpv6CidrBlock": "2001:db8:1::/56", "GatewayId": "local"}
    )
    w.one("NetworkInterfaces", "eni-job")["Ipv6Addresses"] = [{"Ipv6Address": "2001:db8:1::5"}]
    w.one("NetworkInterfaces", "eni-lb")["Ipv6Addresses"] = [{"Ipv6Address": "2001:db8:1::40"}]
    w.group("sg-app", egress=[rule(cidr=ANY6)])
    w.group("sg-lb", ingress=[rule(443, cidr=ANY6)], egress=[rule(cidr=ANY)])


@setup("a target's address is one of the balancer's VPC", LB, ALLOWED)
def _(w: World) -> None:
    w.interface("eni-twin", "10.0.2.50", "subnet-z", "sg-none", vpc="vpc-2")
    w.network_balancer("10.0.2.50")
    w.interface("eni-t", "10.0.2.50", "subnet-b", "sg-t")
    w.group("sg-t", ingress=[rule(8443, cidr="10.0.1.0/24")])
    for each in w.details:
        if "TargetGroupArn" in each and "Attributes" in each:
            each["Attributes"] = [{"Key": "preserve_client_ip.enabled", "Value": "true"}]


@setup("the ACL of the targets' subnet admits the balancer's alone", LB, BLOCKED, "target-security-group-in",
       "acl-p does not let TCP 8443 in from 10.0.1.10")  # fmt: skip
def _(w: World) -> None:
    _kept(w, rule(8443, group="sg-lb"), subnet="subnet-p")
    rules = [entry(100, "allow", egress=False, cidr="10.0.2.0/24"), entry(100, "allow", egress=True)]
    w.acl("acl-p", [*rules, *last()], "subnet-p")


@setup("the ACL of the targets' subnet lets some answers out", LB, SHARE, "target-security-group-in", "43% of TCP")
def _(w: World) -> None:
    _kept(w, rule(8443, group="sg-lb"), subnet="subnet-p")
    rules = [entry(100, "allow", egress=False), entry(100, "allow", egress=True, ports=(1024, 44999))]
    w.acl("acl-p", [*rules, *last()], "subnet-p")


@setup("within the balancer's subnet no ACL is asked", LB, ALLOWED)
def _(w: World) -> None:
    _kept(w, rule(8443, group="sg-lb"))
    deny = [entry(90, "deny", egress=False, ports=(8443, 8443))]
    w.acl("acl-b", [*deny, *everything()], "subnet-b")
