"""`run` and `attach` write every report that is asked for, of one reading."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SYSTRACE = [sys.executable, "-m", "systrace"]
REFUSED = "exec 3<>/dev/tcp/127.0.0.1/1"


def test_a_run_has_as_many_reports_as_files(tmp_path: Path) -> None:
    table, ticket, rows = (tmp_path / name for name in ("r.txt", "r.md", "r.ndjson"))
    outputs = [word for path in (table, ticket, rows) for word in ("--output", str(path))]
    done = subprocess.run(
        [*SYSTRACE, "run", *outputs, "--", "bash", "-c", REFUSED], capture_output=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"systrace: " not in done.stderr
    assert table.read_text().startswith("FAILED: ")
    assert ticket.read_text().startswith("## FAILED: ")
    assert [json.loads(line)["row"] for line in rows.read_text().splitlines()][:2] == ["recording", "finding"]
    assert {path.stat().st_mode & 0o777 for path in (table, ticket, rows)} == {0o600}


def test_a_report_that_cannot_be_written_costs_the_others_nothing(tmp_path: Path) -> None:
    rows, nowhere = tmp_path / "r.ndjson", tmp_path / "no" / "r.md"
    words = ["--format", "json", "--output", str(rows), "--format", "markdown", "--output", str(nowhere)]
    done = subprocess.run(
        [*SYSTRACE, "run", *words, "--", "true"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0
    assert "no markdown report is written" in done.stderr
    assert json.loads(rows.read_text())["verdict"]["outcome"] == "healthy"


@pytest.mark.real
def test_attach_too(tmp_path: Path) -> None:
    table, rows = tmp_path / "r.txt", tmp_path / "r.ndjson"
    with subprocess.Popen(["sleep", "60"]) as job:
        for extra in ([], ["--passive"]):
            done = subprocess.run(
                [*SYSTRACE, "attach", str(job.pid), "--for", "1", *extra, "--output", str(table), "--output", str(rows)],
                capture_output=True, text=True, check=False, timeout=60, env={**os.environ},
            )  # fmt: skip
            assert (done.returncode, done.stdout) == (0, ""), done.stderr
            assert "sleep" in table.read_text()
            assert json.loads(rows.read_text().splitlines()[0])["row"] == "recording"
            table.unlink()
            rows.unlink()
        job.kill()
