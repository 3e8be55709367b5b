"""The records from AWS itself: moto's server stands in for it. No call that changes anything is in the code."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from systrace.cloud.aws import calls
from systrace.cloud.aws.calls import DETAILS, LISTS, Call
from systrace.cloud.aws.inventory import Inventory
from systrace.cloud.aws.live import Live

boto3 = pytest.importorskip("boto3")
pytest.importorskip("moto")
pytest.importorskip("flask_cors")

ROOT = Path(__file__).resolve().parents[3]
READS = re.compile(r"(describe|get|list)_\w+|filter_log_events")
# Of a boto3 client, session or paginator: none of these reaches AWS but through `_read`.
HARMLESS = {"get_credentials", "client", "can_paginate", "get_paginator", "paginate"}


def test_every_operation_in_the_table_reads() -> None:
    known = [each for each in vars(calls).values() if isinstance(each, Call)] + [*LISTS.values(), *DETAILS.values()]
    assert len(known) > 20
    assert [each for each in known if not READS.fullmatch(each.operation)] == []


def test_no_call_changes_anything() -> None:
    """In the only file that knows boto3: operations come from the table, by one `getattr` in `_read`, which looks at them."""
    tree = ast.parse((ROOT / "systrace" / "cloud" / "aws" / "live.py").read_text())
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    of_python = {
        "append",
        "get",
        "add",
        "add_details",
        "refused",
        "rpartition",
        "split",
        "startswith",
        "time",
        "Session",
    }
    of_python |= {"contextmanager", *(name for name in dir(Inventory) if not name.startswith("__"))}
    called = {
        node.func.attr for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert called - own - of_python - HARMLESS - {"__init__"} == set()
    reads = next(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "_read")
    everywhere, inside = (
        [node for node in ast.walk(each) if isinstance(node, ast.Name) and node.id == "getattr"]
        for each in (tree, reads)
    )
    assert len(everywhere) == len(inside) == 1
    assert isinstance(reads.body[1], ast.If)
    assert ast.unparse(reads.body[1].test) == "not call.operation.startswith(_READS)"


# --------------------------------------------------------------------------------------------------------------- moto


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a client of a fresh server."""
    said = tmp_path_factory.mktemp("moto") / "stderr"
    argv = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with said.open("wb") as log, subprocess.Popen(argv, stdout=log, stderr=log) as process:
        until = time.monotonic() + 30
        while (url := re.search(r"http://127\.0\.0\.1:\d+", said.read_text())) is None and time.monotonic() < until:
            time.sleep(0.05)
        assert url is not None, said.read_text()
        yield {
            "AWS_ENDPOINT_URL": url[0],
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_REGION": "eu-west-1",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        process.kill()


class Made:
    """A VPC of its own: subnets a (the job's) and b, the job 10.0.1.10 and a database 10.0.2.20, default ACL."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._url = environment["AWS_ENDPOINT_URL"]
        self.ec2 = self.client("ec2")
        self.vpc = self.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        self.a, self.b = (self.subnet(block) for block in ("10.0.1.0/24", "10.0.2.0/24"))
        self.app, self.db = (self.group(name) for name in ("app", "db"))
        self.job = self.interface(self.a, "10.0.1.10", self.app)
        there = self.interface(self.b, "10.0.2.20", self.db)
        self.ec2.run_instances(
            ImageId="ami-12c6146b",
            MinCount=1,
            MaxCount=1,
            NetworkInterfaces=[{"DeviceIndex": 0, "NetworkInterfaceId": there}],
        )

    def client(self, service: str) -> Any:
        return boto3.client(
            service, endpoint_url=self._url, region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x"
        )

    def subnet(self, block: str) -> str:
        return str(self.ec2.create_subnet(VpcId=self.vpc, CidrBlock=block)["Subnet"]["SubnetId"])

    def group(self, name: str) -> str:
        return str(self.ec2.create_security_group(VpcId=self.vpc, GroupName=name, Description=name)["GroupId"])

    def interface(self, subnet: str, address: str, group: str) -> str:
        made = self.ec2.create_network_interface(SubnetId=subnet, PrivateIpAddress=address, Groups=[group])
        return str(made["NetworkInterface"]["NetworkInterfaceId"])

    def admit(self, group: str) -> None:
        pair = [{"GroupId": group}]
        rule = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "UserIdGroupPairs": pair}
        self.ec2.authorize_security_group_ingress(GroupId=self.db, IpPermissions=[rule])

    def acl(self, subnet: str, *rules: tuple[int, str, bool, int, int]) -> None:
        made = self.ec2.create_network_acl(VpcId=self.vpc)["NetworkAcl"]["NetworkAclId"]
        for number, action, egress, low, high in rules:
            self.ec2.create_network_acl_entry(
                NetworkAclId=made, RuleNumber=number, RuleAction=action, Egress=egress, Protocol="6",
                CidrBlock="0.0.0.0/0", PortRange={"From": low, "To": high},
            )  # fmt: skip
        known = self.ec2.describe_network_acls(Filters=[{"Name": "association.subnet-id", "Values": [subnet]}])
        for each in known["NetworkAcls"][0]["Associations"]:
            if each["SubnetId"] == subnet:
                self.ec2.replace_network_acl_association(
                    AssociationId=each["NetworkAclAssociationId"], NetworkAclId=made
                )

    def out_by(self, **target: str) -> None:
        """A route table of subnet a, with a default route."""
        table = self.ec2.create_route_table(VpcId=self.vpc)["RouteTable"]["RouteTableId"]
        self.ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", **target)
        self.ec2.associate_route_table(RouteTableId=table, SubnetId=self.a)

    def gateway(self) -> str:
        made = self.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        self.ec2.attach_internet_gateway(InternetGatewayId=made, VpcId=self.vpc)
        return str(made)


def asked(environment: dict[str, str], made: Made, peer: str, *more: str) -> tuple[int, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "systrace", "aws", peer, "--from", made.job, "--format", "json", *more],
        capture_output=True, text=True, check=False, timeout=60, env=os.environ | environment,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_a_group_that_admits_the_jobs(aws: dict[str, str]) -> None:
    made = Made(aws)
    made.admit(made.app)
    status, told = asked(aws, made, "10.0.2.20:5432")
    assert (status, told["verdict"]["outcome"]) == (0, "allowed"), told["steps"]


def test_a_group_that_does_not(aws: dict[str, str]) -> None:
    made = Made(aws)
    made.admit(made.db)
    status, told = asked(aws, made, "10.0.2.20:5432")
    step = next(each for each in told["steps"] if each["outcome"] == "blocked")
    assert (status, told["verdict"]["step"], step["at"]) == (1, "security-group-in", made.db)


def test_answers_to_a_share_of_the_ports(aws: dict[str, str]) -> None:
    made = Made(aws)
    made.admit(made.app)
    made.acl(made.a, (100, "allow", True, 0, 65535), (100, "allow", False, 1024, 44999))
    status, told = asked(aws, made, "10.0.2.20:5432")
    step = next(each for each in told["steps"] if each["outcome"] == "share")
    assert (status, told["verdict"]["outcome"], step["name"]) == (1, "share", "acl-in-answer")
    assert round(step["share"], 2) == 0.43


def test_a_nat_gateway_that_was_deleted(aws: dict[str, str]) -> None:
    """moto's route stays active."""
    made = Made(aws)
    nat = made.ec2.create_nat_gateway(SubnetId=made.b, ConnectivityType="private")["NatGateway"]["NatGatewayId"]
    made.out_by(NatGatewayId=nat)
    made.ec2.delete_nat_gateway(NatGatewayId=nat)
    status, told = asked(aws, made, "198.51.100.9:443")
    assert (status, told["verdict"]["step"]) == (1, "nat-gateway")


def test_an_internet_gateway_and_no_public_address(aws: dict[str, str]) -> None:
    made = Made(aws)
    made.out_by(GatewayId=made.gateway())
    status, told = asked(aws, made, "198.51.100.9:443")
    assert (status, told["verdict"]["step"]) == (1, "public-address")


def test_what_aws_does_not_answer_is_unknown(aws: dict[str, str]) -> None:
    """moto has no Block Public Access: the answer is an error, as a denied call is, and no "allowed"."""
    made = Made(aws)
    nat = made.ec2.create_nat_gateway(SubnetId=made.b, ConnectivityType="public",
                                      AllocationId=made.ec2.allocate_address(Domain="vpc")["AllocationId"])  # fmt: skip
    made.out_by(NatGatewayId=nat["NatGateway"]["NatGatewayId"])
    main = made.ec2.describe_route_tables(
        Filters=[{"Name": "vpc-id", "Values": [made.vpc]}, {"Name": "association.main", "Values": ["true"]}]
    )
    made.ec2.create_route(
        RouteTableId=main["RouteTables"][0]["RouteTableId"], DestinationCidrBlock="0.0.0.0/0", GatewayId=made.gateway()
    )
    status, told = asked(aws, made, "198.51.100.9:443")
    assert (status, told["verdict"]["step"]) == (2, "block-public-access")
    assert "ec2:DescribeVpcBlockPublicAccessOptions" in told["advice"][0]


def test_flow_logs_of_a_group(aws: dict[str, str]) -> None:
    made = Made(aws)
    made.admit(made.app)
    logs = made.client("logs")
    logs.create_log_group(logGroupName="flows")
    logs.create_log_stream(logGroupName="flows", logStreamName="x")
    told = f"2 111111111111 {made.job} 10.0.1.10 10.0.2.20 41000 5432 6 3 180 1 60 REJECT OK"
    logs.put_log_events(logGroupName="flows", logStreamName="x",
                        logEvents=[{"timestamp": int(time.time() * 1000), "message": told}])  # fmt: skip
    status, found = asked(aws, made, "10.0.2.20:5432", "--flow-logs", "flows")
    assert (status, found["flow_logs"]["seen"][0]["outcome"]) == (1, "rejected-out")
    assert found["verdict"]["text"].startswith("blocked (flow logs)")


def test_flow_logs_are_those_of_the_log_s_time(aws: dict[str, str], tmp_path: Path) -> None:
    """Of a job that ran three days ago the records of then are read, not the latest day's."""
    made = Made(aws)
    made.admit(made.app)
    logs, began = made.client("logs"), time.time() - 3 * 86400
    logs.create_log_group(logGroupName="old-flows")
    logs.create_log_stream(logGroupName="old-flows", logStreamName="x")
    told = f"2 111111111111 {made.job} 10.0.1.10 10.0.2.20 41000 5432 6 3 180"
    later = began + 2 * 86400
    logs.put_log_events(logGroupName="old-flows", logStreamName="x", logEvents=[
        {"timestamp": int((began + 60) * 1000), "message": f"{told} {began:.0f} {began + 60:.0f} REJECT OK"},
        {"timestamp": int((began + 61) * 1000), "message": f"{told} {began - 86400:.0f} {began - 86399:.0f} ACCEPT OK"},
        {"timestamp": int(later * 1000), "message": f"{told} {later:.0f} {later:.0f} ACCEPT OK"}])  # fmt: skip
    log = tmp_path / "job.strace"
    peer = '{sa_family=AF_INET, sin_port=htons(5432), sin_addr=inet_addr("10.0.2.20")}'
    log.write_text(
        f"9 {began:.6f} socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.000010>\n"
        f"9 {began + 1:.6f} connect(3, {peer}, 16) = -1 ETIMEDOUT (Connection timed out) <60.0>\n"
        f"9 {began + 62:.6f} +++ exited with 1 +++\n"
    )
    status, found = asked(aws, made, str(log), "--flow-logs", "old-flows")
    assert (status, [each["outcome"] for each in found["flow_logs"]["seen"]]) == (1, ["rejected-out"])


def test_a_group_that_is_not_there(aws: dict[str, str]) -> None:
    made = Made(aws)
    argv = [sys.executable, "-m", "systrace", "aws", "10.0.2.20:5432", "--from", made.job, "--flow-logs", "nowhere"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, env=os.environ | aws)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert "ResourceNotFoundException" in done.stderr


def test_the_interface_of_a_task(aws: dict[str, str]) -> None:
    """By its ARN, and by its id alone: clusters are listed then."""
    made = Made(aws)
    made.admit(made.app)
    made.ec2.modify_vpc_attribute(VpcId=made.vpc, EnableDnsHostnames={"Value": True})
    ecs = made.client("ecs")
    ecs.create_cluster(clusterName="prod")
    ecs.register_task_definition(
        family="job", networkMode="awsvpc", containerDefinitions=[{"name": "job", "image": "job", "memory": 512}]
    )
    network = {"awsvpcConfiguration": {"subnets": [made.a], "securityGroups": [made.app]}}
    task = ecs.run_task(cluster="prod", taskDefinition="job", launchType="FARGATE", networkConfiguration=network)
    arn = task["tasks"][0]["taskArn"]
    own = next(
        each["value"] for each in task["tasks"][0]["attachments"][0]["details"] if each["name"] == "networkInterfaceId"
    )
    for said in (arn, arn.rpartition("/")[2]):
        made.job = said
        status, told = asked(aws, made, "10.0.2.20:5432")
        assert (status, told["source"]["interface"]) == (0, own), told


# ---------------------------------------------------------------------------------------------------- without an answer


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({"AWS_EC2_METADATA_DISABLED": "true"}, "credentials are not known"),
        ({"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}, "region is not known"),
        ({"AWS_PROFILE": "nowhere"}, "nowhere"),
    ],
    ids=str,
)
def test_no_credentials_is_one_line(environment: dict[str, str], why: str, tmp_path: Path) -> None:
    usual = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    argv = [sys.executable, "-m", "systrace", "aws", "10.0.2.20:5432", "--from", "eni-job"]
    done = subprocess.run(
        argv, capture_output=True, text=True, check=False, timeout=60, env=usual | {"HOME": str(tmp_path)} | environment
    )
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert why in done.stderr


def test_nobody_answers(tmp_path: Path) -> None:
    """The endpoint is down: everything is unknown."""
    environment = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    environment |= {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1", "AWS_MAX_ATTEMPTS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "systrace", "aws", "10.0.2.20:5432", "--from", "eni-job"],
        capture_output=True, text=True, check=False, timeout=100, env=os.environ | environment,
    )  # fmt: skip
    assert done.returncode == 2
    assert "not decided (source)" in done.stdout


def test_without_boto3_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(Exception, match=r"boto3 is not installed: pip install 'systrace\[aws\]'"):
        Live()


def test_an_operation_that_changes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with pytest.raises(ValueError, match="may change something"):
        list(Live()._read(Call("ec2", "delete_vpc"), "x"))
