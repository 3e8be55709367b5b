"""For whom text is laid out: how wide, with colour or not, everything or the answer only."""

from __future__ import annotations

import os
from typing import BinaryIO

from systrace.dataclass import dataclass

PIPED_WIDTH = 100  # columns where there is no terminal and COLUMNS is not set
_NARROWEST, _WIDEST = 40, 500
_CODES = {"bold": "1", "dim": "2", "red": "1;31", "green": "1;32", "yellow": "1;33"}


@dataclass(frozen=True, slots=True)
class Layout:
    """How text reports look."""

    width: int = PIPED_WIDTH
    colour: bool = False
    fitted: bool = False  # table rows are cut to the width: a person looks at a terminal, or COLUMNS is set
    piped: bool = False  # no terminal: a URL stays whole all the same
    everything: bool = False  # --all
    requests: bool = False  # --requests
    raw: bool = False  # --raw: evidence as strace printed it
    utc: bool = False  # --utc
    saved_as: str | None = (
        None  # of a capture under way: the file that the recording will be; "" where it won't be kept
    )

    @staticmethod
    def of(out: BinaryIO, everything: bool = False, requests: bool = False) -> Layout:
        """For a stream: a terminal's own width; else COLUMNS or 100. NO_COLOR and TERM=dumb are honoured."""
        try:
            terminal = os.get_terminal_size(out.fileno()).columns if out.isatty() else 0
            on_terminal = out.isatty()
        except (OSError, ValueError):  # no descriptor (a buffer), or a pipe
            terminal, on_terminal = 0, False
        wanted = os.environ.get("COLUMNS", "")
        asked = int(wanted) if wanted.isascii() and wanted.isdigit() else 0
        width = asked or terminal or PIPED_WIDTH
        colour = on_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"
        fitted = on_terminal or bool(asked)
        return Layout(min(max(width, _NARROWEST), _WIDEST), colour, fitted, not on_terminal, everything, requests)

    def paint(self, text: str, colour: str) -> str:
        """Text in a colour of SGR (ECMA-48); text must be safe already. "" is no colour."""
        return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if self.colour and colour and text else text


PAGE = Layout()
