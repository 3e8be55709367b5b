"""The classes of calls hold calls that exist, and what belongs together is together."""

from __future__ import annotations

import re

import pytest

from systrace import calls
from systrace.calls import errnos
from systrace.calls.numbers import NAMES, SOCKETCALLS

CLASSES = {name: value for name, value in vars(calls).items() if isinstance(value, frozenset)}
KNOWN = {name for table in NAMES.values() for name in table.values()} | set(SOCKETCALLS.values())
KNOWN |= {"_exit", "clone2", "sigtimedwait"}  # of other machines, and of old strace


@pytest.mark.parametrize("name", CLASSES)
def test_every_call_of_a_class_is_one_of_some_machine(name: str) -> None:
    assert CLASSES[name] - KNOWN == set()
    assert CLASSES[name]


@pytest.mark.parametrize("name", ["LOOPS", "SLEEPS", "FUTEXES", "SIGNALS", "RECEIVES", "NEVER_RESTARTED"])
def test_calls_with_64_bit_times_are_of_the_class_of_their_elders(name: str) -> None:
    young = {f"{call}_time64" for call in CLASSES[name] if call != "io_getevents"} & KNOWN
    assert young <= CLASSES[name]


def test_what_never_waits_is_not_among_what_does() -> None:
    assert not calls.AT_ONCE & calls.BLOCKING
    assert not calls.READS & calls.WRITES


def test_classes_as_regular_expression() -> None:
    assert re.fullmatch(calls.either(calls.ACCEPTS), b"accept4")
    assert re.fullmatch(calls.either(calls.ACCEPTS), b"accept44") is None


def test_errors_have_one_meaning() -> None:
    apart = [errnos.WOULD_BLOCK, errnos.UNDER_WAY, errnos.EXHAUSTED, errnos.BROKEN]
    assert sum(map(len, apart)) == len(frozenset().union(*apart))
