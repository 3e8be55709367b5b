"""VPC endpoints and databases."""

from __future__ import annotations

from typing import Any

from systrace.cloud.aws.steps import ALLOWED, BLOCKED, UNKNOWN
from tests.cloud.registering import DB, setup
from tests.cloud.world import World, entry, last, rule

S3 = ("52.218.0.9", 443)


def _s3(w: World) -> None:
    w.one("RouteTables", "rtb-a")["Routes"].append(
        {"State": "active", "DestinationPrefixListId": "pl-s3", "GatewayId": "vpce-s3"}
    )
    w["PrefixLists"].append(
        {"PrefixListId": "pl-s3", "PrefixListName": "com.amazonaws.eu-west-1.s3", "Cidrs": ["52.218.0.0/17"]}
    )
    w["VpcEndpoints"].append({"VpcEndpointId": "vpce-s3", "VpcEndpointType": "Gateway", "State": "available",
                              "ServiceName": "com.amazonaws.eu-west-1.s3", "VpcId": "vpc-1"})  # fmt: skip


@setup("S3 by a gateway endpoint", S3, ALLOWED)
def _(w: World) -> None:
    _s3(w)


@setup("S3 by a gateway endpoint, and an ACL for the VPC alone", S3, BLOCKED, "acl-out", "out to 52.218.0.9")
def _(w: World) -> None:
    _s3(w)
    w.acl(
        "acl-a",
        [entry(100, "allow", egress=True, cidr="10.0.0.0/16"), entry(100, "allow", egress=False), *last()],
        "subnet-a",
    )


def _interface_endpoint(w: World) -> None:
    w.interface(
        "eni-ep",
        "10.0.2.70",
        "subnet-b",
        "sg-ep",
        InterfaceType="vpc_endpoint",
        Description="VPC Endpoint Interface vpce-q",
    )
    w["VpcEndpoints"].append({"VpcEndpointId": "vpce-q", "VpcEndpointType": "Interface", "State": "available", "VpcId": "vpc-1",
                              "ServiceName": "com.amazonaws.eu-west-1.sqs", "NetworkInterfaceIds": ["eni-ep"],
                              "Groups": [{"GroupId": "sg-ep"}]})  # fmt: skip


@setup("an interface endpoint", ("10.0.2.70", 443), ALLOWED)
def _(w: World) -> None:
    _interface_endpoint(w)
    w.group("sg-ep", ingress=[rule(443, cidr="10.0.0.0/16")])


@setup("an interface endpoint whose group admits nobody", ("10.0.2.70", 443), BLOCKED, "security-group-in", "sg-ep")
def _(w: World) -> None:
    _interface_endpoint(w)
    w.group("sg-ep", ingress=[rule(80, cidr="10.0.0.0/16")])


@setup("an interface endpoint that was not read", ("10.0.2.70", 443), UNKNOWN, "endpoint", "eni-ep belongs to is not")
def _(w: World) -> None:
    _interface_endpoint(w)
    w.group("sg-ep", ingress=[rule(443, cidr="10.0.0.0/16")])
    w["VpcEndpoints"].clear()


def _rds(w: World, **more: Any) -> None:
    w.one("NetworkInterfaces", "eni-db")["Description"] = "RDSNetworkInterface"
    w["DBInstances"].append({"DBInstanceIdentifier": "pg", "DBInstanceStatus": "available",
                             "Endpoint": {"Address": "pg.x.eu-west-1.rds.amazonaws.com", "Port": 5432},
                             "VpcSecurityGroups": [{"VpcSecurityGroupId": "sg-db"}]} | more)  # fmt: skip


@setup("RDS", DB, ALLOWED, name="pg.x.eu-west-1.rds.amazonaws.com")
def _(w: World) -> None:
    _rds(w)


@setup("RDS that was stopped", DB, BLOCKED, "database", "pg is stopped", name="pg.x.eu-west-1.rds.amazonaws.com")
def _(w: World) -> None:
    _rds(w, DBInstanceStatus="stopped")


@setup(
    "RDS that is being modified", DB, UNKNOWN, "database", "pg is modifying", name="pg.x.eu-west-1.rds.amazonaws.com"
)
def _(w: World) -> None:
    _rds(w, DBInstanceStatus="modifying")


@setup("RDS that is backed up", DB, ALLOWED, name="pg.x.eu-west-1.rds.amazonaws.com")
def _(w: World) -> None:
    _rds(w, DBInstanceStatus="backing-up")


@setup(
    "RDS whose status is not told", DB, UNKNOWN, "database", "no known state", name="pg.x.eu-west-1.rds.amazonaws.com"
)
def _(w: World) -> None:
    _rds(w, DBInstanceStatus=None)


@setup(
    "RDS whose port is not told", DB, UNKNOWN, "database", "port is not told", name="pg.x.eu-west-1.rds.amazonaws.com"
)
def _(w: World) -> None:
    _rds(w, Endpoint={"Address": "pg.x.eu-west-1.rds.amazonaws.com"})


@setup("RDS on another port", DB, BLOCKED, "database", "listens on 5433", name="pg.x.eu-west-1.rds.amazonaws.com")
def _(w: World) -> None:
    _rds(w, Endpoint={"Address": "pg.x.eu-west-1.rds.amazonaws.com", "Port": 5433})
