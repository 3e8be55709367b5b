"""The JSON Schemas beside the code are those of the code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator, ValidationError

from systrace.reporters.shapes.schema import SCHEMAS, schema

ROOT = Path(__file__).parents[2]


def test_the_files_are_fresh() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "generate_schema", "--check"],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_one(name: str) -> None:
    Draft202012Validator.check_schema(schema(name))


def test_a_schema_refuses_what_is_wrong() -> None:
    validator = Draft202012Validator(schema("events"))
    call = {
        "line": 1, "tid": None, "time": 1.5, "syscall": "close", "fd": 3, "retval": 0, "errno": None, "duration": None,
        "peer": None, "args": "3", "outcome": "returned",
    }  # fmt: skip
    validator.validate(call)
    for wrong in ({**call, "outcome": "lost"}, {**call, "fd": "3"}, {k: v for k, v in call.items() if k != "peer"}):
        with pytest.raises(ValidationError):
            validator.validate(wrong)
