"""What a log's options hide."""

from __future__ import annotations

import pytest

from systrace.model import Evidence, Health, Input, Source, Style
from systrace.pipeline import analyze
from systrace.rules.case.visibility import network_only

SOCKET = "socket(AF_INET, SOCK_STREAM, 0) = 3"


@pytest.mark.parametrize(
    ("seen", "only"),
    [(set(), False), ({"socket", "connect"}, True), ({"socket", "close"}, False), ({"execve", "sendto"}, True)],
)
def test_one_other_call_shows_that_nothing_was_filtered(seen: set[str], only: bool) -> None:
    """Network calls alone mean -e trace=network."""
    style, health = Style(syscalls=seen), Health(records=9)
    assert network_only(Evidence(Source(["log"], style), health, {}, {}, [], [])) is only
    style.others = True  # a call that no handler is for
    assert not network_only(Evidence(Source(["log"], style), health, {}, {}, [], []))


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        (f"{SOCKET}\nclose(3) = 0\n", ["no time stamps"]),
        (f"7 1700000000.000000 {SOCKET}\n7 1700000000.000001 close(3) = 0\n", ["no durations"]),
        (f"7 1700000000.000000 {SOCKET} <0.000010>\n" * 2, ["-e trace=network"]),
        (f"7 1700000000.000000 {SOCKET} <0.000010>\n", []),
        (f"7 1700000000.000000 {SOCKET} <0.000010>\n7 1700000000.000001 close(3) = 0 <0.000010>\n", []),
    ],
)
def test_the_limits_of_a_log(text: str, hidden: list[str]) -> None:
    """One sentence each, none for what is there."""
    limits = analyze([Input("log", text.encode().splitlines(keepends=True))]).evidence.health.limits
    assert len(limits) == len(hidden)
    assert all(limit.startswith(words) for limit, words in zip(limits, hidden, strict=True))
