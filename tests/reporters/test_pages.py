"""Twenty reports as people see them, whole: at three widths, and where a terminal knows no UTF-8.

After a change of wording: SYSTRACE_WRITE_PAGES=1 pytest tests/reporters/test_pages.py, then read what changed, by eye.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from systrace import words
from systrace.model import Analysis, Input
from systrace.pipeline import analyze
from systrace.reporters.formats.table import render
from systrace.reporters.layout import Layout
from systrace.rules import RULES
from systrace.rules.pages import full_trace
from systrace.words import columns

PAGES = Path(__file__).with_name("pages")
SAMPLES = Path(__file__).parents[2] / "samples"
FROM_SAMPLES = sorted(path.parent.name for path in SAMPLES.glob("*/trace.strace"))
FROM_RULES = [
    "bind-conflict",
    "broken-pipe",
    "charset-error",
    "connect-timeout",
    "dns-error",
    "fd-exhaustion",
    "http-error-status",
    "invalid-json",
    "not-network",
    "read-timeout",
    "reset-by-peer",
    "send-blocked",
    "tls-error",
    "truncated-response",
]
NAMES = [*FROM_SAMPLES, *FROM_RULES]
WIDTHS = (40, 80, 120)


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@cache
def analysed(name: str) -> Analysis:
    """A sample's recording, or the example with which a rule shows what it finds."""
    sample = SAMPLES / name / "trace.strace"
    log = sample.read_bytes() if name in FROM_SAMPLES else full_trace(RULES[name].fires).encode()
    return analyze([Input("job.strace", log.splitlines(keepends=True))])


def page(name: str, width: int) -> str:
    return render(analysed(name), Layout(width, fitted=True))


def pages(name: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """All six, one below the other."""
    parts = []
    for plain in (False, True):
        monkeypatch.setattr(words, "ascii_only", lambda plain=plain: plain)
        for width in WIDTHS:
            title = f"===== {width} columns{', ASCII' if plain else ''}"
            parts.append(f"{title}\n{words.encoded(page(name, width)).decode('ascii' if plain else 'utf-8')}")
    return "\n".join(parts)


@pytest.mark.parametrize("name", NAMES)
def test_the_page_is_the_one_that_was_looked_at(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text, kept = pages(name, monkeypatch), PAGES / f"{name}.txt"
    if os.environ.get("SYSTRACE_WRITE_PAGES"):
        PAGES.mkdir(exist_ok=True)
        kept.write_text(text, "utf-8")
    assert text == kept.read_text("utf-8")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_one_cause_is_one_page(name: str, width: int) -> None:
    """At 80 columns and more at most 40 lines; nothing but a command is wider than the terminal."""
    text = page(name, width)
    steps = {f"  {step.command}" for finding in analysed(name).findings for step in finding.next_steps}
    wide = [line for line in text.splitlines() if columns(line) > width and not line.startswith("  curl ")]
    assert [line for line in wide if line not in steps] == []
    if width >= 80:
        assert text.count("\n") <= 40


def test_there_are_twenty() -> None:
    assert len(NAMES) == 20


@pytest.mark.parametrize("name", ["read-timeout", "tls-error", "refused-postgres"])
def test_a_time_out_a_certificate_and_a_refusal_are_25_lines(name: str) -> None:
    assert page(name, 100).count("\n") <= 25
