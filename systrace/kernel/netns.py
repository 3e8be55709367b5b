"""Work inside another process's network namespace, without moving this process there."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
_CLONE_NEWNET = 0x40000000


def is_ours(pid: int) -> bool:
    """Whether `pid` is in our own network namespace. Raises OSError when that may not be known."""
    own, theirs = Path("/proc/self/ns/net").stat(), Path(f"/proc/{pid}/ns/net").stat()
    return (own.st_dev, own.st_ino) == (theirs.st_dev, theirs.st_ino)


def call_in(pid: int, work: Callable[[], T]) -> T:
    """`work()` in the network namespace of `pid`: setns(2) moves one thread, so a short-lived one does it.

    Raises:
        OSError: of `work`, or of setns, which needs CAP_SYS_ADMIN in both namespaces.
    """
    if is_ours(pid):
        return work()
    results: list[T] = []
    errors: list[OSError] = []

    def inside() -> None:
        try:
            enter(pid)
            results.append(work())
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=inside, name="setns", daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def enter(pid: int) -> None:
    """Move this thread, and those that it will start, into the network namespace of `pid`.

    Raises:
        OSError: there is no such process, or CAP_SYS_ADMIN is missing in either namespace.
    """
    fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(fd, _CLONE_NEWNET) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
    finally:
        os.close(fd)
