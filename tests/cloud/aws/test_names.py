"""Names that the records know, without a resolver; and peers of one name."""

from __future__ import annotations

import pytest

from systrace.cloud.aws.logs import questions
from systrace.cloud.aws.names import addresses
from systrace.model import Input
from systrace.pipeline import analyze
from tests.cloud.world import World
from tests.serverlogs.test_matching import T0


def known() -> World:
    world = World()
    world.network_balancer("10.0.2.20")
    world.one("NetworkInterfaces", "eni-db")["Description"] = "RDSNetworkInterface"
    endpoint = {"Address": "pg.x.eu-west-1.rds.amazonaws.com", "Port": 5432}
    groups = [{"VpcSecurityGroupId": "sg-db"}]
    world["DBInstances"].append({"DBInstanceIdentifier": "pg", "Endpoint": endpoint, "VpcSecurityGroups": groups})
    for at in (70, 71):
        world.interface(f"eni-{at}", f"10.0.2.{at}", "subnet-b", "sg-app", InterfaceType="vpc_endpoint")
    names = [{"DnsName": "vpce-q.sqs.eu-west-1.vpce.amazonaws.com"}, {"DnsName": "sqs.eu-west-1.amazonaws.com"}]
    world["VpcEndpoints"].append(
        {"VpcEndpointId": "vpce-q", "DnsEntries": names, "NetworkInterfaceIds": ["eni-70", "eni-71"]}
    )
    return world


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("PG.x.eu-west-1.rds.amazonaws.com.", ["10.0.2.20"]),
        ("lb-1f.elb.eu-west-1.amazonaws.com", ["10.0.2.40"]),
        ("dualstack.lb-1f.elb.eu-west-1.amazonaws.com", ["10.0.2.40"]),
        ("sqs.eu-west-1.amazonaws.com", ["10.0.2.70", "10.0.2.71"]),
        ("db.example", []),
        ("", []),
    ],
)
def test_addresses_behind_a_name(name: str, found: list[str]) -> None:
    assert addresses(known().inventory(), name) == found


@pytest.mark.parametrize(
    ("scheme", "public", "found"),
    [("internet-facing", "203.0.113.40", ["203.0.113.40"]), ("internet-facing", "", []), (None, "203.0.113.40", [])],
)
def test_a_balancer_s_name_is_that_of_its_scheme(scheme: str | None, public: str, found: list[str]) -> None:
    """What no record tells is left to the resolver."""
    world = known()
    world["LoadBalancers"][0]["Scheme"] = scheme
    world.one("NetworkInterfaces", "eni-lb")["Association"] = {"PublicIp": public}
    assert addresses(world.inventory(), "lb-1f.elb.eu-west-1.amazonaws.com") == found


def test_every_address_of_a_name_is_asked_about() -> None:
    """One may be let through where the other is not."""
    lines = [f'900 {T0}.000000 execve("/job", ["/job"], 0x1 /* 3 vars */) = 0 <0.001>\n']
    for fd, host in ((3, "10.0.2.70"), (4, "10.0.2.71"), (5, "10.0.2.71")):
        peer = f'{{sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr("{host}")}}'
        lines.append(f"900 {T0 + fd}.100000 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = {fd} <0.00001>\n")
        lines.append(f"900 {T0 + fd}.200000 connect({fd}, {peer}, 16) = -1 ETIMEDOUT (Connection timed out) <0.5>\n")
    lines.append(f"900 {T0 + 9}.000000 +++ exited with 1 +++\n")
    analysis = analyze([Input("t", [each.encode() for each in lines])])
    assert sorted(each.subject for each in questions(analysis)) == ["10.0.2.70:443", "10.0.2.71:443"]


def test_what_is_no_connection_to_another_host_is_not_asked_about() -> None:
    peer = '{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("127.0.0.1")}'
    lines = [
        f"900 {T0}.100000 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.00001>\n",
        f"900 {T0}.200000 connect(3, {peer}, 16) = -1 ECONNREFUSED (Connection refused) <0.5>\n",
        f"900 {T0 + 9}.000000 +++ exited with 1 +++\n",
    ]
    assert questions(analyze([Input("t", [each.encode() for each in lines])])) == []
