"""What something else made good: another address, a later try, a socket of this host instead; and what did not."""

from __future__ import annotations

import pytest

from systrace.model import Finding, Input
from systrace.pipeline import analyze

UNIX = '{sa_family=AF_UNIX, sun_path="/run/db.sock"}, 110'
OTHER_UNIX = '{sa_family=AF_UNIX, sun_path="/tmp/db.sock"}, 110'
LOCAL = '{sa_family=AF_INET, sin_port=htons(5432), sin_addr=inet_addr("127.0.0.1")}, 16'
REMOTE = '{sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr("203.0.113.9")}, 16'
FIRST = '{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("203.0.113.1")}, 16'
SECOND = '{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("203.0.113.2")}, 16'
OTHER_PORT = '{sa_family=AF_INET, sin_port=htons(81), sin_addr=inet_addr("203.0.113.2")}, 16'
GONE, REFUSED = "-1 ENOENT (No such file or directory)", "-1 ECONNREFUSED (Connection refused)"


def first_of(*tries: tuple[str, str], apart_s: float = 0.2, status: int = 0) -> Finding:
    """The finding on the first of these attempts of one process."""
    lines, at = ['7 1700000000.000000 execve("/job", ["job"], 0x1 /* 1 var */) = 0 <0.001>'], 1700000000.1
    for peer, end in tries:
        family = "AF_UNIX" if "AF_UNIX" in peer else "AF_INET"
        lines += [
            f"7 {at:.6f} socket({family}, SOCK_STREAM, 0) = 3 <0.000010>",
            f"7 {at + 0.001:.6f} connect(3, {peer}) = {end} <0.000100>",
            f"7 {at + 0.002:.6f} close(3) = 0 <0.000010>",
        ]
        at += apart_s
    lines += [f"7 {at:.6f} exit_group({status}) = ?", f"7 {at + 0.1:.6f} +++ exited with {status} +++"]
    findings = analyze([Input("log", [line.encode() + b"\n" for line in lines])]).findings
    return min((each for each in findings if each.peer), key=lambda each: each.time_ns or 0)


@pytest.mark.parametrize("apart_s", [0.2, 30.0])
@pytest.mark.parametrize(
    ("tries", "recovered"),
    [
        ([(FIRST, REFUSED), (FIRST, "0")], "retry"),
        ([(FIRST, REFUSED), (SECOND, REFUSED), (FIRST, "0")], "retry"),
        ([(FIRST, REFUSED), (SECOND, "0")], "fallback"),
        ([(FIRST, REFUSED), (OTHER_PORT, "0")], ""),
        ([(UNIX, GONE), (LOCAL, "0")], "fallback"),
        ([(UNIX, GONE), (OTHER_UNIX, "0")], "fallback"),
        ([(UNIX, GONE), (OTHER_UNIX, GONE), (LOCAL, "0")], "fallback"),
        ([(LOCAL, REFUSED), (UNIX, "0")], "fallback"),
        ([(UNIX, GONE), (REMOTE, "0")], ""),  # another service of another host
        ([(UNIX, GONE), (REMOTE, "0"), (LOCAL, "0")], ""),  # something else came between
        ([(REMOTE, REFUSED), (UNIX, "0")], ""),
    ],
)
def test_what_was_made_good(tries: list[tuple[str, str]], recovered: str, apart_s: float) -> None:
    assert first_of(*tries, apart_s=apart_s).recovered == recovered
