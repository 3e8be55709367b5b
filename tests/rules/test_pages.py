"""The pages of causes: read from docstrings, and the catalogue made of them."""

import subprocess
import sys
from pathlib import Path

from systrace.rules.pages import HEADINGS, full_trace, page, pages

ROOT = Path(__file__).resolve().parents[2]


def test_a_docstring_becomes_a_sentence_and_sections() -> None:
    """Lines are joined; a colon inside a text opens no section; what nobody wrote is not there."""
    text = """It broke:
    in two.

    What it is: a break,
        and then: silence.
    Note: still the same section.
    Source: none
    """
    found = page("broken", text)
    assert found.summary == "It broke: in two."
    assert found.sections == {
        "What it is": "a break, and then: silence. Note: still the same section.",
        "Source": "none",
    }


def test_every_page_is_whole() -> None:
    """Each cause has its sentence and all headings, in their order; verdicts without a rule too."""
    known = pages()
    assert list(known) == sorted(known)
    assert {"healthy", "inconclusive", "read-timeout"} <= set(known)
    incomplete = {name: each for name, each in known.items() if tuple(each.sections) != HEADINGS or not each.summary}
    assert not incomplete
    assert not [name for name, each in known.items() if not all(each.sections.values())]


def test_the_catalogue_is_fresh() -> None:
    """systrace/rules/README.md is what scripts/generate_docs would write."""
    argv = [sys.executable, str(ROOT / "scripts" / "generate_docs"), "--check"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_example_in_short_is_written_out_as_strace_prints() -> None:
    """Clock and duration get all their digits; times in arguments and results stay."""
    short = "9 1.25 poll([{fd=3, events=POLLIN}], 1, 5000) = 0 (Timeout) <5.001>\n10 6.3 +++ exited with 1 +++"
    assert full_trace(short) == (
        "9 1700000001.250000 poll([{fd=3, events=POLLIN}], 1, 5000) = 0 (Timeout) <5.001000>\n"
        "10 1700000006.300000 +++ exited with 1 +++\n"
    )
