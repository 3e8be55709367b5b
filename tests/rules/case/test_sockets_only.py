"""Recordings in which only sockets were looked at: what is not in them is no fact."""

from __future__ import annotations

import pytest

from systrace.calls import LOOPS, OPENS, SOCKETS
from systrace.model import ENDED, Input
from systrace.pipeline import analyze, raw_records
from systrace.rules.case.index import Case

HEADER = '# systrace: {"format": 1, "tracer": "embedded", "calls": ["connect"], "plain_files": false, "sockets_only": true}\n'
LINES = (
    '8 1700001001.000000 execve("/bin/jq", ["jq", "."], 0x7f /* 1 var */) = 0 <0.001>\n'
    "8 1700001002.000000 read(0<pipe:[7]>,  <unfinished ...>\n"
    "8 1700001004.000000 <... read resumed>) = ? (not seen) <2.000000>\n"
)


def case(text: str) -> Case:
    return Case(analyze([Input("job.strace", text.encode().splitlines(keepends=True))]).evidence)


def test_no_file_that_was_read_is_no_proof_that_none_was() -> None:
    narrowed, whole = case(HEADER + LINES), case(HEADER.replace(', "sockets_only": true', "") + LINES)
    assert not narrowed.shows(OPENS)
    assert whole.shows(OPENS)
    assert narrowed.shows(SOCKETS)
    assert narrowed.shows(LOOPS)


@pytest.mark.parametrize(("more", "words"), [(', "sockets_only": true', "looks at sockets"), ("", "plain files")])
def test_the_limits_say_so(more: str, words: str) -> None:
    limits = case(HEADER.replace(', "sockets_only": true', more) + LINES).evidence.health.limits
    assert [words in each for each in limits] == [True]


def test_a_wait_whose_end_nobody_saw_is_over() -> None:
    records = raw_records([Input("job.strace", LINES.encode().splitlines(keepends=True))])
    assert [(r.syscall, r.outcome) for r in records if r.syscall == "read"] == [("read", ENDED)]


def test_budgets_are_said_in_numbers() -> None:
    more = ', "sockets_only": true, "budgets": {"stream_bytes": 65536, "opens": 256}'
    (said,) = case(HEADER.replace(', "sockets_only": true', more) + LINES).evidence.health.limits
    assert "the first 65536 bytes" in said
    assert "the first 256 files" in said
