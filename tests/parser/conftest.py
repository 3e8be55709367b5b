"""Reading text as the pipeline does, and records written short."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from systrace import compiled
from systrace.model import RETURNED, Event, Health, Input, Record, Style
from systrace.parser import EVERY_NAME, records
from systrace.parser.syscalls import NOTES, SYSCALLS

Read = Callable[..., list[Record]]
Decode = Callable[..., list[Event]]


def as_lines(text: str | bytes) -> list[bytes]:
    """The lines of a log, with their ends; what UTF-8 can't say stands as surrogates."""
    data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    return data.splitlines(keepends=True) if b"\r" not in data else [line + b"\n" for line in data.split(b"\n") if line]


@pytest.fixture
def health() -> Health:
    """Filled by `read`."""
    return Health()


@pytest.fixture
def style() -> Style:
    """Filled by `read`."""
    return Style()


@pytest.fixture(params=[1, 256], ids=["python", "compiled"])
def read(request: pytest.FixtureRequest, health: Health, style: Style) -> Read:
    """Text -> records, without their evidence text: by the Python loop alone, and with the compiled scanner."""
    if request.param > 1 and compiled.scanner() is None:
        pytest.skip("the scanner is not compiled (scripts/build_compiled)")

    def reading(text: str | bytes, tid: int = 0, as_is: bool = False) -> list[Record]:
        found = records([Input("log", as_lines(text), tid)], EVERY_NAME, health, style, as_is, request.param)
        return [replace(record, raw=b"") for record in found]

    return reading


@pytest.fixture
def decode(read: Read) -> Decode:
    """Text -> events."""

    def decoding(text: str | bytes) -> list[Event]:
        handlers = dict(SYSCALLS) | NOTES
        made = (handlers[record.syscall](record) for record in read(text) if record.syscall in handlers)
        return [event for event in made if event is not None]

    return decoding


@pytest.fixture
def record() -> Callable[..., Record]:
    """A record with what is usual left out."""

    def making(
        syscall: str, args: str, retval: int | None = 0, tid: int = 0, lineno: int = 1, time_ns: int | None = None,
        duration_ns: int | None = None, errno: str | None = None, outcome: str = RETURNED, text: str = "",
    ) -> Record:  # fmt: skip
        return Record(
            0, lineno, tid, time_ns, duration_ns, syscall, args.encode("utf-8", "surrogateescape"), retval, errno,
            outcome, b"", text.encode("utf-8", "surrogateescape"),
        )  # fmt: skip

    return making
