"""Whose way it is: by address, by what the user says, by metadata; several that fit are not guessed among."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from systrace.cloud.aws.inventory import MissingError
from systrace.cloud.aws.metadata import hint
from systrace.cloud.aws.saved import add
from systrace.cloud.aws.sources import Hint, SeveralError, find
from tests.cloud.world import World

ROOT = Path(__file__).resolve().parents[3]
FAKE = ROOT / "tests" / "cloud" / "imds.py"


@pytest.fixture
def service() -> Iterator[str]:
    with subprocess.Popen([sys.executable, FAKE, "127.0.0.1", "0"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        process.kill()


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine of the test may be one of AWS."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.delenv("ECS_CONTAINER_METADATA_URI_V4", raising=False)


TASKS = {
    "tasks": [
        {
            "taskArn": "arn:aws:ecs:eu-west-1:111111111111:task/prod/abc",
            "attachments": [{"details": [{"name": "subnetId"}, {"name": "networkInterfaceId", "value": "eni-job"}]}],
        },
        {"taskArn": "arn:aws:ecs:eu-west-1:111111111111:task/prod/bridge", "attachments": []},
    ]
}


@pytest.mark.parametrize(
    "wanted",
    [
        Hint("eni-job"),
        Hint("i-job"),
        Hint("10.0.1.10"),
        Hint("203.0.113.66"),
        Hint("arn:aws:ecs:eu-west-1:111111111111:task/prod/abc"),
        Hint("abc"),
        Hint(addresses=("10.0.1.10",)),
        Hint(addresses=("10.0.1.99",)),  # in a prefix that was delegated to it
        Hint(identity="eni-job"),
        Hint(mac="0e:49:61:0f:c3:11"),
    ],
    ids=str,
)
def test_the_interface_is_found(wanted: Hint) -> None:
    world = World()
    job = world.one("NetworkInterfaces", "eni-job")
    job |= {"MacAddress": "0e:49:61:0f:c3:11", "Ipv4Prefixes": [{"Ipv4Prefix": "10.0.1.96/28"}]}
    job["Association"] = {"PublicIp": "203.0.113.66"}
    second = world.interface("eni-second", "10.0.1.11", "subnet-a", "sg-app", instance="i-job")
    second["Attachment"]["DeviceIndex"] = 1
    world.details.append(TASKS)
    assert find(world.inventory(), wanted).identity == "eni-job"


def test_metadata_tell_which_of_several_is_meant() -> None:
    """Two VPCs of one range in one folder."""
    world = World()
    world.one("NetworkInterfaces", "eni-job")["MacAddress"] = "0e:49:61:0f:c3:11"
    world.interface("eni-twin", "10.0.1.10", "subnet-z", "sg-app", vpc="vpc-2", MacAddress="0e:49:61:0f:c3:12")
    inventory, own = world.inventory(), ("10.0.1.10",)
    assert find(inventory, Hint(addresses=own, mac="0e:49:61:0f:c3:11")).identity == "eni-job"
    assert find(inventory, Hint(addresses=own, identity="eni-twin")).identity == "eni-twin"
    for elsewhere in (Hint(addresses=own), Hint(addresses=own, mac="0e:00:00:00:00:01", identity="eni-near")):
        with pytest.raises(SeveralError, match=r"eni-job \(vpc-1\), eni-twin \(vpc-2\)"):
            find(inventory, elsewhere)


def test_copies_of_the_job_s_interface_that_differ() -> None:
    world = World()
    inventory = world.inventory()
    add(inventory, {"NetworkInterfaces": [world.one("NetworkInterfaces", "eni-job") | {"Groups": []}]})
    for wanted in (Hint("eni-job"), Hint("i-job"), Hint(addresses=("10.0.1.10",))):
        with pytest.raises(MissingError, match="say different things of eni-job"):
            find(inventory, wanted)


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (Hint(), "not known"),
        (Hint("eni-none"), "eni-none is not among"),
        (Hint("10.7.7.7"), "no network interface that was read has address 10.7.7.7"),
        (
            Hint(addresses=("10.0.1.10",)),
            "several network interfaces have address 10.0.1.10: eni-job (vpc-1), eni-twin (vpc-2)",
        ),
        (Hint("bridge"), "no network interface of its own"),
        (Hint("unheard"), "task unheard was not read"),
    ],
    ids=str,
)
def test_what_is_not_known_is_said(wanted: Hint, why: str) -> None:
    """Two VPCs may use the same addresses."""
    world = World()
    world.interface("eni-twin", "10.0.1.10", "subnet-z", "sg-app", vpc="vpc-2")
    world.details.append(TASKS)
    with pytest.raises(MissingError) as missing:
        find(world.inventory(), wanted)
    assert why in missing.value.what
    assert missing.value.ask


def test_instance_metadata(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", service + "/")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # is not asked
    found = hint()
    assert (found.identity, found.where) == ("eni-job", "instance metadata")
    assert find(World().inventory(), found).identity == "eni-job"


def test_task_metadata_comes_first(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECS_CONTAINER_METADATA_URI_V4", f"{service}/v4/abc")
    found = hint()
    assert (found.addresses, found.where) == (("10.0.1.10",), "task metadata")


@pytest.mark.parametrize("base", ["http://127.0.0.1:1", "ftp://x", "http://[", "nonsense"])
def test_where_there_is_none(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", base)
    monkeypatch.setenv("ECS_CONTAINER_METADATA_URI_V4", base)
    assert hint() == Hint()


def _bound(own: str) -> str:
    """A log whose job has this address."""
    local = f'{{sa_family=AF_INET, sin_port=htons(41000), sin_addr=inet_addr("{own}")}}'
    peer = '{sa_family=AF_INET, sin_port=htons(5432), sin_addr=inet_addr("10.0.2.20")}'
    return (
        "9 1700000000.100000 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.000001>\n"
        f"9 1700000000.200000 bind(3, {local}, 16) = 0 <0.000001>\n"
        f"9 1700000000.500000 connect(3, {peer}, 16) = -1 ETIMEDOUT (Connection timed out) <130.0>\n"
        "9 1700000131.700000 +++ exited with 1 +++\n"
    )


def test_a_containers_own_bridge(service: str, tmp_path: Path) -> None:
    """The log's address is none of AWS's: this host's interface is taken, and that is said."""
    log = tmp_path / "job.strace"
    log.write_text(_bound("172.17.0.2"))
    data = World().save(tmp_path / "data")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    for more, status in (
        ({"AWS_EC2_METADATA_SERVICE_ENDPOINT": service}, 0),
        ({"AWS_EC2_METADATA_DISABLED": "true"}, 2),
    ):
        argv = [sys.executable, "-m", "systrace", "aws", str(log), "--data", str(data)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, env=environment | more)
        assert done.returncode == status, done.stdout
        assert "has address 172.17.0.2" in (done.stdout if status else done.stderr)
    assert "from eni-job" not in done.stdout


