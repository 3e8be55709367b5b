"""News of a job whose tracer was killed, and who may take it over."""

from __future__ import annotations

import os

import pytest

from systrace.tracers import heir as module
from systrace.tracers.heir import Heir, permitted
from systrace.tracers.waiting import status_field


def made() -> tuple[Heir, int]:
    """One, and where its guard writes."""
    reader, writer = os.pipe()
    unread, tell = os.pipe()
    os.close(unread)
    return Heir(reader, tell), writer


def test_news_come_in_pieces() -> None:
    one, writer = made()
    for piece, status in ((b"ready \nwords the jo", None), (b"b goes on\nsta", None), (b"tus 143\n", 143)):
        os.write(writer, piece)
        assert one.status() == status
    assert one.words == "the job goes on"
    os.close(writer)
    assert one.status() == -1
    one.close()


def test_a_guard_that_is_dead_is_not_waited_for() -> None:
    """It was killed, or could not be started: the job begins without it."""
    one, writer = made()
    os.close(writer)
    one.guard(os.getpid(), os.getpid())
    assert one.hear() == ""
    one.close()


def test_what_yama_permits(monkeypatch: pytest.MonkeyPatch) -> None:
    capable = int(status_field(os.getpid(), "CapEff") or "0", 16) >> module.CAP_SYS_PTRACE & 1
    for scope, expected in ((0, True), (1, bool(capable)), (2, bool(capable)), (3, False)):
        monkeypatch.setattr(module, "yama", lambda scope=scope: scope)
        assert permitted() is expected
