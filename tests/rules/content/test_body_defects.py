"""What is said of bodies: never more than the log shows."""

from __future__ import annotations

import pytest

from systrace.model import Finding, Input
from systrace.pipeline import analyze
from systrace.rules.pages import full_trace

OPEN = '9 1.0 connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.7")}, 16) = 0 <0.01>\n'
FAIL = "9 2.9 +++ exited with 1 +++"


def causes(body: str, size: int, text: str = "", headers: str = "", request: str = "", cut: str = "") -> list[Finding]:
    """Fatal findings of a job that gets one answer, writes a text and fails; `cut` is strace's `...` behind a string."""
    ask = f"GET /v1/rows HTTP/1.1\\r\\nHost: a\\r\\n{request}\\r\\n"
    asked = len(ask.replace("\\r\\n", "12"))
    head = f"HTTP/1.1 200 OK\\r\\n{headers}Content-Length: {size}\\r\\n\\r\\n"
    total = len(head.replace("\\r\\n", "12"))
    lines = OPEN + f'9 1.1 sendto(3, "{ask}", {asked}, 0, NULL, 0) = {asked} <0.0001>\n'
    lines += f'9 1.2 recvfrom(3, "{head}", {total}, 0, NULL, NULL) = {total} <0.001>\n'
    if size:
        lines += f'9 1.3 recvfrom(3, "{body}"{cut}, 65536, 0, NULL, NULL) = {size} <0.001>\n'
    if text:
        lines += f'9 1.4 write(2, "{text}", {len(text)}) = {len(text)} <0.0001>\n'
    found = analyze([Input("content.strace", full_trace(lines + FAIL).encode().splitlines(keepends=True))]).findings
    return [f for f in found if f.severity in ("fatal", "error")]


JSON_TYPE = "Content-Type: application/json\\r\\n"
DECODE = "json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)"


@pytest.mark.parametrize(
    ("cause", "variant", "body", "size", "text", "headers", "request_"),
    [
        ("invalid-json", "truncated", '{\\"a\\": [1, 2', 11, DECODE, JSON_TYPE, ""),
        ("invalid-json", "malformed", "{'a': None}", 11, "parse error: Invalid literal", JSON_TYPE, ""),
        ("empty-body", "status-200", "", 0, DECODE, "", ""),
        ("encoded-body", "gzip", "\\37\\213\\10\\0\\0\\0", 6, DECODE, "Content-Encoding: gzip\\r\\n", ""),
        ("encoded-body", "gzip", "\\37\\213\\10\\0\\0\\0", 6, "invalid start byte", JSON_TYPE, ""),
        ("charset-error", "invalid", "K\\344se", 4, "UnicodeDecodeError: 'utf-8' codec", "Content-Type: text/csv\\r\\n", ""),
        ("charset-error", "bom", "\\357\\273\\277[]", 5, "Unexpected UTF-8 BOM (decode using utf-8-sig)", JSON_TYPE, ""),
        ("error-payload", "json", '{\\"error\\": \\"no quota\\"}', 21, "KeyError: 'rows'", JSON_TYPE, ""),
        ("invalid-payload", "XML", "<a><b></a>", 10, "ParseError: mismatched tag", "Content-Type: text/xml\\r\\n", ""),
        ("invalid-payload", "value", "a;b\\n1;N/A\\n2;3\\n", 14, "could not convert string to float: 'N/A'", "", ""),
        ("parse-crash", "exception", '{\\"rows\\": null}', 14, "TypeError: 'NoneType' object is not iterable", JSON_TYPE, ""),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_body(
    cause: str, variant: str, body: str, size: int, text: str, headers: str, request_: str
) -> None:
    """One finding, with the program's words in it."""
    (finding,) = causes(body, size, text, headers, request_)
    assert (finding.cause, finding.variant) == (cause, variant)
    assert text[:40] in finding.summary


def test_a_client_that_asked_for_gzip_undoes_it() -> None:
    """Its failure for another reason is not blamed on the coding."""
    packed = "\\37\\213\\10\\0\\0\\0\\0\\0\\2\\3\\253\\256\\5\\0C\\277\\246\\243\\2\\0\\0\\0"
    found = causes(packed, 22, "IndexError: list index", "Content-Encoding: gzip\\r\\n", "Accept-Encoding: gzip\\r\\n")
    assert "encoded-body" not in [f.cause for f in found]


def test_bytes_that_the_log_hides_prove_nothing() -> None:
    """`-s` cut the JSON, not the server."""
    found = causes('{\\"rows\\": [1, 2, 3', 4000, "TypeError: unsupported operand", JSON_TYPE, cut="...")
    assert not [f for f in found if f.cause in ("invalid-json", "truncated-response")]


@pytest.mark.parametrize(("value", "accused"), [("12x", True), ("db7x", False)])
def test_a_value_that_never_came_accuses_nobody(value: str, accused: bool) -> None:
    """The program names what it could not convert: it read that elsewhere."""
    words = f"ValueError: invalid literal for int() with base 10: '{value}'"
    found = causes('{\\"rows\\": \\"12x\\"}', 15, words, JSON_TYPE)
    assert ([f.cause for f in found] == ["parse-crash"]) == accused


def test_data_that_is_not_packed_where_the_program_unpacks() -> None:
    (finding,) = causes('{\\"a\\": 1}', 8, "gzip: stdin: not in gzip format", JSON_TYPE)
    assert (finding.cause, finding.variant) == ("invalid-payload", "not-compressed")


def test_a_death_by_timeout_is_no_parse_crash() -> None:
    """Its own words say what it died of."""
    assert not causes('{\\"rows\\": []}', 12, "TimeoutError: timed out", JSON_TYPE)


def test_a_signal_soon_after_the_data_needs_no_words() -> None:
    """A core-dump signal within two seconds of the last byte."""
    lines = OPEN + (
        '9 1.1 sendto(3, "get\\n", 4, 0, NULL, 0) = 4 <0.0001>\n'
        '9 1.3 recvfrom(3, "0123456789", 65536, 0, NULL, NULL) = 10 <0.001>\n'
        "9 1.4 --- SIGSEGV {si_signo=SIGSEGV, si_code=SEGV_MAPERR, si_addr=0x41414141} ---\n"
        "9 1.5 +++ killed by SIGSEGV (core dumped) +++"
    )
    analysis = analyze([Input("content.strace", full_trace(lines).encode().splitlines(keepends=True))])
    finding = analysis.findings[0]
    assert (finding.cause, finding.variant, analysis.verdict.outcome) == ("parse-crash", "signal", "failed")
    assert "0.20 s after its last byte" in finding.summary
