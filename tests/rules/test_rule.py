"""Where rules stand among each other: data on the rule, and no list of causes anywhere else."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from systrace.model import Input
from systrace.pipeline import analyze
from systrace.rules import RULES

ROOT = Path(__file__).resolve().parents[2]
RULES_FOLDER = ROOT / "systrace" / "rules"
ASKED = (
    '9 1700000001.000000 connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.7")}, 16) = 0 <0.01>\n'
    '9 1700000001.100000 sendto(3, "GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", 29, 0, NULL, 0) = 29 <0.0001>\n'
    '9 1700000001.200000 recvfrom(3, "HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n", 4096, 0, NULL, NULL) = 38 <0.001>\n'
    '9 %d.300000 sendto(3, "GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", 29, 0, NULL, 0) = 29 <0.0001>\n'
    "9 %d.400000 recvfrom(3, 0x55d0, 4096, 0, NULL, NULL) = -1 %s (%s) <3.2>\n"
    "9 %d.900000 +++ exited with 1 +++\n"
)


def verdict(silence: int, errno: str) -> str:
    """Of a job whose kept connection fails so after a silence of so many seconds."""
    at = 1_700_000_001 + silence
    text = ASKED % (at, at, errno, errno, at + 5)
    return analyze([Input("log", text.encode().splitlines(keepends=True))]).verdict.cause


@pytest.mark.parametrize("errno", ["EHOSTUNREACH", "ENETUNREACH", "ECONNREFUSED"])
def test_a_long_silence_loses_no_verdict(errno: str) -> None:
    """A connection that dies so was lost as a verdict after 350 s: two rules each thought that the other had it."""
    assert verdict(100, errno) == verdict(400, errno) == "peer-vanished"


@pytest.mark.parametrize("silence", [100, 400])
def test_a_connection_that_was_aborted_is_told(silence: int) -> None:
    """ECONNABORTED on a kept connection: the same loss."""
    assert verdict(silence, "ECONNABORTED") == "reset-by-peer"


def test_what_says_it_better_is_the_only_one() -> None:
    assert verdict(400, "ECONNRESET") == "idle-timeout"
    assert verdict(100, "ECONNRESET") == "stale-connection"


def test_nobody_is_over_himself_by_way_of_others() -> None:
    """`over` has no circle, and names causes that exist."""

    def below(cause: str, way: tuple[str, ...]) -> None:
        assert cause not in way, f"a circle: {way} {cause}"
        for other in RULES[cause].over:
            below(other, (*way, cause))

    for cause in RULES:
        below(cause, ())


# What content checks find is a defect with the cause that it proves, and what a look finds a draft with its cause; each is
# an engine that several rules share, and that names what it gives to which.
ENGINES = {"content", "look"}


def test_no_cause_is_named_outside_its_own_rule() -> None:
    """A new cause is one new rule: nothing else knows its name."""
    named: list[str] = []
    for path in RULES_FOLDER.rglob("*.py"):
        if path.parent.name in {"causes", *ENGINES}:
            continue
        named += [
            f"{path.relative_to(ROOT)}:{node.lineno} {node.value!r}"
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and node.value in RULES
        ]
    assert not named


def test_the_vocabulary_is_generated_and_loses_no_word() -> None:
    """Programs compare with these words: systrace/rules/causes.txt keeps those that were ever there."""
    words = (RULES_FOLDER / "causes.txt").read_text().split()
    assert set(RULES) | {"healthy", "inconclusive"} == set(words)
    argv = [sys.executable, str(ROOT / "scripts" / "generate_docs"), "--check"]
    assert subprocess.run(argv, capture_output=True, check=False, cwd=ROOT).returncode == 0
