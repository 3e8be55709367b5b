"""Programs of the jobs that have to be compiled: once for all workers of a run."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCES = Path(__file__).parent / "sources"
_GCC = ("gcc", "-O1", "-pthread", str(SOURCES / "calls.c"))
PROGRAMS: dict[str, tuple[str, tuple[str, ...]]] = {  # word of a command -> file, how it is made
    "./calls": ("calls", (*_GCC, "-o", "calls")),
    "./calls-static": ("calls-static", (*_GCC, "-static", "-o", "calls-static")),
    "./calls-i386": ("calls-i386", (*_GCC, "-m32", "-static", "-o", "calls-i386")),
    "./calls-suid": ("calls-suid", (*_GCC, "-o", "calls-suid")),
    "./fetch": ("fetch", ("go", "build", "-o", "fetch", str(SOURCES / "fetch.go"))),
    "Fetch": ("Fetch.class", ("javac", "-d", ".", str(SOURCES / "Fetch.java"))),
}


def provide(command: list[str], folder: Path, shared: Path) -> None:
    """Put the programs that the command names into the job's folder; skips the test where one can't be made."""
    for word in command:
        if word in PROGRAMS:
            name, how = PROGRAMS[word]
            made = _made(name, how, shared)
            shutil.copy(made, folder / name)
            if name.endswith("suid"):
                (folder / name).chmod(0o4755)


def _made(name: str, how: tuple[str, ...], shared: Path) -> Path:
    made = shared / name
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of several workers one compiles
        if not made.exists():
            if shutil.which(how[0]) is None:
                pytest.skip(f"{how[0]} is not installed")
            environment = {**os.environ, "CGO_ENABLED": "0"}  # Go's own resolver, no shared library
            done = subprocess.run(how, cwd=shared, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"{name} can't be compiled: {done.stderr[-300:]}")
    return made
