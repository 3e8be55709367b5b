"""No secret of any kind is in any output; the recording itself keeps them."""

from __future__ import annotations

import io
import re

import pytest

from systrace.capture.concluding import Wishes, conclude, watch
from systrace.capture.live import words
from systrace.errors import UsageError
from systrace.masking.calls import CallMasks
from systrace.masking.masks import Masks
from systrace.masking.recording import Redaction
from systrace.model import Analysis, Event, Input, Keep, Transcript
from systrace.pipeline import analyze, raw_records
from systrace.reporters import REPORTERS
from systrace.reporters.layout import Layout
from systrace.reporters.views.calls import write_calls
from systrace.reporters.views.follow import follow
from systrace.reporters.views.request_table import write_requests
from systrace.reporters.views.timeline import timeline
from tests.masking.planted import PLANTS, planted

FULL = Layout(400, everything=True, requests=True)
SOCKETS = range(1, len(PLANTS.sent) + 1)


def analysed(log: str, **keep: object) -> Analysis:
    return analyze([Input("job.strace", log.encode().splitlines(keepends=True))], keep=Keep(**keep))  # type: ignore[arg-type]


def found(output: bytes) -> list[str]:
    """The secrets in it; a few bytes of one may be left where a dump breaks its rows."""
    text = output.decode("utf-8", "replace")
    return [secret for secret in PLANTS.secrets if secret in text]


def test_there_are_enough() -> None:
    log = planted()
    assert len(set(PLANTS.secrets)) >= 80
    assert len(found(log.encode())) >= 80


@pytest.mark.parametrize("style", list(REPORTERS))
def test_no_report_has_one(style: str) -> None:
    out = io.BytesIO()
    REPORTERS[style].write(analysed(planted()), out, FULL)
    assert not found(out.getvalue())


@pytest.mark.parametrize("failing", range(0, len(PLANTS.sent), 4))
@pytest.mark.parametrize("style", list(REPORTERS))
def test_no_report_of_a_refused_login_has_one(style: str, failing: int) -> None:
    """Its evidence is the login, and the answer that repeats the secret; as `run` writes it, and --on-failure gets it."""
    lines = iter(planted(failing).encode().splitlines(keepends=True))
    assert not found(bytes(conclude("job.strace", lines, Wishes(style, FULL))))


def test_secrets_can_be_shown() -> None:
    out = io.BytesIO()
    REPORTERS["json"].write(analysed(planted(), secrets=True), out, FULL)
    assert len(found(out.getvalue())) > 15


def test_no_event_has_one() -> None:
    out = io.BytesIO()
    lines = planted(len(PLANTS.sent) - 1).encode().splitlines(keepends=True)
    write_calls(raw_records([Input("job.strace", lines)]), out)
    assert not found(out.getvalue())
    write_calls(raw_records([Input("job.strace", lines)]), out, masks=Masks(shown=True))
    assert len(found(out.getvalue())) > 80


def test_no_socket_call_by_call_has_one() -> None:
    for number in SOCKETS:
        analysis, out = analysed(planted(number - 1), calls_of=f"S{number}"), io.BytesIO()
        timeline(analysis, f"S{number}", out, Layout(400))
        assert not found(out.getvalue()), number


@pytest.mark.parametrize("hexdump", [False, True])
def test_no_conversation_has_one(hexdump: bool) -> None:
    for number in SOCKETS:
        transcript, out = Transcript(f"S{number}"), io.BytesIO()
        analysis = analysed(planted(), transcript=transcript)
        try:
            follow(analysis, transcript, out, hexdump=hexdump, layout=Layout(400))
        except UsageError:
            continue
        text = out.getvalue()
        if hexdump:  # the characters at the right of the rows, in one
            text = b"".join(line.split(b"|", 1)[1].rstrip(b"|") for line in text.splitlines() if b"|" in line)
        assert not found(text), number


@pytest.mark.parametrize("style", ["table", "json"])
def test_no_request_has_one(style: str) -> None:
    out = io.BytesIO()
    write_requests(analysed(planted(), requests=True), out, style, "")
    assert not found(out.getvalue())
    assert b"api.example" in out.getvalue()


def test_no_live_line_has_one() -> None:
    said: list[str] = []
    masks = CallMasks(Masks())

    def see(event: Event) -> None:
        said.append(words(event, masks))

    watch(iter(planted().encode().splitlines()), see)
    assert len(said) > 100
    assert not found("\n".join(said).encode())


HEADER = [
    b'9 1.0 write(3, "GET / HTTP/1.1\\r\\nX-Api-Key: abcd", 30) = 30\n',
    b'9 1.1 write(3, "efgh12345678\\r\\n\\r\\n", 16) = 16\n',
]
JSON = [
    b'9 1.0 write(3, "{\\"password\\": \\"abcd", 17) = 17\n',
    b'9 1.1 write(3, "efgh12345678\\", \\"a\\": 1}", 22) = 22\n',
]


@pytest.mark.parametrize("lines", [HEADER, JSON])
def test_a_secret_that_two_calls_carry_is_masked_in_both(lines: list[bytes]) -> None:
    masked = b"".join(Redaction().redacted(lines))
    assert b"abcd" not in masked
    assert b"efgh12345678" not in masked
    assert len(masked) == len(b"".join(lines))


def test_what_ends_with_its_call_takes_nothing_from_the_next() -> None:
    body = b'9 1.0 write(3, "POST / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\ntoken=abcdefgh", 42) = 42\n'
    after = b'9 1.1 write(3, "GET /other HTTP/1.1\\r\\n\\r\\n", 23) = 23\n'
    first, second = Redaction().redacted([body, after])
    assert b"abcdefgh" not in first
    assert second == after


def test_strings_in_hexadecimal_hide_nothing_from_the_masker() -> None:
    """strace -xx spells letters, too."""
    request = b"POST / HTTP/1.1\r\nAuthorization: Bearer sk-live-0123456789\r\n\r\npassword=hunter2hunter2&user=bob1"
    spelled = "".join(f"\\x{byte:02x}" for byte in request)
    line = f'9 1.0 write(3, "{spelled}", {len(request)}) = {len(request)}\n'.encode()
    masked = next(Redaction().redacted([line]))
    plain = re.sub(rb"\\x(..)", lambda found: bytes((int(found[1], 16),)), masked)
    assert b"user=bob1" in plain
    assert b"sk-live-0123456789" not in plain
    assert b"hunter2hunter2" not in plain
