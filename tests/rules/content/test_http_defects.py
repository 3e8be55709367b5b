"""Status, layer, page and redirect."""

from __future__ import annotations

import pytest

from tests.rules.http_job import HTML, ask, blamed, connect, got, judged, left, wrote


def test_a_client_that_fails_on_the_status_is_told_of_the_status() -> None:
    """`curl --fail`: the same page, and nobody has parsed it; the layer is named."""
    analysis = judged(
        '9 1.0 execve("/usr/bin/curl", ["curl", "-f"], 0x7ffc) = 0 <0.001>',
        connect(9, 1.3), ask(9, 1.4), got(9, 1.5, "502 Bad Gateway", HTML, more="Server: awselb/2.0\\r\\n"),
        wrote(9, 1.6, "curl: (22) The requested URL returned error: 502"), left(9, 1.7, 22),
    )  # fmt: skip
    (finding,) = blamed(analysis)
    assert (finding.cause, finding.variant, finding.confidence) == ("http-error-status", "status-502", "confirmed")
    assert "a load balancer" in finding.summary


@pytest.mark.parametrize(
    ("status", "headers", "layer"),
    [
        ("504 Gateway Time-out", "Server: nginx/1.24.0\\r\\n", "a proxy in front of the application"),
        (
            "503 Service Unavailable",
            "Server: CloudFront\\r\\nX-Cache: Error from cloudfront\\r\\n",
            "a CDN (CloudFront",
        ),
        ("403 Forbidden", "Server: cloudflare\\r\\n", "a CDN (Cloudflare)"),
        ("503 Service Unavailable", "Server: envoy\\r\\n", "a proxy (Server: envoy)"),
        ("500 Internal Server Error", "Server: gunicorn\\r\\n", "the server (gunicorn)"),
    ],
)
def test_the_layer_that_sent_a_status(status: str, headers: str, layer: str) -> None:
    """By its own words in the head."""
    analysis = judged(connect(9, 1.3), ask(9, 1.4), got(9, 1.5, status, "sorry", more=headers), left(9, 1.7, 1))
    (finding,) = blamed(analysis)
    assert f"; sent by {layer}" in finding.summary


def moved(time: float, where: str) -> str:
    """A redirect."""
    return got(9, time, "302 Found", "", more=f"Location: {where}\\r\\n")


def test_a_redirect_to_a_login_page() -> None:
    """The parser's complaint is the effect."""
    page = "<html><form><input type=password></form></html>"
    analysis = judged(
        connect(9, 1.3), ask(9, 1.4), moved(1.5, "/sso/start"), ask(9, 1.6, "/sso/start"), got(9, 1.7, "200 OK", page),
        wrote(9, 1.8, "SyntaxError: Unexpected token < in JSON"), left(9, 1.9, 1),
    )  # fmt: skip
    (finding,) = blamed(analysis)
    assert (finding.cause, finding.variant) == ("redirect-problem", "login")


def test_a_circle_of_redirects() -> None:
    """/a, /b, /a: it ends in a redirect."""
    analysis = judged(
        connect(9, 1.3), ask(9, 1.4, "/a"), moved(1.5, "/b"), ask(9, 1.6, "/b"), moved(1.7, "/a"), ask(9, 1.8, "/a"),
        moved(1.9, "/b"), wrote(9, 2.0, "Maximum (2) redirects followed"), left(9, 2.1, 47),
    )  # fmt: skip
    (finding,) = blamed(analysis)
    assert (finding.cause, finding.variant) == ("redirect-problem", "loop")


def test_a_redirect_that_was_followed_is_not_blamed() -> None:
    """The program stumbles over the data that came in the end."""
    analysis = judged(
        connect(9, 1.3), ask(9, 1.4), moved(1.5, "/v2/rows"), ask(9, 1.6, "/v2/rows"), got(9, 1.7, "200 OK", "[]"),
        wrote(9, 1.8, "IndexError: list index out of range (json)"), left(9, 1.9, 1),
    )  # fmt: skip
    assert "redirect-problem" not in [f.cause for f in blamed(analysis)]


def test_a_redirect_that_nobody_followed() -> None:
    """curl without -L, and a parser behind it."""
    analysis = judged(
        connect(9, 1.3), ask(9, 1.4), moved(1.5, "/v2/rows"), wrote(9, 1.6, "parse error"), left(9, 1.7, 4)
    )
    (finding,) = blamed(analysis)
    assert (finding.cause, finding.variant) == ("redirect-problem", "not-followed")


def test_an_answer_that_ends_early() -> None:
    """Both sizes are named."""
    analysis = judged(
        connect(9, 1.3), ask(9, 1.4), got(9, 1.5, "200 OK", "0123456789", length=500),
        '9 1.6 recvfrom(3, "", 65536, 0, NULL, NULL) = 0 <0.001>', left(9, 1.7, 18),
    )  # fmt: skip
    (finding,) = blamed(analysis)
    assert finding.cause == "truncated-response"
    assert "ended after 10 of 500 bytes" in finding.summary
