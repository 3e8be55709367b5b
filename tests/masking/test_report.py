"""What an analysis holds is masked before anybody prints it."""

from __future__ import annotations

from systrace.masking.masks import Masks
from systrace.masking.report import evidence_text, masked
from systrace.model import RETURNED, Finding, Line, Record, Step


def test_every_text_of_a_finding() -> None:
    said = "it said password=abcdefgh"
    steps, lines = [Step(f"curl {said}", said)], [Line("password=abcdefgh", 1, said)]
    finding = Finding("refused", summary=said, causes=[said], remedy=(said,), next_steps=steps, lines=lines)
    shown = masked(finding, Masks())
    assert str(shown).count("abcdefgh") == 1  # the file's name
    assert shown.cause == "refused"


def test_a_secret_that_the_middle_of_a_line_cuts() -> None:
    args = b'3, "' + b"x" * 400 + b"\\r\\nAuthorization: Bearer " + b"SECRET" * 60 + b'", 900, 0, NULL, 0'
    line = b"9 1.0 sendto(" + args + b") = 900 <0.1>"
    record = Record(0, 1, 9, 0, 0, "sendto", args, 900, None, RETURNED, line[:460] + b" ... " + line[-200:])
    assert b"SECRET" in record.raw
    shown = evidence_text(record, Masks())
    assert b"SECRET" not in shown
    assert shown.endswith(b") = 900 <0.1>")
