"""`systrace explain`: pages of causes on the terminal."""

import os
import subprocess
import sys

from systrace.rules.pages import HEADINGS, pages


def explain(*argv: str, columns: int = 80) -> subprocess.CompletedProcess[str]:
    """Run the command on a terminal of this width."""
    environment = os.environ | {"COLUMNS": str(columns)}
    argv = (sys.executable, "-m", "systrace", "explain", *argv)
    return subprocess.run(argv, capture_output=True, text=True, env=environment, check=False)


def test_all_causes_with_one_sentence_each() -> None:
    """Every cause begins a line, in order, and no line is wider than the terminal."""
    done = explain(columns=70)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == list(pages())
    assert max(map(len, lines)) <= 70


def test_one_page() -> None:
    """The sentence, then each heading with its text."""
    done = explain("Hung-Read")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("hung-read: ")
    assert [line for line in done.stdout.splitlines() if line in HEADINGS] == list(HEADINGS)
    said = " ".join(done.stdout.split())
    assert all(" ".join(text.split()) in said for text in pages()["hung-read"].sections.values())


def test_words_that_only_verdicts_use_are_explained_too() -> None:
    """healthy and inconclusive have no rule."""
    assert "no finding is of severity error" in explain("healthy").stdout
    assert "record again with systrace run" in " ".join(explain("inconclusive").stdout.split())


def test_an_unknown_cause_is_one_line_and_status_2() -> None:
    """With the nearest name where there is one, and nothing that a terminal would obey."""
    near, far = explain("read-timeot"), explain("\x1b[31mfish")
    assert (near.returncode, near.stdout) == (2, "")
    assert near.stderr == "systrace: there is no cause 'read-timeot': did you mean read-timeout?\n"
    assert (far.returncode, far.stdout) == (2, "")
    assert far.stderr == "systrace: there is no cause '\\x1b[31mfish': `systrace explain` lists all\n"
