"""A run and its rows."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from systrace.fleet.course import Done, Plan, read
from systrace.fleet.finding import Shard
from systrace.fleet.parts import SUFFIX, live_parts
from systrace.fleet.tables import TABLES


def rows(out: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in TABLES:
        lines: list[bytes] = []
        for part in live_parts(out):
            lines += gzip.decompress((out / name / f"part-{part}{SUFFIX}").read_bytes()).splitlines()
        found[name] = sorted(line.decode() for line in lines)
    return found


def run(top: Path, out: Path, jobs: int = 1, shard: Shard = Shard(), **more: object) -> Done:  # noqa: B008 (frozen)
    return read(Plan([str(top)], str(out), True, jobs, shard, **more))  # type: ignore[arg-type]


def paths(out: Path, top: Path) -> list[str]:
    """Of all rows, without the folder."""
    return sorted(json.loads(row)["path"].removeprefix(f"{top}/") for row in rows(out)["recordings"])
