"""Text -> tracker, as the pipeline feeds it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from systrace.model import Health, Input, Style
from systrace.parser import records
from systrace.parser.syscalls import NOTES, SYSCALLS, wanted_names
from systrace.streams import Tracker

Follow = Callable[[str], Tracker]
START = 1_700_000_000


@pytest.fixture
def follow() -> Follow:
    """Lines `TID SECONDS CALL` -> the tracker after all of them; seconds count from an arbitrary start."""

    def following(text: str) -> Tracker:
        tracker = Tracker()
        handlers = dict(SYSCALLS) | NOTES
        lines = []
        for line in text.strip().splitlines():
            tid, seconds, rest = line.strip().split(" ", 2)
            lines.append(f"{tid} {START + float(seconds):.6f} {rest}\n".encode())
        for record in records([Input("log", lines)], wanted_names(), Health(), Style()):
            event = handlers[record.syscall](record)
            if event is not None:
                tracker.feed(event)
        tracker.finish()
        return tracker

    return following
