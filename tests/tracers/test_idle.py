"""Idle processors, as the kernel counts them."""

from __future__ import annotations

from pathlib import Path

import pytest

from systrace.tracers import idle


def test_idle_ticks_become_processors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two looks half a second apart: 75 ticks of idling and 25 of waiting for disks are two processors' worth."""
    clock = [100.0, 100.1, 100.5]
    monkeypatch.setattr(idle, "_STAT", tmp_path / "stat")
    monkeypatch.setattr(idle, "_TICKS", 100)
    monkeypatch.setattr("time.monotonic", lambda: clock.pop(0))
    (tmp_path / "stat").write_text("cpu  9 9 9 1000 500 9 9 0 0 0\ncpu0 1 1 1 1 1\n")
    one = idle.Idle()
    (tmp_path / "stat").write_text("cpu  99 9 9 1075 525 9 9 0 0 0\n")
    assert one.processors() == 0  # too early to tell
    assert one.processors() == pytest.approx(2.0)


@pytest.mark.parametrize("raw", [None, b"", b"cpu  1 2 3", b"intr 1 2 3 4 5 6 7"])
def test_without_the_kernels_count_nothing_is_idle(
    raw: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idle, "_STAT", tmp_path / "stat")
    monkeypatch.setattr(idle, "_LOOK_S", 0)
    if raw is not None:
        (tmp_path / "stat").write_bytes(raw)
    assert idle.Idle().processors() == 0


def test_this_machine_has_a_count() -> None:
    assert idle._idle_ticks() > 0
