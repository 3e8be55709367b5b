"""Snapshot -> what it waits for, in plain words, most important first."""

from __future__ import annotations

from dataclasses import dataclass

from systrace.kernel.snapshot import Snapshot
from systrace.model import Finding


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The answer: one line for people in a hurry, and the findings it rests on (never empty)."""

    headline: str
    findings: tuple[Finding, ...]


def diagnose(snapshot: Snapshot) -> Diagnosis:
    """Say what every thread of the tree waits for; `findings[0]` is what explains the hang."""
    raise NotImplementedError


def interrupted_by_attach(snapshot: Snapshot) -> list[str]:
    """The blocked calls that attaching a tracer ends with EINTR, one sentence each; empty when none."""
    raise NotImplementedError
