"""Runs as monitoring sees them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from systrace.telemetry import JobRun

FAILED = JobRun(
    job="nightly",
    host="db1",
    ended_s=1_700_000_500.25,
    duration_s=411.5,
    exit_status=1,
    failed=True,
    outcome="failed",
    cause="idle-timeout",
    variant="waiting",
    confidence="likely",
    peer="203.0.113.10:80",
    headline="python3[9] waited 411 s for an answer from 203.0.113.10:80 that never came.",
    evidence=("line 93: waits to receive; nothing came for 411 s",),
    longest_silence_s=411.4,
)
HOSTILE = 'a"b\\c\nd\x1b[2J\u202e'


@pytest.fixture
def failed() -> JobRun:
    """One that failed."""
    return FAILED


@pytest.fixture
def healthy() -> JobRun:
    """One that went well, and had no connection."""
    return replace(
        FAILED, exit_status=0, failed=False, outcome="healthy", cause="healthy", peer="", longest_silence_s=None
    )


@pytest.fixture
def hostile() -> JobRun:
    """One whose every text is what nobody wants in a file."""
    return replace(FAILED, job=HOSTILE, peer=f"unix:/{HOSTILE}", headline=HOSTILE, evidence=(HOSTILE,), host=HOSTILE)
