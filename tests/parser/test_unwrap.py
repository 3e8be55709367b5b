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
    found = [line.decode("utf-8", "surrogateescape").rstrip("\r\n") for line in unwrap(lines, names.append)]
    return found, "+".join(names)


@pytest.mark.parametrize(
    ("wrapper", "form"),
    [
        ("", "{}"), ("compose", "web-1   | {}"), ("cri", STAMP + " stderr F {}"), ("kubectl", STAMP + " {}"),
        ("kubectl", "[pod/job-x7/main] " + STAMP + " {}"), ("pod", "[pod/job-x7/main] {}"),
        ("syslog", "May  1 10:00:00 host strace[777]: {}"), ("syslog", STAMP + " host job[777]: {}"),
        ("grep", "{n}:{}"), ("grep", "logs/a.strace:{n}:{}"), ("grep-file", "a.strace:{}"), ("numbered", "     {n}\t{}"),
        ("quoted", "> {}"), ("quoted", "> > {}"), ("indented", "            {}"),
        ("terminal", "\x1b[1m{}\x1b[0m"),
    ],
)  # fmt: skip
def test_every_wrapper_comes_off(wrapper: str, form: str) -> None:
    """And the log's style says which it was."""
    wrapped = [(form.replace("{n}", str(n)).replace("{}", line) + "\n").encode() for n, line in enumerate(LINES, 1)]
    assert unwrapped(wrapped) == (LINES, wrapper)


def test_docker_s_json_with_parts() -> None:
    """A long line is cut by docker: the parts are one line again."""
    whole = "".join(line + "\n" for line in LINES)
    parts = [whole[:30], whole[30:50], *(whole[50:].splitlines(keepends=True))]
    wrapped = [json.dumps({"log": part, "stream": "stderr", "time": STAMP}).encode() + b"\n" for part in parts]
    assert unwrapped(wrapped) == (LINES, "docker-json")


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


def test_a_terminal_80_columns_wide() -> None:
    """Hard wraps are undone when enough lines were broken."""
    wrapped = [line[at : at + 80].encode() + b"\n" for line in LINES for at in range(0, len(line), 80)]
    assert len(wrapped) > len(LINES)
    found, _ = unwrapped(wrapped * 3)
    assert found == LINES * 3


@pytest.mark.parametrize("text", [b"", b"\n", b"\xff\xfe\0\n", b'{"log":\n', b'{"log":' * 5000 + b"\n"])
def test_anything_else_passes(text: bytes) -> None:
    """No exception, and the line is still there."""
    found, _ = unwrapped([text] if text else [])
    assert len(found) == (1 if text else 0)
