"""A small VPC as the CLI would print it, to be changed into the set-ups of the tests.

vpc-1 10.0.0.0/16, account 111111111111
  subnet-a 10.0.1.0/24   rtb-a      eni-job 10.0.1.10 (sg-app, i-job), eni-near 10.0.1.30 (sg-db)
  subnet-b 10.0.2.0/24   rtb-main   eni-db 10.0.2.20 (sg-db)
  subnet-p 10.0.9.0/24   rtb-p      nat-1 10.0.9.5 (203.0.113.7); 0.0.0.0/0 -> igw-1
rtb-a: 0.0.0.0/0 -> nat-1; acl-1 of all subnets lets everything through
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from systrace.cloud.aws.inventory import Inventory
from systrace.cloud.aws.saved import add

Json = dict[str, Any]
OWN, FOREIGN = "111111111111", "222222222222"
ANY, ANY6 = "0.0.0.0/0", "::/0"


def entry(number: int, action: str, *, egress: bool, ports: tuple[int, int] | None = None, cidr: str = ANY,
          protocol: str = "6") -> Json:  # fmt: skip
    """A rule of a network ACL; without ports: all traffic."""
    found: Json = {"RuleNumber": number, "RuleAction": action, "Egress": egress}
    found["Ipv6CidrBlock" if ":" in cidr else "CidrBlock"] = cidr
    found["Protocol"] = protocol if ports else "-1"
    return found | ({"PortRange": {"From": ports[0], "To": ports[1]}} if ports else {})


def last() -> list[Json]:
    """The rules that are shown as *."""
    return [entry(32767, "deny", egress=True), entry(32767, "deny", egress=False)]


def everything() -> list[Json]:
    """What a default network ACL holds."""
    both = [entry(100, "allow", egress=True), entry(100, "allow", egress=False)]
    both6 = [entry(101, "allow", egress=True, cidr=ANY6), entry(101, "allow", egress=False, cidr=ANY6)]
    return [*both, *both6, *last()]


def rule(port: int | tuple[int, int] | None = None, *, cidr: str = "", group: str = "", prefix_list: str = "",
         protocol: str = "tcp") -> Json:  # fmt: skip
    """A rule of a security group; without a port: all traffic."""
    low, high = port if isinstance(port, tuple) else (port, port)
    found: Json = {"IpProtocol": protocol if port is not None else "-1"}
    found |= {"FromPort": low, "ToPort": high} if port is not None else {}
    found["IpRanges"] = [{"CidrIp": cidr}] if cidr and ":" not in cidr else []
    found["Ipv6Ranges"] = [{"CidrIpv6": cidr}] if ":" in cidr else []
    found["UserIdGroupPairs"] = [{"GroupId": group, "UserId": OWN}] if group else []
    found["PrefixListIds"] = [{"PrefixListId": prefix_list}] if prefix_list else []
    return found


class World:
    """Documents by their top-level key; `details` are documents of their own."""

    def __init__(self) -> None:
        self.documents: dict[str, Any] = {
            "Vpcs": [{"VpcId": "vpc-1", "CidrBlock": "10.0.0.0/16", "OwnerId": OWN}],
            "Subnets": [],
            "NetworkInterfaces": [],
            "SecurityGroups": [],
            "NetworkAcls": [],
            "RouteTables": [],
            "NatGateways": [],
            "VpcEndpoints": [],
            "PrefixLists": [],
            "VpcPeeringConnections": [],
            "LoadBalancers": [],
            "TargetGroups": [],
            "DBInstances": [],
            "Reservations": [],
            "VpcBlockPublicAccessOptions": {"InternetGatewayBlockMode": "off"},
            "VpcBlockPublicAccessExclusions": [],
        }
        self.details: list[Json] = [{"VpcId": "vpc-1", "EnableDnsSupport": {"Value": True}}]
        for name, block in (("subnet-a", "10.0.1.0/24"), ("subnet-b", "10.0.2.0/24"), ("subnet-p", "10.0.9.0/24")):
            self.subnet(name, block)
        self.acl("acl-1", everything(), "subnet-a", "subnet-b", "subnet-p")
        self.group("sg-app", egress=[rule(cidr=ANY)])
        self.group("sg-db", ingress=[rule(5432, group="sg-app")], egress=[rule(cidr=ANY)])
        self.table("rtb-main", main=True)
        self.table("rtb-a", "subnet-a", routes=[{"DestinationCidrBlock": ANY, "NatGatewayId": "nat-1"}])
        self.table("rtb-p", "subnet-p", routes=[{"DestinationCidrBlock": ANY, "GatewayId": "igw-1"}])
        self.interface("eni-job", "10.0.1.10", "subnet-a", "sg-app", instance="i-job")
        self.interface("eni-near", "10.0.1.30", "subnet-a", "sg-db")
        self.interface("eni-db", "10.0.2.20", "subnet-b", "sg-db")
        self.documents["NatGateways"].append(
            {"NatGatewayId": "nat-1", "SubnetId": "subnet-p", "VpcId": "vpc-1", "State": "available",
             "ConnectivityType": "public", "NatGatewayAddresses": [{"PublicIp": "203.0.113.7", "PrivateIp": "10.0.9.5"}]}
        )  # fmt: skip

    def __getitem__(self, key: str) -> Any:
        return self.documents[key]

    def one(self, key: str, identity: str) -> Json:
        """The record with this id."""
        found: Json = next(each for each in self.documents[key] if identity in each.values())
        return found

    def subnet(self, identity: str, block: str, *, vpc: str = "vpc-1", owner: str = OWN) -> None:
        self["Subnets"].append({"SubnetId": identity, "CidrBlock": block, "VpcId": vpc, "OwnerId": owner})

    def acl(self, identity: str, entries: list[Json], *subnets: str) -> None:
        """A network ACL, taken from whichever these subnets had."""
        for each in self["NetworkAcls"]:
            each["Associations"] = [one for one in each["Associations"] if one["SubnetId"] not in subnets]
        self["NetworkAcls"].append(
            {"NetworkAclId": identity, "VpcId": "vpc-1", "Entries": entries,
             "Associations": [{"SubnetId": each} for each in subnets]}
        )  # fmt: skip

    def group(self, identity: str, *, ingress: list[Json] | None = None, egress: list[Json] | None = None) -> None:
        """A security group, in place of the one with this id."""
        self.documents["SecurityGroups"] = [each for each in self["SecurityGroups"] if each["GroupId"] != identity]
        self["SecurityGroups"].append(
            {"GroupId": identity, "VpcId": "vpc-1", "IpPermissions": ingress or [], "IpPermissionsEgress": egress or []}
        )

    def table(self, identity: str, *subnets: str, routes: list[Json] | None = None, main: bool = False,
              vpc: str = "vpc-1") -> None:  # fmt: skip
        """A route table, in place of the one with this id; the local route is in it."""
        self.documents["RouteTables"] = [each for each in self["RouteTables"] if each["RouteTableId"] != identity]
        local = {"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local", "State": "active"}
        known = [{"State": "active", "Origin": "CreateRoute"} | each for each in routes or []]
        associations: list[Json] = [{"SubnetId": each, "Main": False} for each in subnets]
        self["RouteTables"].append(
            {"RouteTableId": identity, "VpcId": vpc, "Routes": [local, *known],
             "Associations": associations + ([{"Main": True}] if main else [])}
        )  # fmt: skip

    def interface(self, identity: str, address: str, subnet: str, *groups: str, instance: str = "", public: str = "",
                  v6: str = "", vpc: str = "vpc-1", **more: Any) -> Json:  # fmt: skip
        """A network interface."""
        association = {"Association": {"PublicIp": public}} if public else {}
        found: Json = {
            "NetworkInterfaceId": identity, "SubnetId": subnet, "VpcId": vpc, "OwnerId": OWN, "PrivateIpAddress": address,
            "InterfaceType": "interface", "Description": "", "Status": "in-use",
            "Groups": [{"GroupId": each} for each in groups],
            "PrivateIpAddresses": [{"PrivateIpAddress": address, "Primary": True} | association],
            "Ipv6Addresses": [{"Ipv6Address": v6}] if v6 else [],
        } | association | more  # fmt: skip
        if instance:
            found["Attachment"] = {"InstanceId": instance, "DeviceIndex": 0}
        self["NetworkInterfaces"].append(found)
        return found

    def network_balancer(self, *targets: str, kind: str = "net", port: int = 443) -> None:
        """10.0.2.40, with its listener, target group tg and attributes unset."""
        arn = "arn:aws:elasticloadbalancing:eu-west-1:111111111111:"
        name = {"net": "network", "app": "application"}[kind]
        balancer, listener, group = (
            f"{arn}loadbalancer/{kind}/lb/1f",
            f"{arn}listener/{kind}/lb/1f/2f",
            f"{arn}targetgroup/tg/3f",
        )
        self.interface("eni-lb", "10.0.2.40", "subnet-b", "sg-lb", Description=f"ELB {kind}/lb/1f")
        self.group("sg-lb", ingress=[rule(port, cidr="10.0.0.0/16")], egress=[rule(cidr=ANY)])
        self["LoadBalancers"].append(
            {"LoadBalancerArn": balancer, "LoadBalancerName": "lb", "Type": name, "State": {"Code": "active"},
             "DNSName": "lb-1f.elb.eu-west-1.amazonaws.com", "SecurityGroups": ["sg-lb"], "VpcId": "vpc-1",
             "Scheme": "internal"}
        )  # fmt: skip
        by = "instance" if any(each.startswith("i-") for each in targets) else "ip"
        self["TargetGroups"].append(
            {"TargetGroupArn": group, "TargetType": by, "Protocol": "TCP", "Port": 8443, "VpcId": "vpc-1",
             "IpAddressType": "ipv4"}
        )  # fmt: skip
        protocol = "TCP" if kind == "net" else "HTTPS"
        action = {"Type": "forward", "TargetGroupArn": group}
        self.details += [
            {"Listeners": [{"ListenerArn": listener, "LoadBalancerArn": balancer, "Port": port, "Protocol": protocol,
                            "DefaultActions": [action]}]},
            {"LoadBalancerArn": balancer, "Attributes": []},
            {"ListenerArn": listener, "Attributes": []},
            {"ListenerArn": listener, "Rules": [{"Priority": "default", "IsDefault": True, "Actions": [action]}]},
            {"TargetGroupArn": group, "Attributes": []},
            {"TargetGroupArn": group, "TargetHealthDescriptions": [
                {"Target": {"Id": each, "Port": 8443}, "TargetHealth": {"State": "healthy"}} for each in targets]},
        ]  # fmt: skip

    def all_documents(self) -> list[tuple[str, Json]]:
        """Each with a name for a file."""
        named = [(key, {key: found}) for key, found in self.documents.items()]
        return [*named, *((f"detail-{at}", each) for at, each in enumerate(self.details))]

    def inventory(self, *, without: str = "") -> Inventory:
        """As read from files, but one of them."""
        found = Inventory()
        for name, each in self.all_documents():
            if name != without:
                assert add(found, each), name
        return found

    def save(self, folder: Path) -> Path:
        """As files."""
        folder.mkdir(exist_ok=True)
        for at, (_, each) in enumerate(self.all_documents()):
            (folder / f"{at}.json").write_text(json.dumps(each))
        return folder
