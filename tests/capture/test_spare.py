"""Processors that nobody would miss."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from systrace.capture import spare
from systrace.capture.spare import Spare, rationed


class Clock:
    """A machine whose processors do what the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, stat: Path) -> None:
        self.seconds = self.own = 0.0
        self.stat = stat
        self.count(0)
        monkeypatch.setattr(spare, "_STAT", stat)
        monkeypatch.setattr(spare, "rationed", lambda: False)
        monkeypatch.setattr(os, "cpu_count", lambda: 2)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1})
        monkeypatch.setattr(time, "monotonic", lambda: self.seconds)
        monkeypatch.setattr(time, "process_time", lambda: self.own)

    def count(self, idle_ticks: int) -> None:
        self.stat.write_text(f"cpu  900 0 300 {1000 + idle_ticks} 50 0 7 0 0 0\ncpu0 1 2 3\n")


def test_what_was_idle_or_only_ours_is_spare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clock = Clock(monkeypatch, tmp_path / "stat")
    found = Spare()
    assert found.processors() == 0.0
    clock.seconds, clock.own = 1.0, 0.25
    clock.count(round(0.75 * spare._TICKS))
    assert found.processors() == pytest.approx(1.0)
    clock.seconds = 1.1  # too soon for another look
    clock.count(50 * spare._TICKS)
    assert found.processors() == pytest.approx(1.0)


def test_what_cannot_be_told_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clock = Clock(monkeypatch, tmp_path / "stat")
    clock.stat.unlink()
    found = Spare()
    clock.seconds, clock.own = 1.0, 0.9
    assert found.processors() == 0.0


def test_under_a_quota_nothing_is_spare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clock = Clock(monkeypatch, tmp_path / "stat")
    monkeypatch.setattr(spare, "rationed", lambda: True)
    found = Spare()
    clock.seconds = 1.0
    clock.count(2 * spare._TICKS)
    assert found.processors() == 0.0


def test_what_is_idle_elsewhere_is_not_spare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """taskset -c 0: only what the job itself runs on could be taken."""
    clock = Clock(monkeypatch, tmp_path / "stat")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0})
    found = Spare()
    clock.seconds = 1.0
    clock.count(spare._TICKS)
    assert found.processors() == 0.0


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/a/b", {"a/b/cpu.max": "max 100000"}, False),
        ("0::/a/b", {"a/b/cpu.max": "max 100000", "a/cpu.max": "50000 100000"}, True),
        ("0::/", {"cpu.max": "200000 100000"}, True),  # a container's own
        ("4:cpu,cpuacct:/x\n0::/", {"cpu,cpuacct/x/cpu.cfs_quota_us": "150000"}, True),
        ("4:cpu,cpuacct:/x\n0::/", {"cpu,cpuacct/x/cpu.cfs_quota_us": "-1"}, False),
        ("5:cpuset:/x", {"cpuset/x/cpu.cfs_quota_us": "150000"}, False),
        ("nonsense\n0::/../..", {"../cpu.max": "1 2"}, False),
        ("", {}, False),
    ],
)
def test_quotas(membership: str, files: dict[str, str], expected: bool, tmp_path: Path) -> None:
    own, root = tmp_path / "cgroup", tmp_path / "fs" / "root"
    root.mkdir(parents=True)
    own.write_text(membership)
    for name, text in files.items():
        place = root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    assert rationed(own, root) is expected
    assert rationed(tmp_path / "none", root) is False
