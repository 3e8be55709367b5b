"""`systrace aws` from outside: options, files, exit statuses, what it adds to a recording, narrow terminals."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from systrace.observations import read
from systrace.reporters.shapes.schema import schema
from tests.cloud.world import World, rule
from tests.serverlogs.test_matching import T0

SYSTRACE = [sys.executable, "-m", "systrace"]
DB = "10.0.2.20:5432"
ENVIRONMENT = os.environ | {"AWS_EC2_METADATA_DISABLED": "true", "LC_ALL": "C.UTF-8", "COLUMNS": "300"}


def systrace(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*SYSTRACE, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=ENVIRONMENT | environment,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return World().save(tmp_path / "data")


@pytest.fixture
def refusing(tmp_path: Path) -> Path:
    world = World()
    world.group("sg-db", ingress=[rule(5432, group="sg-web")])
    return world.save(tmp_path / "refusing")


def recording(path: Path, *calls: tuple[float, str]) -> Path:
    """A job on 10.0.1.10."""
    steps = [(0.0, 'execve("/job", ["/job"], 0x1 /* 3 vars */) = 0 <0.001>'), *calls]
    path.write_text("".join(f"900 {T0 + at:.6f} {call}\n" for at, call in steps))
    return path


def dropped(path: Path) -> Path:
    local = '{sa_family=AF_INET, sin_port=htons(41000), sin_addr=inet_addr("10.0.1.10")}'
    peer = '{sa_family=AF_INET, sin_port=htons(5432), sin_addr=inet_addr("10.0.2.20")}'
    return recording(
        path,
        (1, "socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.00001>"),
        (1.1, f"bind(3, {local}, 16) = 0 <0.00001>"),
        (1.2, f"connect(3, {peer}, 16) = -1 ETIMEDOUT (Connection timed out) <130.0>"),
        (132, "exit_group(1) = ?"),
        (132.1, "+++ exited with 1 +++"),
    )


def test_the_status_is_the_answer(data: Path, refusing: Path) -> None:
    fine, found = (systrace("aws", DB, "--from", "eni-job", "--data", each) for each in (data, refusing))
    other = systrace("aws", "198.51.100.9:443", "--from", "eni-job", "--data", data)
    assert (fine.returncode, found.returncode, other.returncode) == (0, 1, 0)
    assert fine.stdout.startswith(f"{DB}: nothing in the configuration blocks TCP 5432")
    assert found.stdout.startswith(
        f"{DB}: blocked (security group, in): no rule of sg-db lets TCP 5432 in from 10.0.1.10"
    )
    (refusing / "1.json").unlink()  # Subnets
    (refusing / "3.json").unlink()  # SecurityGroups
    unclear = systrace("aws", DB, "--from", "eni-job", "--data", refusing)
    assert unclear.returncode == 2
    assert "- ask: save what `aws ec2 describe-security-groups` prints" in " ".join(unclear.stdout.split())


def test_the_jobs_interface_is_that_of_the_logs_address(refusing: Path, tmp_path: Path) -> None:
    """What is found proves the trace's verdict, once it is added; the recording's mode and lines stay."""
    log = dropped(tmp_path / "job.strace")
    log.chmod(0o640)
    facts = tmp_path / "facts"
    before: Any = json.loads(systrace("parse", "--format", "json", log).stdout)
    done = systrace("aws", log, "--data", refusing, "--add", "--save-facts", facts)
    after: Any = json.loads(systrace("parse", "--format", "json", log).stdout)
    assert done.returncode == 1, done.stderr
    assert "from eni-job (i-job), 10.0.1.10, subnet-a" in done.stdout
    assert [each["verdict"]["cause"] for each in (before, after)] == ["connect-timeout"] * 2
    assert after["findings"][0]["confidence"] == "confirmed"
    assert "Read by systrace aws: blocked (security group, in)" in after["findings"][0]["summary"]
    assert log.stat().st_mode & 0o777 == 0o640
    (fact,) = read(facts)
    assert (fact.kind, fact.subject, fact.value["step"]) == ("path-blocked", DB, "security-group-in")
    assert facts.stat().st_mode & 0o777 == 0o600


def test_json_has_the_documented_shape(refusing: Path) -> None:
    told: Any = json.loads(systrace("aws", DB, "--from", "i-job", "--data", refusing, "--format", "json").stdout)
    Draft202012Validator(schema("aws")).validate(told)
    assert list(told) == [
        "schema", "target", "name", "source", "verdict", "steps", "limits", "observations", "advice", "flow_logs"
    ]  # fmt: skip
    assert told["verdict"]["outcome"] == "blocked"
    assert {tuple(each) for each in told["steps"]} == {("name", "outcome", "at", "text", "share", "change", "ask")}
    assert "srcAddr" in told["flow_logs"]["insights"]


def test_a_url_and_several_peers(data: Path) -> None:
    done = systrace("aws", "http://10.0.2.20/x", DB, "--from", "10.0.1.10", "--data", data)
    assert done.returncode == 1
    assert "10.0.2.20:80: blocked" in done.stdout
    assert f"{DB}: nothing" in done.stdout


@pytest.mark.parametrize("width", [40, 60, 200])
def test_a_terminal_may_be_narrow(refusing: Path, width: int) -> None:
    done = systrace("aws", DB, "--from", "eni-job", "--data", refusing, COLUMNS=str(width))
    assert max(len(line) for line in done.stdout.splitlines()) <= width


def test_hostile_text_is_made_harmless(tmp_path: Path) -> None:
    world = World()
    world.one("NetworkInterfaces", "eni-db")["Description"] = "db\x1b[2J\n\u202eowned"
    world.group("sg-db\x1b]0;x\x07", ingress=[rule(1, cidr="0.0.0.0/0")])
    world.one("NetworkInterfaces", "eni-db")["Groups"] = [{"GroupId": "sg-db\x1b]0;x\x07"}]
    for style in ("table", "json"):
        done = systrace("aws", DB, "--from", "eni-job", "--data", world.save(tmp_path / style), "--format", style)
        assert done.returncode == 1
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", done.stdout)
        assert "\\u001b" not in done.stdout


def test_files_of_any_name_and_strange_ones(data: Path) -> None:
    """What cannot be read is said; what is not of AWS's shape is passed over."""
    (data / "0.json").rename(data / "anything.json")
    strange = {"torn.json": '{"Vpcs": [', "list.json": "[1]", "other.json": '{"Foo": []}', "deep.json": "[" * 100_000}
    for name, text in strange.items():
        (data / name).write_text(text)
    (data / "odd.json").write_text(
        '{"Vpcs": [1, null, {"VpcId": 5}], "Subnets": {"a": 1}, "RouteTables": [{"Routes": 7}]}'
    )
    done = systrace("aws", DB, "--from", "eni-job", "--data", data)
    assert done.returncode == 0, done.stderr
    assert [name for name in strange if name not in done.stderr] == []


