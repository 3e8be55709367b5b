"""Tests see what users with a UTF-8 locale see, whatever the machine's own is."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
from hypothesis import settings

from systrace.messages.body import Body

os.environ["LC_ALL"] = "C.UTF-8"
# Which tracer is the first choice depends on the machine and its user. What does not name one is tested with the one that
# shows everything and can be killed apart from the job; tests/commands/test_tracer_choice.py is about the choice.
os.environ.setdefault("SYSTRACE_TRACER", "strace")
if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # of a suite that runs in a script's background: tests press Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)
# A busy machine makes any example slow: that is no failure of what is tested.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def make(data: bytes, missing: int = 0, fields: str = "", complete: bool = True) -> Body:
    """A body of these bytes, unknown ones after them; `fields` as in a head: "content-type: a/b"."""
    body = Body("".join(f"\n{line}" for line in fields.split("\n")).encode("latin-1"))
    if data or missing:
        body.add(data, missing)
    body.complete = complete
    return body


@pytest.fixture(name="make", scope="session")
def make_fixture() -> Callable[..., Body]:
    """`make`."""
    return make
