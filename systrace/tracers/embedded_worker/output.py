"""Writes the lines, in blocks; a reader that has gone away ends the recording, never the job."""

from __future__ import annotations

import os

_BLOCK = 128  # lines kept back at most; the loop flushes a few times a second besides


def stamp(ns: int) -> str:
    """Nanoseconds as `seconds.microseconds`, for `-ttt` and `-T` alike."""
    if ns < 1_000_000_000:
        return f"0.{ns // 1000:06d}"
    digits = str(ns // 1000)
    return f"{digits[:-6]}.{digits[-6:]}"


class Output:
    """Lines on their way to descriptor `fd`. All text is ASCII: whatever else there was is escaped."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lines: list[str] = []
        self.open = True

    def line(self, text: str) -> None:
        """One line, without its newline."""
        lines = self._lines
        lines.append(text)
        if len(lines) >= _BLOCK:
            self.flush()

    def flush(self) -> None:
        """Write what was kept back."""
        if not self._lines:
            return
        data = memoryview(("\n".join(self._lines) + "\n").encode("ascii", "backslashreplace"))
        self._lines.clear()
        try:
            while data and self.open:
                data = data[os.write(self._fd, data) :]
        except OSError:
            self.close()

    def fileno(self) -> int:
        """The descriptor."""
        return self._fd

    def close(self) -> None:
        """End of file for the reader; later lines are dropped."""
        if self.open:
            self.open = False
            os.close(self._fd)
