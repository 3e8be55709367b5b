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


@pytest.mark.parametrize("full", [0, 1, 2])
def test_one_that_can_not_be_written_takes_no_other_along(
    full: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    names = [str(tmp_path / name) for name in "abc"]
    names[full] = "/dev/full"
    texts = [b"one", b"two", b"three"]
    with pytest.raises(RefusedError, match="cannot write /dev/full: No space left on device"):
        _write(names, texts)
    told = {name: text for name, text in zip(names, texts, strict=True) if name != "/dev/full"}
    assert {name: Path(name).read_bytes() for name in told} == told
    assert capfd.readouterr().err == ""


def _write(names: list[str], texts: list[bytes]) -> None:
    with outlets(names[0], [Wanted("json", name) for name in names[1:]], None) as to:
        to.first.write(texts[0])
        for (_style, out), text in zip(to.more, texts[1:], strict=True):
            out.write(text)


def test_what_goes_wrong_before_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with outlets(str(tmp_path / "a"), [], None) as to:
            to.first.write(b"one")
            raise RefusedError("of somebody else")

    with pytest.raises(RefusedError, match="of somebody else"):
        fail()
    assert list(tmp_path.iterdir()) == []
