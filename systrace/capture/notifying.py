"""`--on-failure CMD`, `--on-stall CMD`: somebody is told, and whatever becomes of that, the job's status stays what it is."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from systrace.capture.answers import Report

LONGEST_S = 60.0  # then it is ended: cron's lock on the job waits for us
GRACE_S = 2.0
PREFIX = "SYSTRACE_"


def notify(
    command: str, report: Report, facts: Mapping[str, str], directory: Path | None, option: str = "--on-failure"
) -> str | None:
    """Run a shell command with the report on its standard input and the facts in its environment.

    What it prints goes to standard error. `SYSTRACE_REPORT` names a file with the report where no fact does; it is in
    `directory`, and goes when the command has ended.

    Returns:
        What went wrong, None when it ended with 0.
    """
    variables = {f"{PREFIX}{name.upper()}": value for name, value in facts.items()}
    path = directory / "report" if directory is not None else None
    try:
        if path is not None and not variables.get(f"{PREFIX}REPORT"):
            with contextlib.suppress(OSError), open(path, "xb", opener=_private) as file:
                file.write(report)
                variables[f"{PREFIX}REPORT"] = str(path)
        complaint = _run(command, report, {**os.environ, **variables})
        return f"{option} {complaint}" if complaint is not None else None
    finally:
        if path is not None:
            with contextlib.suppress(OSError):
                path.unlink()


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)


def _run(command: str, report: Report, variables: Mapping[str, str]) -> str | None:
    try:
        process = subprocess.Popen(
            ["/bin/sh", "-c", command], stdin=subprocess.PIPE, stdout=2, env=variables, start_new_session=True,
            preexec_fn=_listen,
        )  # fmt: skip
    except OSError as error:
        return f"could not be started: {error.strerror}"
    try:
        process.communicate(cast(bytes, report), timeout=LONGEST_S)
    except subprocess.TimeoutExpired:
        _end(process)
        return f"had not ended after {LONGEST_S:.0f} s and was stopped"
    except OSError:  # it does not read
        process.wait()
    status = process.returncode
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with {status}" if status else None


def _listen() -> None:
    """In the new process: signals as usual."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(OSError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
            break
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
