"""Jobs under `systrace run`, and how to see that nothing happened to them or to what was there before."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SYSTRACE = [sys.executable, "-m", "systrace"]
# CAP_BPF, CAP_PERFMON: what follows has only the tracers that need ptrace(2).
WITHOUT_EBPF = ["setpriv", "--bounding-set=-cap_39,-cap_38,-sys_admin"] if os.geteuid() == 0 else []
RUN = [*SYSTRACE, "run"]
TRACERS = ("strace", "embedded")
STATUS = 7
SCRIPT = f'echo out; echo err >&2; read word; echo "$word"; exit {STATUS}'
OPTIONS = ("--save", "--report", "--live")
INSTEAD = {
    "--save": "nothing is saved",
    "--report": "the report goes to standard error",
    "--live": "no events are shown",
}
JOB = ["--", "sh", "-c", SCRIPT]

Done = subprocess.CompletedProcess[bytes]
Things = dict[str, tuple[object, ...]]


def run(*words: str | Path, **more: object) -> Done:
    """Run systrace to its end."""
    settings: dict[str, object] = {"capture_output": True, "timeout": 60, "check": False, **more}
    return subprocess.run([*RUN, *words], **settings)  # type: ignore[call-overload,no-any-return]


def python(code: str) -> list[str]:
    """A job in Python."""
    return ["--", sys.executable, "-I", "-S", "-c", code]


def job(*options: str | Path, **more: object) -> Done:
    """The job under `run` with these options, for the report that of a healthy job is left out."""
    return run("--quiet-if-healthy", *options, *JOB, **{"input": b"word\n", **more})


def unharmed(done: Done, status: int = STATUS, out: bytes = b"out\nword\n") -> list[str]:
    """Check that output and status are the job's own; what systrace has said about itself."""
    lines = done.stderr.split(b"\n")
    assert (done.returncode, done.stdout) == (status, out), done.stderr.decode()
    assert lines.count(b"err") == 1
    assert b"Traceback" not in done.stderr
    return [line.decode().removeprefix("systrace: ") for line in lines if line.startswith(b"systrace: ")]


def things(*tops: Path, but: Iterable[Path] = ()) -> Things:
    """All that is below some directories: kind, mode, owner, device number, size, times, content or target."""
    left_out = set(but)
    found: Things = {}
    for top in tops:
        for path in [top, *sorted(top.rglob("*"))]:
            if path in left_out:
                continue
            status = path.lstat()
            what: object = None
            if stat.S_ISREG(status.st_mode):
                what = path.read_bytes()
            elif stat.S_ISLNK(status.st_mode):
                what = os.readlink(path)  # noqa: PTH115 (a string)
            entry = (status.st_mode, status.st_uid, status.st_gid, status.st_rdev, status.st_ino, what)
            changed = (status.st_mtime_ns,) if isinstance(what, bytes) else ()
            found[str(path)] = (*entry, *changed)
    return found


def parsed(path: Path, style: str = "json") -> str:
    """The report of a recording."""
    words = [*SYSTRACE, "parse", "--format", style, str(path)]
    done = subprocess.run(words, capture_output=True, check=False, timeout=60)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout.decode()


def environment(**more: str) -> Mapping[str, str]:
    """Ours without what sets systrace's defaults, and more."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SYSTRACE_")} | more
