"""Where an outlet writes: what the user names, but never where the job's own output goes."""

from __future__ import annotations

import contextlib
import os
import stat

from systrace.outputs import Place, RefusedError, by_number, place


def own_place(target: str) -> Place:
    """A file, a device, a pipe, or a descriptor by its number.

    Raises:
        RefusedError: it must not be written, or it is the job's standard input or output.
    """
    where = place(by_number(target))
    if where.kind == "descriptor" and where.descriptor in (0, 1):
        raise RefusedError(
            f"cannot write {target}: it is the job's own standard {('input', 'output')[where.descriptor]}"
        )
    with contextlib.suppress(OSError):
        found = os.fstat(1)
        shared = stat.S_ISCHR(found.st_mode)  # a terminal, /dev/null
        if where.key == (found.st_dev, found.st_ino) and not shared:
            raise RefusedError(f"cannot write {target}: the job's standard output goes there")
    return where
