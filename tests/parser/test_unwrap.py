"""Logs that travelled (traps 21 and 22): each comes back as strace wrote it."""

from __future__ import annotations

import json

import pytest

from systrace.parser.unwrap import unwrap

LINES = [
    "7 1700000000.000001 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.000010>",
    '7 1700000000.000002 sendto(3, "GET / HTTP/1.1\\r\\n"..., 78, MSG_NOSIGNAL, NULL, 0) = 78 <0.000020>',
    "7 1700000000.000003 poll([{fd=3, events=POLLIN}], 1, 60000 <unfinished ...>",
    "8 1700000000.000004 close(5)          = 0 <0.000001>",
    "7 1700000000.000005 <... poll resumed>) = 1 ([{fd=3, revents=POLLIN}]) <0.000002>",
    "7 1700000000.000006 +++ exited with 0 +++",
]
STAMP = "2024-05-01T10:00:00.123456789Z"


def unwrapped(lines: list[bytes]) -> tuple[list[str], str]:
    """The lines without their ends, and what was taken off."""
    names: list[str] = []
    found = [line.decode("utf-8", "surrogateescape").rstrip("\r\n") for line in unwrap(lines, names.append)[0]]
    return found, "+".join(names)


@pytest.mark.parametrize(
    ("wrapper", "form"),
    [
        ("", "{}"), ("compose", "web-1   | {}"), ("cri", STAMP + " stderr F {}"), ("kubectl", STAMP + " {}"),
        ("kubectl", "[pod/job-x7/main] " + STAMP + " {}"), ("pod", "[pod/job-x7/main] {}"),
        ("syslog", "May  1 10:00:00 host strace[777]: {}"), ("syslog", STAMP + " host job[777]: {}"),
        ("grep", "{n}:{}"), ("grep", "logs/a.strace:{n}:{}"), ("grep-file", "a.strace:{}"), ("numbered", "     {n}\t{}"),
        ("quoted", "> {}"), ("quoted", "> > {}"), ("indented", "            {}"),
        ("terminal", "\x1b[1m{}\x1b[0m"), ("ts", "May 01 10:00:00 {}"), ("kubectl", "2024-05-01 10:00:00 {}"),
        ("syslog", "May 01 10:00:00.123456 host job.sh[777]: {}"), ("syslog", "<13>May  1 10:00:00 host cron: {}"),
        ("numbered", "      {n} {}"), ("numbered", "     {n}  {}"), ("cri", STAMP + " stdout F:tag {}"),
        ("prefixed", "<13>1 " + STAMP + " host job 777 - - {}"), ("prefixed", "[ 1234.00000{n}] host job.sh[777]: {}"),
        ("prefixed", "Wed 2024-05-01 10:00:00 UTC host job.sh[777]: {}"), ("prefixed", "0|app  | {}"),
        ("prefixed", "job-x7 main {}"), ("prefixed", "[2024-05-01T10:00:00.000Z] {}"),
        ("prefixed", "2024-05-01T10:00:00.00000{n}Z 01E {}"), ("prefixed", "10:00:0{n} web.1  | {}"),
        ("prefixed", "web-1    | " + STAMP + " {}"), ("prefixed", "{n}:May  1 10:00:00 host job[777]: {}"),
        ("prefixed", "out.log:web-1  | {}"), ("terminal+compose", "\x1b[36mweb-1  |\x1b[0m {}"),
        ("cat -A", "{}$"),
    ],
)  # fmt: skip
def test_every_wrapper_comes_off(wrapper: str, form: str) -> None:
    """And the log's style says which it was."""
    wrapped = [(form.replace("{n}", str(n)).replace("{}", line) + "\n").encode() for n, line in enumerate(LINES, 1)]
    assert unwrapped(wrapped) == (LINES, wrapper)


@pytest.mark.parametrize(
    "fields",
    [
        {"log": "{}\n", "stream": "stderr", "time": STAMP}, {"stream": "stderr", "attrs": {"a": "b"}, "log": "{}\n"},
        {"@timestamp": STAMP, "message": "{}"}, {"_PID": "777", "MESSAGE": "{}"}, {"level": "info", "msg": "{}"},
    ],
)  # fmt: skip
def test_a_json_object_a_line(fields: dict[str, object]) -> None:
    """The text stands under one of the usual keys."""
    wrapped = [json.dumps(fields).replace("{}", json.dumps(line)[1:-1]).encode() + b"\n" for line in LINES]
    assert unwrapped(wrapped) == (LINES, "json")


