"""`systrace explain`: pages of causes on the terminal."""

import json
import os
import re
import subprocess
import sys

from systrace.reporters.views.overview import NOT_READ
from systrace.reporters.words.glossary import GLOSSARY, TERMS
from systrace.reporters.words.outcomes import WORDS
from systrace.rules.pages import HEADINGS, pages


def explain(*argv: str, columns: int = 80) -> subprocess.CompletedProcess[str]:
    """Run the command on a terminal of this width."""
    environment = os.environ | {"COLUMNS": str(columns)}
    argv = (sys.executable, "-m", "systrace", "explain", *argv)
    return subprocess.run(argv, capture_output=True, text=True, env=environment, check=False)


def test_all_causes_with_one_sentence_each() -> None:
    """Every cause begins a line, in order, then the way to the glossary; no line is wider than the terminal."""
    done = explain(columns=70)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    *causes, empty, more = [line for line in lines if not line.startswith(" ")]
    assert [line.split()[0] for line in causes] == list(pages())
    assert (empty, more) == ("", "What the other words of a report mean: systrace explain terms")
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
    assert far.stderr == (
        "systrace: there is no cause '\\x1b[31mfish': `systrace explain` lists them, `systrace explain terms` the words\n"
    )


def test_the_glossary() -> None:
    """Every word of verdicts, severities and confidences; the terminal's width; each entry short."""
    done = explain("terms", columns=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= 60
    needed = [
        *WORDS.values(),
        NOT_READ,
        *"fatal error warning info confirmed likely possible".split(),
        *"socket peer".split(),
    ]
    assert {*needed, "keepalive", "idle limit", "NAT", "silence", "turn", "embedded tracer", "look"} <= TERMS.keys()
    said = " ".join(done.stdout.split())
    assert all(f"{term}: {' '.join(text.split())}" in said for term, text in TERMS.items())
    assert max(map(len, TERMS.values())) <= 180
    assert sum(map(len, GLOSSARY.values())) == len(TERMS)  # no word has two entries
    assert not [text for text in TERMS.values() if not text.endswith((".", "`"))]


def test_one_word_of_the_glossary() -> None:
    """In any spelling; a cause comes before a word of the same name."""
    assert explain("nat").stdout.startswith("NAT: A router ")
    assert explain("Not Clear").stdout.startswith("NOT CLEAR: ")
    assert explain("answer").stdout == explain("request, answer").stdout
    assert explain("healthy").stdout.startswith("healthy: The log shows no fault")
    assert explain("peeer").stderr == "systrace: there is no cause 'peeer': did you mean peer?\n"


def test_the_glossary_as_json() -> None:
    """All as an array, one as an object."""
    assert json.loads(explain("terms", "--format", "json").stdout) == [
        {"term": term, "meaning": text} for term, text in TERMS.items()
    ]
    assert json.loads(explain("peer", "--format", "json").stdout) == {"term": "peer", "meaning": TERMS["peer"]}


def test_commands_that_the_glossary_names_exist() -> None:
    """As somebody would type them."""
    named = {words.split()[0] for words in re.findall(r"`systrace ([^`]+)`", " ".join(TERMS.values()))}
    assert {"explain", "follow", "keepalive", "attach"} == named
