"""Width and colour: of the terminal, of COLUMNS, of nobody."""

from __future__ import annotations

import fcntl
import io
import os
import struct
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from systrace.reporters.layout import Layout


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[BinaryIO]:
    """A terminal of 132 columns."""
    for name in ("COLUMNS", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    controller, worker = os.openpty()
    fcntl.ioctl(worker, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 132, 0, 0))
    with os.fdopen(worker, "wb", buffering=0) as out:
        yield out
    os.close(controller)


def test_a_terminal(terminal: BinaryIO) -> None:
    assert Layout.of(terminal) == Layout(132, colour=True, fitted=True)


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_no_colour_where_none_is_wanted(
    terminal: BinaryIO, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    layout = Layout.of(terminal)
    assert not layout.colour
    assert layout.paint("x", "red") == "x"


def test_a_buffer_and_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert Layout.of(io.BytesIO()) == Layout(100, piped=True)
    with (tmp_path / "out").open("wb") as out:
        assert Layout.of(out, everything=True) == Layout(100, piped=True, everything=True)


@pytest.mark.parametrize(("value", "width"), [("120", 120), ("0", 100), ("wide", 100), ("7", 40), ("", 100)])
def test_columns_from_the_environment(monkeypatch: pytest.MonkeyPatch, value: str, width: int) -> None:
    monkeypatch.setenv("COLUMNS", value)
    assert Layout.of(io.BytesIO()).width == width