def test_journald_gives_odd_bytes_as_numbers() -> None:
    """MESSAGE is a list where it is no UTF-8."""
    wrapped = [json.dumps({"MESSAGE": line}).encode() + b"\n" for line in LINES]
    wrapped.append(json.dumps({"MESSAGE": list(b'7 read(3, "\xe9", 1) = 1')}).encode() + b"\n")
    assert unwrapped(wrapped) == ([*LINES, '7 read(3, "\udce9", 1) = 1'], "json")


def test_lines_of_another_container_do_not_harm() -> None:
    """They lose the prefix, too, and are no records."""
    wrapped = [f"{name} | {line}\n".encode() for line in LINES for name, line in (("a", line), ("b", "LOG: done"))]
    found, wrapper = unwrapped(wrapped)
    assert ([line for line in found if line != "LOG: done"], wrapper) == (LINES, "compose")


def test_a_wrapped_log_may_begin_far_down() -> None:
    """Behind a hundred lines of something else."""
    wrapped = [b"starting\n"] * 100 + [f"{STAMP} stderr F {line}\n".encode() for line in LINES]
    found, wrapper = unwrapped(wrapped)
    assert (found[100:], wrapper) == (LINES, "cri")


@pytest.mark.parametrize(
    "line",
    [
        "the job called foo(1) twice",
        "static int f(int a) = 0;",
        "virtual void g() = 0;",
        "some words, then read(3) and more words",
    ],
)
def test_prose_is_not_cut(line: str) -> None:
    """Words before something that looks like a call are learned only where results follow."""
    assert unwrapped([line.encode() + b"\n"] * 80) == ([line] * 80, "")


def test_docker_s_json_with_parts() -> None:
    """A long line is cut by docker: the parts are one line again."""
    whole = "".join(line + "\n" for line in LINES)
    parts = [whole[:30], whole[30:50], *(whole[50:].splitlines(keepends=True))]
    wrapped = [json.dumps({"log": part, "stream": "stderr", "time": STAMP}).encode() + b"\n" for part in parts]
    assert unwrapped(wrapped) == (LINES, "json")


def test_containerd_s_partial_lines() -> None:
    """`P` marks a part, `F` its end."""
    wrapped = [f"{STAMP} stderr F {line}\n".encode() for line in LINES[:1]]
    wrapped += [f"{STAMP} stderr P {LINES[1][:40]}\n".encode(), f"{STAMP} stderr F {LINES[1][40:]}\n".encode()]
    wrapped += [f"{STAMP} stderr F {line}\n".encode() for line in LINES[2:]]
    assert unwrapped(wrapped) == (LINES, "cri")


def test_nul_holes() -> None:
    """What a crashed machine left in the file."""
    assert unwrapped([b"\0\0\0" + line.encode() + b"\n" for line in LINES]) == (LINES, "terminal")


def test_entities() -> None:
    """Copied out of a page's source."""
    escaped = [line.replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;") for line in LINES]
    assert unwrapped([line.encode() + b"\n" for line in escaped]) == (LINES, "html")
    some = [line.replace("<", "&lt;").replace(">", "&gt;").encode() + b"\n" for line in LINES]
    page = [b"<!DOCTYPE html>\n", b"<html><body><pre>\n", *some, b"</pre></body></html>\n"]
    found, wrapper = unwrapped(page)
    assert ([line for line in found if line], wrapper) == (LINES, "html")


def test_a_terminal_80_columns_wide() -> None:
    """Hard wraps are undone when enough lines were broken."""
    wrapped = [line[at : at + 80].encode() + b"\n" for line in LINES for at in range(0, len(line), 80)]
    assert len(wrapped) > len(LINES)
    found, _ = unwrapped(wrapped * 3)
    assert found == LINES * 3


def test_a_quoted_mail_80_columns_wide() -> None:
    """Both come off, and a record that ends at the edge stays one."""
    edge = "7 1700000000.000009 read(3, " + '"' + "x" * 20 + '"' + ", 20) = 20 <0.0000"
    lines = [*LINES, edge + "1" * (77 - len(edge)) + ">"] * 3
    wrapped = [b"> " + line[at : at + 78].rstrip().encode() + b"\n" for line in lines for at in range(0, len(line), 78)]
    assert unwrapped(wrapped) == (lines, "quoted+78 columns")


@pytest.mark.parametrize("text", [b"", b"\n", b"\xff\xfe\0\n", b'{"log":\n', b'{"log":' * 5000 + b"\n"])
def test_anything_else_passes(text: bytes) -> None:
    """No exception, and the line is still there."""
    found, _ = unwrapped([text] if text else [])
    assert len(found) == (1 if text else 0)
