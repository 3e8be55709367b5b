"""The manual pages: fresh, whole, printed by groff without a warning, and in the wheel."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from functools import cache
from importlib.machinery import SourceFileLoader
from importlib.util import find_spec, module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAN = ROOT / "systrace" / "man"
PAGES = sorted(MAN.glob("*.1"))
GROFF = pytest.mark.skipif(
    not shutil.which("groff")
    or not Path("/usr/share/groff").exists()
    or not list(Path("/usr/share/groff").rglob("an.tmac")),
    reason="groff with the man macros (package groff) is not installed",
)


@cache
def generator() -> ModuleType:
    """scripts/generate_docs as a module."""
    loader = SourceFileLoader("generate_docs", str(ROOT / "scripts" / "generate_docs"))
    spec = spec_from_loader("generate_docs", loader)
    assert spec is not None
    module = module_from_spec(spec)
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = written
    return module


def printed(source: str, width: int = 90) -> str:
    """What `man` shows; any warning is an error."""
    words = ["groff", "-man", "-ww", "-Tutf8", f"-rLL={width}n", "-P-c", "-P-b", "-P-u"]
    done = subprocess.run(words, input=source, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


def help_of(*words: str) -> str:
    argv = [sys.executable, "-m", "systrace", *words, "--help"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def commands() -> list[str]:
    return re.findall(r"^  ([a-z]+)  ", help_of().split("Commands:")[1], re.MULTILINE)


def test_there_is_a_page_for_each_command_and_all_are_fresh() -> None:
    made = generator().manual()
    assert set(made) == {"systrace.1", *(f"systrace-{name}.1" for name in commands())}
    assert {path.name: path.read_text() for path in PAGES} == made


def test_a_page_of_a_command_that_is_no_more_is_stale(tmp_path: Path) -> None:
    """--check names it, and without --check it goes; a copy of the project shows it."""
    for name in ("systrace", "scripts", "samples", "README.md"):
        whole = ROOT / name
        copy = tmp_path / name
        shutil.copytree(whole, copy, ignore=shutil.ignore_patterns("__pycache__")) if whole.is_dir() else shutil.copy(
            whole, copy
        )
    old = tmp_path / "systrace" / "man" / "systrace-gone.1"
    old.write_text("x")
    (tmp_path / "systrace" / "man" / "systrace-run.1").write_text("x")
    argv = [sys.executable, str(tmp_path / "scripts" / "generate_docs")]
    done = subprocess.run([*argv, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert (
        "out of date: systrace/man/systrace-gone.1, systrace/man/systrace-run.1; run scripts/generate_docs"
        in done.stderr
    )
    assert old.exists()
    subprocess.run(argv, check=True)
    assert not old.exists()
    assert (tmp_path / "systrace" / "man" / "systrace-run.1").read_text() == (MAN / "systrace-run.1").read_text()


@GROFF
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_says_what_the_help_says(path: Path) -> None:
    """Every word and option of it, unhyphenated, and no date or version that would age."""
    text = printed(path.read_text())
    words = path.stem.split("-")[1:]
    told = help_of(*words).partition("\n\n")[2]  # without the usage line: `python -m systrace`
    for option in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", told):
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", text), option
    for heading in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "SEE ALSO"):
        assert re.search(rf"^{heading}$", text, re.MULTILINE), heading
    about = " ".join(told.split("\n\n")[0].split())
    assert about in " ".join(text.split())
    assert ("EXIT STATUS" in text) == bool(words)
    assert not re.search(r"\b20\d\d-|\b\d+\.\d+\.\d+\b", text)


@GROFF
@pytest.mark.parametrize(
    "text",
    [
        ".SH not a heading",
        "'br no request either",
        r"a \fB backslash \n and \(aq",
        "quotes ' ` \" ^ ~ and - -- minus",
        "dots … and × and →",
        "word .hidden word 'quoted",
    ],
)
def test_any_text_is_printed_as_it_is(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever a line of the source ends."""
    module: Any = generator()
    head = '.TH X 1 "" "x" "y"\n.nh\n.SH NAME\nx \\- y\n.SH TEXT\n.PP\n'
    for width in (8, 20, 100):
        monkeypatch.setattr(module, "_LINE", width)
        lines = module.filled(text)
        shown = printed(head + "\n".join(lines) + "\n.SH END\nz\n")
        assert " ".join(text.split()) in " ".join(shown.split())


@pytest.mark.skipif(find_spec("hatchling") is None, reason="hatchling (the build) is not installed")
def test_the_wheel_has_them_where_man_looks(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(argv, cwd=ROOT, capture_output=True, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        read = {Path(name).name: archive.read(name).decode() for name in names if "/share/man/man1/" in name}
    assert read == generator().manual()
    assert not [name for name in names if name.startswith("systrace/man")]
    assert "systrace/commands/attach.py" in names
    assert "systrace/rules/README.md" in names
