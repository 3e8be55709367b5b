"""What systrace raises on purpose: each error is one clear line for the user and an exit status."""


class SystraceError(Exception):
    """Anything the user should read as one line; `exit_code` is what the process ends with."""

    exit_code = 2


class InputError(SystraceError):
    """A log cannot be opened or is no strace log at all."""


class CaptureError(SystraceError):
    """Tracing cannot be started: strace missing, permission refused, process gone."""


class UsageError(SystraceError):
    """Options that do not fit together."""


class MissingExtraError(SystraceError):
    """An optional package is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed: pip install 'systrace[{extra}]'")
