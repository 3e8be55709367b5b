"""The same POST once more after no answer: only where it may have been done twice."""

from __future__ import annotations

import pytest

from systrace.model import Input
from systrace.pipeline import analyze
from tests.serverlogs.test_matching import connection, log

ENDS = [(30, "exit_group(0) = ?"), (30.1, "+++ exited with 0 +++")]


def asks(fd: int, at: float, method: str, body: str, field: str) -> tuple[float, str]:
    text = f"{method} /pay HTTP/1.1\\r\\nHost: a\\r\\n{field}Content-Length: {len(body)}\\r\\n\\r\\n{body}"
    return at, f'sendto({fd}, "{text}", 9999, 0, NULL, 0) = {len(text) - text.count(chr(92))} <0.000010>'


def causes(
    method: str = "POST", bodies: tuple[str, str] = ("a=1", "a=1"), field: str = "", answered: bool = False
) -> set[str]:
    reply = 'recvfrom(3, "HTTP/1.1 204 No\\r\\n\\r\\n", 99, 0, NULL, NULL) = 19 <0.1>'
    steps = [*connection(3, 1), asks(3, 1.1, method, bodies[0], field)]
    steps.append((1.2, reply if answered else "poll([{fd=3, events=POLLIN}], 1, 5000) = 0 (Timeout) <5.005>"))
    steps += [(7, "close(3) = 0 <0.00001>"), *connection(3, 8), asks(3, 8.1, method, bodies[1], field), (8.2, reply)]
    steps += [(9, "close(3) = 0 <0.00001>"), *ENDS]
    analysis = analyze([Input("t", log(*steps).splitlines(keepends=True))])
    return {finding.cause for finding in analysis.findings}


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_what_may_have_been_done_twice(method: str) -> None:
    assert "repeated-request" in causes(method)


@pytest.mark.parametrize(
    "how",
    [
        {"method": "GET"}, {"method": "PUT"}, {"method": "DELETE"}, {"field": "Idempotency-Key: 7\\r\\n"},
        {"bodies": ("a=1", "a=2")}, {"bodies": ("a=1", "a=12")}, {"answered": True},
    ],
)  # fmt: skip
def test_what_was_not(how: dict[str, object]) -> None:
    assert "repeated-request" not in causes(**how)  # type: ignore[arg-type]


def test_a_log_without_receives_shows_no_repetition() -> None:
    """Nobody can tell there whether an answer came."""
    steps = list(connection(3, 1))
    steps += [asks(3, at, "POST", "a=1", "") for at in (2, 12, 22)]
    analysis = analyze([Input("t", log(*steps, *ENDS).splitlines(keepends=True))])
    assert "repeated-request" not in {finding.cause for finding in analysis.findings}
