"""Trace a job with the real strace, inside a lab's client or anywhere."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab.network import Namespace

CALLS = (
    "trace=%network,read,write,readv,writev,close,dup,dup2,dup3,fcntl,ioctl,poll,ppoll,select,pselect6,epoll_wait,"
    "epoll_pwait,epoll_ctl,epoll_create1,pipe2,alarm,setitimer,nanosleep,clock_nanosleep,sendfile,flock,%process"
)
FULL = ("-f", "-tt", "-T", "-yy", "-s", "4096", "-e", CALLS)
ARTICLE = ("-f", "-e", "trace=network", "-s", "65535")  # the command line that people copy
ENVIRONMENT = {  # of every job, so that traces are alike on every machine
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/srv",
    "SHELL": "/bin/sh",  # else bash reads /etc/passwd, which is nobody's business
    "LANG": "C.UTF-8",
}
_IN_SRV = 'mount --bind "$1" /srv && cd /srv && shift && exec "$@"'  # ip-netns(8) gave the job its own mount namespace
LIMIT = 60.0  # seconds: no job of a test takes longer, unless something is wrong


@dataclass(frozen=True, slots=True)
class Recording:
    """A trace and how its job ended."""

    path: Path
    status: int  # exit status, negative for a signal; of a job that was ended: as that left it
    output: str

    @property
    def text(self) -> str:
        """The log."""
        return self.path.read_text(errors="replace")


def record(
    namespace: Namespace,
    command: Sequence[str],
    path: Path,
    *,
    options: Sequence[str] = FULL,
    until: Callable[[str], bool] | None = None,
    limit: float = LIMIT,
    folder: Path | None = None,
) -> Recording:
    """Run `command` in `namespace` under strace, with the log in `path`.

    With `until` the job is ended by SIGTERM, as a scheduler would, as soon as the log so far satisfies it. With
    `folder` the job runs in it, and sees it as /srv. Raises TimeoutError after `limit` seconds. Nothing of the job is
    left behind.
    """
    argv = ["strace", *options, "-o", str(path), *command]
    if folder is not None:
        argv = ["sh", "-c", _IN_SRV, "sh", str(folder), *argv]
    job = subprocess.Popen(
        namespace.command(*argv),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env=ENVIRONMENT,
    )
    try:
        if until is not None:
            await_log(path, until, limit)
            for pid in descendants(job.pid):
                os.kill(pid, signal.SIGTERM)
        output, _ = job.communicate(timeout=limit)
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"{' '.join(command)} did not end within {limit} s") from error
    finally:
        try:
            os.killpg(job.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it has ended, as it should
        job.wait()
    return Recording(path, job.returncode, output.decode(errors="replace"))


def await_log(path: Path, condition: Callable[[str], bool], limit: float) -> None:
    """Return once the log satisfies `condition`. Raises TimeoutError."""
    deadline = time.monotonic() + limit
    while not (path.exists() and condition(path.read_text(errors="replace"))):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path} never showed what was waited for")
        time.sleep(0.05)


def descendants(pid: int) -> list[int]:
    """All children of a process and theirs, the oldest first (proc_pid_task_children(5))."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


def python(source: str) -> list[str]:
    """The command line that runs `source`, without the modules of site and the user's settings."""
    return [shutil.which("python3", path="/usr/bin:/bin") or sys.executable, "-I", "-S", "-c", source]
