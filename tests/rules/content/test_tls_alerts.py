"""A fatal alert says which fault it was (RFC 8446 6.2): the others are not offered as causes."""

from __future__ import annotations

import pytest

from systrace.model import Input
from systrace.pipeline import analyze
from systrace.rules import RULES
from systrace.rules.examples import connects
from systrace.rules.pages import full_trace
from tests.rules.case.test_sealed import asked, cause_of, moves, record
from tests.rules.http_job import judged, left

FAILURE = r"\25\3\3\0\2\2("  # handshake_failure, 40


@pytest.mark.parametrize(
    ("code", "first", "of_certificate"),
    [
        (40, "client and server have no TLS version or cipher in common", False),
        (45, "the certificate is expired, or one of its chain", True),
        (48, "it is signed by a CA that this host does not know", True),
        (70, "client and server have no TLS version in common", False),
        (116, "the server wants a client certificate, and none was sent", False),
        (80, "the certificate is expired, self-signed, for another name", True),  # internal_error tells nothing
    ],
)
def test_the_alert_strikes_out_other_causes(code: int, first: str, of_certificate: bool) -> None:
    log = full_trace(RULES["tls-error"].fires)
    assert FAILURE in log
    log = log.replace(FAILURE, rf"\25\3\3\0\2\2\{code:o}")
    finding = analyze([Input("log", log.encode().splitlines(keepends=True))]).findings[0]
    assert f"({code})" in finding.summary
    assert finding.causes[0].startswith(first)
    assert any("certificate;" in remedy for remedy in finding.remedy) == of_certificate


_FRAMES = [
    "\tat java.net.http/jdk.internal.net.http.common.SSLFlowDelegate$Reader.incoming(SSLFlowDelegate.java:266)",
    "    at TLSSocket.socketOnEnd (node:_http_client:526:23)",
]


def _dies(words: str) -> list[str]:
    data = words.encode() + b"\n"
    text = "".join(f"\\{byte:03o}" for byte in data)
    return [f'9 4.2 write(2, "{text}", {len(data)}) = {len(data)} <0.0001>', left(9, 4.3, 1)]


@pytest.mark.parametrize("frame", _FRAMES)
def test_the_names_in_a_stack_trace_are_no_complaint_of_the_tls_library(frame: str) -> None:
    """A request went out, then the peer ended the connection: nobody refused a certificate."""
    end = '9 4.0 recvfrom(3, "", 5, 0, NULL, NULL) = 0 <0.0001>'
    words = f"java.io.IOException: it is closed\n{frame}\nCaused by: java.io.EOFException: EOF reached while reading\n{frame}"
    assert cause_of(judged(*asked(), end, *_dies(words))) != "tls-error"
    refused = f"javax.net.ssl.SSLHandshakeException: Received fatal alert: bad_certificate\n{frame}"
    assert cause_of(judged(*asked(), moves(4.0, record(19)), *_dies(refused))) == "tls-error"


_OLD_FLIGHT = b"\x16\x03\x03\x00\x2a\x02\x00\x00\x26\x03\x03" + b"r" * 32 + b"\x00\xc0\x2f\x00"


@pytest.mark.parametrize("old", [True, False])
def test_alerts_are_hidden_by_the_newest_version_only(old: bool) -> None:
    lines = asked()[:3]
    if old:
        lines = [connects("0 <0.01>", 443).strip(), asked()[1], moves(1.2, _OLD_FLIGHT)]
    analysis = judged(*lines, *_dies("ssl.SSLError: certificate verify failed"))
    assert cause_of(analysis) == "tls-error"
    assert ("alerts are encrypted in this version" in analysis.findings[0].summary) is not old


@pytest.mark.parametrize(
    ("shown", "came", "cause"),
    [
        ((25, 69), (19,), "tls-error"),
        ((25, 69), (250, 250, 19), "reset-by-peer"),  # tickets: the server went on without one
        ((900, 281, 69), (19,), "reset-by-peer"),  # one was shown
    ],
)
def test_a_client_that_has_no_certificate_to_show(shown: tuple[int, ...], came: tuple[int, ...], cause: str) -> None:
    """It says so by an empty list; the server's alert crosses the request, which meets a reset (RFC 8446 4.4.2.4)."""
    reset = (
        moves(1.4, record(141), sent=True).rpartition(" = ")[0] + " = -1 ECONNRESET (Connection reset by peer) <0.001>"
    )
    lines = [*asked()[:3], moves(1.3, b"\x14\x03\x03\x00\x01\x01" + record(*shown), sent=True), reset]
    lines += [moves(1.5, record(size)) for size in came]
    analysis = judged(*lines, *_dies("curl: (55) getpeername() failed with errno 107"))
    assert cause_of(analysis) == cause
    assert ("client certificate" in analysis.findings[0].summary) == (cause == "tls-error")
    assert judged(*lines, left(9, 4.3)).verdict.outcome != "failed"
