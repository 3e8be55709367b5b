"""A fatal alert says which fault it was (RFC 8446 6.2): the others are not offered as causes."""

from __future__ import annotations

import pytest

from systrace.model import Input
from systrace.pipeline import analyze
from systrace.rules import RULES
from systrace.rules.pages import full_trace

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