def test_commands_only_read(tmp_path: Path) -> None:
    told = systrace("aws", "--commands").stdout
    assert [line for line in told.splitlines() if not re.search("describe|get|list", line)] == []
    script = tmp_path / "x.sh"
    script.write_text(told)
    subprocess.run(["sh", "-n", script], check=True)
    as_json: Any = json.loads(systrace("aws", "--commands", "--format", "json").stdout)
    for action in as_json["policy"]["Statement"][0]["Action"]:
        assert re.fullmatch(r"\w+:(Describe|Get|List|FilterLogEvents)\w*", action)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "name what to ask about"),
        (("nothing-here", "--data", "{data}"), "no such log"),
        (("a" * 5000, "--data", "{data}"), "no such log"),
        ((DB, "--data", "/nowhere"), "no such directory"),
        ((DB, "--data", "{tmp}"), "no answers of"),
        ((DB, "--data", "{data}", "--format", "html"), "table or json"),
        ((DB, "--data", "{data}", "--add"), "--add needs one LOG"),
        (("db.example.invalid:1", "--data", "{data}"), "name its address"),
        ((DB, "--data", "{data}", "--from", "eni-job", "--flow-logs", "{tmp}/x.gz"), "no such file"),
        ((DB, "--data", "{data}", "--from", "eni-job", "--flow-logs", "/dev/zero"), "/dev/zero: no regular file"),
    ],
    ids=str,
)
def test_bad_input_is_one_line(words: tuple[str, ...], why: str, data: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = systrace("aws", *(each.format(data=data, tmp=tmp_path / "empty") for each in words))
    assert (done.returncode, done.stdout) == (2, "")
    assert why in done.stderr.splitlines()[-1]


def test_flow_logs_beside_the_configuration(data: Path, tmp_path: Path) -> None:
    """The rules of today let it through; the records of then say who rejected it."""
    flows = tmp_path / "flows.log"
    flows.write_text(
        "2 111111111111 eni-job 10.0.1.10 10.0.2.20 41000 5432 6 3 180 1 60 ACCEPT OK\n"
        "2 111111111111 eni-job 10.0.2.20 10.0.1.10 5432 41000 6 3 180 1 60 REJECT OK\n"
    )
    done = systrace("aws", DB, "--from", "eni-job", "--data", data, "--flow-logs", flows)
    assert done.returncode == 1
    assert done.stdout.startswith(
        f"{DB}: blocked (flow logs): eni-job accepted it on the way out and rejected the answer"
    )
    flows.write_text("nonsense\n")
    done = systrace("aws", DB, "--from", "eni-job", "--data", data, "--flow-logs", flows)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no record of a flow log" in done.stderr


def test_flow_logs_are_held_against_the_log_s_own_time(data: Path, tmp_path: Path) -> None:
    """Of two logs each is judged by the records of its time."""
    log, other, flows = dropped(tmp_path / "job.strace"), tmp_path / "other.strace", tmp_path / "flows.log"
    other.write_text(re.sub(rf"{T0}"[:6], f"{T0 + 10**6}"[:6], log.read_text()))
    shown = "eni-job 10.0.1.10 10.0.2.20 41000 5432 6 3 180"
    flows.write_text(f"2 111111111111 {shown} {T0} {T0 + 60} REJECT OK\n")
    seen = []
    for each in (log, other):
        done = systrace("aws", each, other, "--data", data, "--flow-logs", flows, "--format", "json")
        assert "of another time than the log's" in done.stderr
        seen += [json.loads(done.stdout.splitlines()[0])["flow_logs"]["seen"][0]["outcome"]]
    assert seen == ["rejected-out", "undecided"]
