"""Calls as NDJSON."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from systrace.model import RESTARTED, RETURNED, UNFINISHED, Input, Record
from systrace.pipeline import raw_records
from systrace.reporters.shapes.schema import schema
from systrace.reporters.views.calls import call_line, network_calls, write_calls


def record(syscall: str, args: bytes, **more: Any) -> Record:
    values: dict[str, Any] = {
        "source": 0, "lineno": 12, "tid": 1949, "time_ns": 1_795_223_946_509_036_000, "duration_ns": 40_000,
        "syscall": syscall, "args": args, "retval": 0, "errno": None, "outcome": RETURNED, "raw": b"",
    } | more  # fmt: skip
    return Record(**values)


def call(syscall: str, args: bytes, **more: Any) -> dict[str, Any]:
    line = call_line(record(syscall, args, **more))
    parsed: dict[str, Any] = json.loads(line)
    Draft202012Validator(schema("events")).validate(parsed)
    return parsed


def test_the_contract() -> None:
    args = b'5, {sa_family=AF_INET, sin_port=htons(40199), sin_addr=inet_addr("127.0.0.1")}, 16'
    assert call("connect", args, retval=-1, errno="EINPROGRESS") == {
        "line": 12, "tid": 1949, "time": 1795223946.509036, "syscall": "connect", "fd": 5, "retval": -1,
        "errno": "EINPROGRESS", "duration": 0.00004, "peer": "127.0.0.1:40199", "args": args.decode(),
        "outcome": "returned",
    }  # fmt: skip


def test_times_are_exact() -> None:
    line = call_line(record("close", b"3", time_ns=1_795_223_946_509_036_789, duration_ns=3_000_000_001))
    assert '"time": 1795223946.509036789,' in line
    assert '"duration": 3.000000001,' in line


def test_unknown_is_null() -> None:
    found = call("read", b"3, ", tid=0, time_ns=None, duration_ns=None, retval=None, outcome=UNFINISHED)
    assert [found[key] for key in ("tid", "time", "duration", "retval", "errno", "peer")] == [None] * 6
    restarted = call("read", b"3, ", retval=None, errno="ERESTARTSYS", outcome=RESTARTED)
    assert (restarted["errno"], restarted["outcome"]) == ("ERESTARTSYS", "restarted")


@pytest.mark.parametrize(
    ("syscall", "args", "fd"),
    [
        ("close", b"3", 3),
        ("read", b'0x4, "x", 1', 4),
        ("fstat", b"fd=7, statbuf=0x7ff", 7),
        ("newcall", b"9</tmp/file>, 1", 9),
        ("exit_group", b"1", None),
        ("kill", b"1234, SIGTERM", None),
        ("openat", b'AT_FDCWD, "/x", O_RDONLY', None),
        ("poll", b"[{fd=3, events=POLLIN}], 1, -1", None),
        ("close", b"-1", None),
        ("read", b"", None),
    ],
)
def test_descriptor(syscall: str, args: bytes, fd: int | None) -> None:
    assert call(syscall, args)["fd"] == fd


@pytest.mark.parametrize(
    ("syscall", "args", "peer"),
    [
        ("read", b"3<TCP:[10.0.0.1:40000->192.0.2.7:443]>, 0x7, 1", "192.0.2.7:443"),
        ("read", b"3<TCPv6:[[::1]:40000->[2001:db8::7]:443]>, 0x7, 1", "[2001:db8::7]:443"),
        ("read", b"3<TCP:[77123]>, 0x7, 1", None),
        ("read", b"3</etc/hosts>, 0x7, 1", None),
        ("poll", b"[{fd=3<UDP:[10.0.0.1:1->192.0.2.53:53]>, events=POLLIN}], 1, 5", "192.0.2.53:53"),
        ("connect", b'3, {sa_family=AF_UNIX, sun_path="/run/x.sock"}, 110', "unix:/run/x.sock"),
        ("connect", b'3, {sa_family=AF_UNIX, sun_path=@"abstract"}, 110', "unix:@abstract"),
        (
            "connect",
            b"3, {sa_family=AF_INET6, sin6_port=htons(80), sin6_flowinfo=htonl(0), "
            b'inet_pton(AF_INET6, "::ffff:192.0.2.1", &sin6_addr), sin6_scope_id=0}, 28',
            "192.0.2.1:80",
        ),
        ("connect", b"3, {sa_family=AF_NETLINK, nl_pid=0}, 12", None),
        ("write", b'1, "{sa_family=AF_INET, sin_port=htons(1)"', None),
    ],
)
def test_peer(syscall: str, args: bytes, peer: str | None) -> None:
    assert call(syscall, args)["peer"] == peer


@given(st.binary(max_size=120), st.sampled_from(["connect", "read", "sendmsg", "poll", "x"]))
def test_any_argument_bytes_give_json_of_the_schema(args: bytes, syscall: str) -> None:
    assert call(syscall, args)["args"] == args.decode("utf-8", "backslashreplace")
    assert call_line(record(syscall, args)).isascii()


def test_files_are_named_where_there_are_several() -> None:
    out = io.BytesIO()
    write_calls([record("close", b"3", source=1)], out, ["log.1", "\udcff.2"])
    assert json.loads(out.getvalue())["file"] == "\\udcff.2"


def test_lines_that_are_no_calls_are_left_out() -> None:
    log = b"7 close(3) = 0\n7 --- SIGTERM {si_signo=SIGTERM} ---\n"
    log += b"7 read(0,  <unfinished ...>\n7 +++ killed by SIGTERM +++\n"
    out = io.BytesIO()
    write_calls(raw_records([Input("x", log.splitlines(keepends=True))]), out)
    assert [json.loads(line)["syscall"] for line in out.getvalue().splitlines()] == ["close", "read"]


def names(log: str) -> list[str]:
    found = network_calls(raw_records([Input("x", log.encode().splitlines(keepends=True))]))
    return [f"{each.tid} {each.syscall}({each.args.decode().partition(',')[0]})" for each in found]


def test_network_follows_numbers_without_annotations() -> None:
    log = (
        '7 openat(AT_FDCWD, "/x", O_RDONLY) = 3\n'
        '7 read(3, "x", 1) = 1\n'
        "7 socket(AF_INET, SOCK_STREAM, 0) = 4\n"
        "7 dup2(4, 0) = 0\n"
        "7 clone(child_stack=NULL, flags=CLONE_CHILD_SETTID|SIGCHLD) = 8\n"
        '8 read(0, "x", 1) = 1\n'
        "8 close(0) = 0\n"
        '8 read(0, "x", 1) = 1\n'
        '7 write(4, "x", 1) = 1\n'
        "7 poll([{fd=4, events=POLLIN}], 1, 5) = 0 (Timeout)\n"
        "7 close(4) = 0\n"
        '7 read(4, "x", 1) = -1 EBADF (Bad file descriptor)\n'
    )
    assert names(log) == [
        "7 socket(AF_INET)", "7 dup2(4)", "8 read(0)", "8 close(0)", "7 write(4)", "7 poll([{fd=4)", "7 close(4)",
    ]  # fmt: skip


def test_network_believes_annotations() -> None:
    log = '7 read(5<TCP:[10.0.0.1:1->192.0.2.1:2]>, "x", 1) = 1\n7 read(6</etc/hosts>, "x", 1) = 1\n'
    assert names(log) == ["7 read(5<TCP:[10.0.0.1:1->192.0.2.1:2]>)"]
