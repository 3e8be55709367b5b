"""Where the reports of `attach` go."""

from __future__ import annotations

from pathlib import Path

import pytest

from systrace.capture.outlets import outlets
from systrace.outputs import RefusedError
from systrace.reporters.choosing import Wanted


def test_each_report_has_its_file(tmp_path: Path) -> None:
    first, second = str(tmp_path / "a.txt"), str(tmp_path / "b.json")
    with outlets(first, [Wanted("json", second)], None) as to:
        to.first.write(b"one")
        [(style, out)] = to.more
        out.write(b"two")
    assert (style, Path(first).read_bytes(), Path(second).read_bytes()) == ("json", b"one", b"two")


@pytest.mark.parametrize(("save", "names"), [(None, ("x", "x")), ("x", ("y", "x")), ("x", ("x", "y"))])
def test_no_two_are_the_same_file(save: str | None, names: tuple[str, str], tmp_path: Path) -> None:
    first, second = (str(tmp_path / name) for name in names)
    recording = None if save is None else str(tmp_path / save)
    with (
        pytest.raises(RefusedError, match="is the same file as --"),
        outlets(first, [Wanted("json", second)], recording),
    ):
        pytest.fail("it was opened")
    assert list(tmp_path.iterdir()) == []
