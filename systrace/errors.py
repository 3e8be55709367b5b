"""What systrace raises on purpose: each error is one clear line for the user and an exit status."""

from __future__ import annotations

import errno
import os


class SystraceError(Exception):
    """Anything the user should read as one line; `exit_code` is what the process ends with."""

    exit_code = 2


class InputError(SystraceError):
    """A log cannot be opened or is no strace log at all."""


class TransientError(InputError):
    """It cannot be read now, for no fault of its bytes: the file went, the disk or network fails, a package is missing."""


class CaptureError(SystraceError):
    """Tracing cannot be started: strace missing, permission refused, process gone."""


class UnfitError(CaptureError):
    """This tracer cannot work on this machine, as was found out by trying; another one may."""


class UsageError(SystraceError):
    """Options that do not fit together."""


class CommandError(UsageError):
    """The job's command can't be executed: status 127 where there is none, else 126, as env(1) and nice(1) have it."""

    def __init__(self, command: str, said: int | str) -> None:
        text = said if isinstance(said, str) else os.strerror(said)
        super().__init__(f"{command}: {text}")
        self.exit_code = 127 if said in (errno.ENOENT, errno.ENOTDIR) or isinstance(said, str) else 126


class MissingExtraError(SystraceError):
    """An optional package is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed: pip install 'systrace[{extra}]'")