def test_this_host_among_several(service: str, tmp_path: Path) -> None:
    """Two VPCs have the log's address: this host's interface counts where it is one of the two, else nobody's."""
    world = World()
    world.interface("eni-twin", "10.0.1.10", "subnet-z", "sg-app", vpc="vpc-2")
    world.interface("eni-a", "10.0.7.7", "subnet-z", "sg-app", vpc="vpc-2")
    world.interface("eni-b", "10.0.7.7", "subnet-z", "sg-app", vpc="vpc-3")
    data = world.save(tmp_path / "data")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = service
    for own, status, said in (("10.0.1.10", 0, "from eni-job"), ("10.0.7.7", 2, "several network interfaces")):
        log = tmp_path / "job.strace"
        log.write_text(_bound(own))
        argv = [sys.executable, "-m", "systrace", "aws", str(log), "--data", str(data)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, env=environment)
        assert (done.returncode, said in done.stdout) == (status, True), done.stdout + done.stderr


@pytest.mark.real
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="a network namespace needs root")
def test_the_services_own_address(tmp_path: Path) -> None:
    """In a namespace that has 169.254.169.254 on its loopback: no packet leaves this machine."""
    data = World().save(tmp_path / "data")
    script = (
        'ip link set lo up; ip addr add 169.254.169.254/32 dev lo; "$1" "$2" 169.254.169.254 80 | { read -r port; '
        '"$1" -m systrace aws 10.0.2.20:5432 --data "$3"; echo "status $?"; kill $(cat "$4"); }'
    )
    pid = tmp_path / "pid"
    server = tmp_path / "serve"
    server.write_text(f'#!/bin/sh\necho $$ >"{pid}"\nexec "{sys.executable}" "$@"\n')
    server.chmod(0o755)
    script = script.replace('"$1" "$2"', '"$5" "$2"')
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", script, "sh", sys.executable, str(FAKE), str(data), str(pid), str(server)],
        capture_output=True, text=True, check=False, timeout=60, env=environment, cwd=ROOT,
    )  # fmt: skip
    assert "the network interface is that of this host, by instance metadata" in done.stderr
    assert "from eni-job (i-job), 10.0.1.10, subnet-a" in done.stdout
    assert "status 0" in done.stdout
