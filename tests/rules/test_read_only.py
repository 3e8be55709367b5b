"""Rules read the evidence and never write into it: what one of them finds must not depend on who was asked before."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator

import pytest

from systrace import rules
from systrace.model import Draft, Evidence, Input
from systrace.pipeline import analyze
from systrace.rules import RULES
from systrace.rules.case.index import Case
from systrace.rules.pages import full_trace

KEEPALIVE = (
    '# systrace: {"sysctls": {"net.ipv4.tcp_keepalive_time": %d}}\n'
    "9 1700000000.800000 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.0001>\n"
    "9 1700000000.900000 setsockopt(3, SOL_SOCKET, SO_KEEPALIVE, [1], 4) = 0 <0.01>\n"
    '9 1700000001.000000 connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.7")}, 16) = 0 <0.01>\n'
    '9 1700000001.100000 sendto(3, "GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", 29, 0, NULL, 0) = 29 <0.0001>\n'
    '9 1700000301.200000 recvfrom(3, "HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n", 4096, 0, NULL, NULL) = 38 <0.001>\n'
    "9 1700000400.900000 +++ exited with 0 +++\n"
)
CACHES = {"parsed"}  # of what is read when it is first asked for


def _facts(value: object, path: str, seen: set[int]) -> Iterator[tuple[str, str]]:
    """Everything that is reachable, as text."""
    if value is None or isinstance(value, int | float | str | bytes):
        yield path, repr(value)
    elif id(value) not in seen:
        seen.add(id(value))
        if isinstance(value, dict):
            for key, each in value.items():
                yield from _facts(each, f"{path}[{key!r}]", seen)
        elif isinstance(value, list | tuple | deque):
            yield path, str(len(value))
            for at, each in enumerate(value):
                yield from _facts(each, f"{path}[{at}]", seen)
        elif dataclasses.is_dataclass(value):
            for field in dataclasses.fields(value):
                if field.name in CACHES:
                    continue
                yield from _facts(getattr(value, field.name, None), f"{path}.{field.name}", seen)


def facts(evidence: Evidence) -> dict[str, str]:
    """What rules could change."""
    return dict(_facts(evidence, "evidence", set()))


@pytest.mark.parametrize("cause", sorted(RULES))
def test_no_rule_changes_the_evidence(cause: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before: list[dict[str, str]] = []
    check = rules.check

    def watched(case: Case) -> list[Draft]:
        before.append(facts(case.evidence))
        return check(case)

    monkeypatch.setattr(rules, "check", watched)
    for example in (RULES[cause].fires, RULES[cause].silent):
        evidence = analyze([Input("x", full_trace(example).encode().splitlines(keepends=True))]).evidence
        assert before.pop() == facts(evidence)


@pytest.mark.parametrize(("host", "warned"), [(60, False), (7200, True), (3600, True)])
def test_the_host_s_own_keepalive_time_counts(host: int, warned: bool) -> None:
    """A socket that sets SO_KEEPALIVE alone is probed when its host says, not after the kernel's default."""
    found = analyze([Input("x", (KEEPALIVE % host).encode().splitlines(keepends=True))]).findings
    late = [finding for finding in found if finding.cause == "keepalive-too-late"]
    assert bool(late) == warned
    assert all(f"only after {host} s" in finding.summary for finding in late)
