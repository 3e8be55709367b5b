"""What a tracer says on its standard error, in memory and of a fixed size: an strace that nobody hears fills no disk."""

from __future__ import annotations

import fcntl
import os

SIZE = 4096  # bytes; what comes after them is lost (memfd_create(2), F_SEAL_GROW: EPERM)


class Complaints:
    """A sealed file without a name; `descriptor` is for the tracer."""

    def __init__(self) -> None:
        """Make it.

        Raises:
            OSError: no descriptor, or no memory.
        """
        self.descriptor = os.memfd_create("complaints", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.descriptor, SIZE)
        fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW)

    def last(self) -> str:
        """The last message, printable, without the tracer's name; empty when it said nothing."""
        data = os.pread(self.descriptor, SIZE, 0)
        whole = data.rstrip(b"\0") if data.endswith(b"\0") else data.rpartition(b"\n")[0] or data
        lines = whole.decode("utf-8", "replace").splitlines()
        said = [line.split("strace: ", 1)[-1].strip() for line in lines if line.strip()]
        return "".join(c if c.isprintable() else "?" for c in said[-1])[:200] if said else ""

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.descriptor)
