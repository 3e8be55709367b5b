"""A step that was refused in a job that ended with 0: degraded, unless it was only asked, or made good later."""

from __future__ import annotations

import pytest

from systrace.model import Input, Verdict
from systrace.pipeline import analyze
from systrace.rules.examples import FAIL, FINE, asks, came, connects
from systrace.rules.pages import full_trace
from tests.rules import http_job


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


@pytest.mark.parametrize(
    ("words", "later", "outcome"),
    [
        ("curl: (22) The requested URL returned error: 404", "", "degraded"),
        ("", "", "healthy"),  # curl -sf: asked on purpose
        ("curl: (22) The requested URL returned error: 404", "200 OK", "healthy"),  # asked again by another curl
    ],
)
def test_a_step_that_named_its_refusal_and_failed_of_it(words: str, later: str, outcome: str) -> None:
    analysis = http_job.judged(
        '9 1.0 execve("/bin/sh", ["sh", "pull.sh"], 0x7ffc) = 0 <0.001>', http_job.forked(9, 10, 1.1, "curl"),
        http_job.connect(10, 1.3), http_job.ask(10, 1.4), http_job.got(10, 1.5, "404 Not Found", "none"),
        *([http_job.wrote(10, 1.6, words)] if words else []), http_job.left(10, 1.7, 22),
        *(
            [http_job.forked(9, 11, 2.1, "curl"), http_job.connect(11, 2.3), http_job.ask(11, 2.4),
             http_job.got(11, 2.5, later, "rows"), http_job.left(11, 2.6)] if later else []
        ),
        http_job.left(9, 2.9, 0),
    )  # fmt: skip
    assert analysis.verdict.outcome == outcome


POSTGRES = "E\\0\\0\\0004SFATAL\\0C53300\\0Msorry, too many clients already\\0\\0"
WORKS = "R\\0\\0\\0\\10\\0\\0\\0\\0Z\\0\\0\\0\\5I"


@pytest.mark.parametrize(("later", "outcome"), [("", "degraded"), (WORKS, "healthy")])
def test_a_client_that_was_refused_and_failed_in_a_job_that_went_on(later: str, outcome: str) -> None:
    """Unless another one was served: `until psql ...; do sleep 1; done`."""

    def psql(pid: int, at: float, answer: str, size: int, status: int) -> list[str]:
        address = '{sa_family=AF_INET, sin_port=htons(5432), sin_addr=inet_addr("192.0.2.7")}'
        hello = "\\0\\0\\0\\27\\0\\3\\0\\0user\\0app\\0\\0"
        return [
            http_job.forked(9, pid, at, "psql"),
            f"{pid} {at + 0.1:.1f} connect(3, {address}, 16) = 0 <0.001>",
            f'{pid} {at + 0.2:.1f} sendto(3, "{hello}", 19, 0, NULL, 0) = 19 <0.001>',
            f'{pid} {at + 0.3:.1f} recvfrom(3, "{answer}", 9000, 0, NULL, NULL) = {size} <0.001>',
            http_job.left(pid, at + 0.4, status),
        ]

    analysis = http_job.judged(
        '9 1.0 execve("/bin/sh", ["sh", "pull.sh"], 0x7ffc) = 0 <0.001>',
        *psql(10, 1.1, POSTGRES, 53, 2),
        *(psql(11, 2.1, later, 15, 0) if later else []),
        http_job.left(9, 2.9, 0),
    )
    assert analysis.verdict.outcome == outcome


@pytest.mark.parametrize(("again", "outcome"), [("", "degraded"), ("200 OK", "healthy")])
def test_a_part_that_was_taken_for_the_whole(again: str, outcome: str) -> None:
    """`curl -s -o file URL`: curl ended with 18, and nobody looked."""
    later = [http_job.forked(9, 11, 2.1, "curl"), http_job.connect(11, 2.3), http_job.ask(11, 2.4),
             http_job.got(11, 2.5, again, "rows"), http_job.left(11, 2.6)] if again else []  # fmt: skip
    analysis = http_job.judged(
        '9 1.0 execve("/bin/sh", ["sh", "pull.sh"], 0x7ffc) = 0 <0.001>', http_job.forked(9, 10, 1.1, "curl"),
        http_job.connect(10, 1.3), http_job.ask(10, 1.4), http_job.got(10, 1.5, "200 OK", "ro", length=400),
        '10 1.6 recvfrom(3, "", 65536, 0, NULL, NULL) = 0 <0.001>', http_job.left(10, 1.7, 18), *later,
        http_job.left(9, 2.9, 0),
    )  # fmt: skip
    assert analysis.verdict.outcome == outcome
    assert "truncated-response" in {finding.cause for finding in analysis.findings}


@pytest.mark.parametrize(("status", "notes"), [(503, ["http-error-status"]), (404, []), (200, [])])
def test_a_failing_server_is_noted_though_nobody_minded(status: int, notes: list[str]) -> None:
    """`curl -s URL > file`: what it said may have been kept for data. The job is not accused."""
    text = full_trace(http("GET", status) + FINE).encode().splitlines(keepends=True)
    analysis = analyze([Input("log", text)])
    assert (analysis.verdict.outcome, analysis.verdict.cause) == ("healthy", "healthy")
    assert [finding.cause for finding in analysis.findings] == notes
