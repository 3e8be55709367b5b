"""The gallery shows what systrace prints today."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).parents[1]


def test_the_gallery_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, TOP / "scripts" / "make_gallery", "--check"],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert (done.returncode, done.stderr) == (0, "")
