"""A step that was refused in a job that ended with 0: degraded, unless it was only asked, or made good later."""

from __future__ import annotations

import pytest

from systrace.model import Input, Verdict
from systrace.pipeline import analyze
from systrace.rules.examples import FAIL, FINE, asks, came, connects
from systrace.rules.pages import full_trace


def judged(*lines: str) -> Verdict:
    return analyze([Input("log", full_trace("".join(lines)).encode().splitlines(keepends=True))]).verdict


def http(method: str, status: int) -> str:
    ask = asks(f"{method} /v1/rows HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: 0\\r\\n\\r\\n", "1.1")
    return connects("0 <0.01>") + ask + came(f"HTTP/1.1 {status} No|Content-Length: 0", "", "1.2")


@pytest.mark.parametrize(
    ("method", "status", "outcome"),
    [
        ("POST", 500, "degraded"),
        ("PUT", 403, "degraded"),
        ("POST", 201, "healthy"),
        ("GET", 404, "healthy"),
        ("POST", 401, "healthy"),
        ("PUT", 412, "healthy"),  # somebody else was first
        ("POST", 409, "healthy"),
        ("DELETE", 404, "healthy"),  # it is gone already
        ("DELETE", 403, "degraded"),
        ("PUT", 404, "degraded"),
    ],
)
def test_what_was_to_be_stored_was_refused(method: str, status: int, outcome: str) -> None:
    verdict = judged(http(method, status), FINE)
    assert verdict.outcome == outcome
    assert verdict.cause == ("http-error-status" if outcome == "degraded" else "healthy")


def test_a_login_that_was_refused_is_told() -> None:
    said = '9 1.2 recvfrom(3, "-{}\\r\\n", 99, 0, NULL, NULL) = 40 <0.01>\n'
    ask = asks("*2\\r\\n$4\\r\\nLLEN\\r\\n$4\\r\\nwork\\r\\n", "1.1")
    for word, outcome in (("NOAUTH Authentication required.", "degraded"), ("LOADING Redis is loading", "healthy")):
        text = said.format(word).replace("= 40", f"= {len(word) + 3}")
        assert judged(connects("0 <0.01>", 6379), ask, text, FINE).outcome == outcome


def test_a_job_that_failed_is_not_degraded() -> None:
    assert judged(http("POST", 500), FAIL).outcome == "failed"
