"""The compiled scanner and the Python loop make the same of every line, and whoever wants Python alone gets it."""

from __future__ import annotations

import io
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from systrace import compiled
from systrace.model import Health, Input, Record, Style
from systrace.parser import EVERY_NAME, records
from systrace.parser.files import Files
from systrace.parser.syscalls import wanted_names
from systrace.pipeline import BATCH, analyze
from systrace.reporters import REPORTERS

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = sorted(path for path in (ROOT / "samples").rglob("*.strace") if path.stat().st_size < 200_000)
needs_it = pytest.mark.skipif(compiled.scanner() is None, reason="not built (scripts/build_compiled)")

PIDS = ["", "7 ", "7     ", "123456789 ", "[pid 7] ", "[pid   12345678] ", "7<sh> ", "8 ", "[pid 8]"]
CLOCKS = [
    "", "1700000000.000001 ", "1700000000.5000 ", "1700000001 ", "99999999999.999999 ", "10000000000.000001 ",
    "9223372036.999999999 ",
    "000000000.123 ", "1700000000.12 ", "1700000000.1234567890 ", "23:59:59.999999 ", "00:00:00.000001 ", "12:00:00 ",
    "99:99:99.999 ", "     0.000120 ", "1.000001 ",
]  # fmt: skip
CALLS = [
    "read(3, \"a\", 1)", "close(3)", "close(3)            ", "mmap(NULL, 4096)", "read#64(3)", "?(", "_x1(1)", "exit_group(0)",
    "clone(child_stack=NULL)", "read(3<TCP:[1.2.3.4:5->6.7.8.9:80]>, \"a = 1 <0.1>\\n\", 9)", "read(3, \"...",
    "openat(AT_FDCWD</srv>, \"/etc/hosts\", O_RDONLY)", "read(3,  <unfinished ...>", "<... read resumed>\"a\", 1)",
    "--- SIGCHLD {si_signo=SIGCHLD} ---", "+++ exited with 0 +++", "read(3, [\"x\" ...>)", "connect(3)", "n" * 120 + "(1)",
    "getpid()", "syscall_0x2a(3)", "write(1, \"" + "x" * 700 + "\", 700)", "accept(3", ")", "strace: Process 9 attached",
    "read(3<socket:[1]>, \"\\0\0", "restart_syscall(<... resuming interrupted read ...>)",
]  # fmt: skip
RESULTS = [
    " = 0", " = 1", "= 1", " = -1", " = -1 EAGAIN (Resource temporarily unavailable)", " = ?", " = 0x7f00", " = 3</etc/hosts>",
    " = 3<TCP:[1.2.3.4:5->6.7.8.9:80]>", " = 3</a> b> c", " = 5 (in [3])", " = 0 (Timeout)", " = 123456789012345678",
    " = 1234567890123456789", " = 123456789012345678901", " =  1", " = 007", " = ? ERESTARTSYS (To be restarted)", " = 1 ...>",
    " = 3< ...>", " = 3<x", " = 2 = 1", " = -1 ENOENT (No such file or directory) ", " = 0x8002 (flags O_RDWR)", "",
]  # fmt: skip
ENDS = [
    "\n", " <0.000017>\n", " <0.000017>\r\n", " <1>\n", " <12.1234567890>\n", " <0.0> \n", "<0.1>\n", " <>\n", " <0.000017", "",
    " <unfinished ...>\n", "\t\x0b\n", " <0.000017>\0\n", "  <0.2>\n", " <999999999.999999999>\n", " <1.>\n",
]  # fmt: skip

pieces = st.tuples(st.sampled_from(PIDS), st.sampled_from(CLOCKS), st.sampled_from(CALLS), st.sampled_from(RESULTS),
                   st.sampled_from(ENDS))  # fmt: skip
usual = st.tuples(st.sampled_from(PIDS[1:3]), st.sampled_from(CLOCKS[1:3]), st.sampled_from(CALLS),
                  st.sampled_from(RESULTS), st.sampled_from(ENDS[:3]))  # fmt: skip
logs = st.lists(st.one_of(pieces, usual, usual), min_size=1, max_size=24).map(
    lambda found: [("".join(each)).encode("latin-1") for each in found]
)


def read(
    lines: Sequence[bytes], batch: int, names: object, tid: int = 0, files: Files | None = None
) -> tuple[list[Record], Health, Style]:
    """All that reading a log gives."""
    health, style = Health(), Style()
    log = [Input("log", list(lines), tid)]
    found = list(records(log, names, health, style, True, batch, files))  # type: ignore[arg-type]
    return found, health, style


def without_files(lines: Sequence[bytes], batch: int, handled: int, tid: int = 0) -> object:
    """The same with calls on files left out, as long as nothing beyond this line disturbs them."""
    files = Files({7})
    files.names |= {"read", "close", "fcntl", "open", "openat"}
    files.handled = handled
    found = read(lines, batch, wanted_names(), tid, files)
    return found, files.last_ns, files.disturbed, files.threads


def same(lines: Sequence[bytes], tid: int = 0) -> None:
    """Both ways, with all calls and with those that are of use."""
    for names in (EVERY_NAME, wanted_names()):
        assert read(lines, BATCH, names, tid) == read(lines, 1, names, tid)
        assert read(lines, 2, names, tid) == read(lines, 1, names, tid)
    for handled in (1 << 60, len(lines) // 2):
        assert without_files(lines, BATCH, handled, tid) == without_files(lines, 1, handled, tid)


def mutated(lines: list[bytes], chance: random.Random) -> Iterator[bytes]:
    """A log to which somebody did something, every few lines."""
    tokens = [
        b'"',
        b"<",
        b">",
        b"(",
        b")",
        b" = ",
        b"\n",
        b"\0",
        b"-1",
        b"?",
        b" ",
        b"\xff",
        b" <unfinished ...>",
        b"9" * 12,
    ]
    for line in lines:
        at = chance.randrange(len(line) + 1)
        match chance.randrange(12):
            case 0:
                yield line[:at] + chance.choice(tokens) + line[at:]
            case 1:
                yield line[:at] + line[at + chance.randrange(1, 9) :]
            case 2:
                yield line[:at]
                yield line[at:]
            case 3:
                yield line[:at] + bytes([chance.randrange(256)]) + line[at + 1 :]
            case _:
                yield line


FILE_CALLS = [
    'read(3</etc/hosts>, "a", 9)', 'read(4</a>, "b", 9)', "close(3</etc/hosts>)", "close(3</etc/hosts>",
    "close(7</b>)", "close(2</b>)", "close(12345</b>)", "close(3</dev/null<char 1:3>>)", "close(3<pipe:[5]>)",
    "close(3</a->b>)", "close(1)", "close(10)", "close()", "close(3</a>\0)", "close(3</a\0b>)", "close(3</a> )",
    'write(4</b>, "a", 1)', 'write(1</b>, "a", 1)', 'write(9, "a", 1)', "fcntl(3</a>, F_GETFL)",
    "fcntl(3</a>, F_GETFD)", "fcntl(3</a>, F_DUPFD, 0)", "fcntl(1</a>, F_GETFL)", "fcntl(3, F_GETFL)",
    'openat(AT_FDCWD</srv>, "/usr/a", O_RDONLY|O_CLOEXEC)', 'open("/etc/passwd", O_RDONLY)',
    'open("/usr/a.so.1", O_RDONLY)', 'open("/usr/a.py", O_RDONLY)', 'open("/usr/\\"a", O_RDONLY)',
    'open("/srv/a", O_RDONLY)', 'open("/usr/a", O_WRONLY)', 'open("',
    'openat(AT_FDCWD</s"/usr/">, "/usr/b", O_RDONLY)', "futex(0x55, FUTEX_WAKE, 1)", 'dup2(3</a>, 4</b>)',
    'recvfrom(4<TCP:[1.2.3.4:5->6.7.8.9:80]>, "", 9, 0, NULL, NULL)',
]  # fmt: skip
FILE_RESULTS = [
    " = 0", " = 3", " = 3</etc/hosts>", " = 4</a>", " = 2</a>", " = 7</a>", " = 3<pipe:[5]>", " = 3</a<b>>",
    " = 0x3</usr/a>", " = 3</a> (x)", " = 12345</usr/a>", " = 0x8000 (flags O_RDONLY|O_LARGEFILE)",
    " = -1 EBADF (Bad file descriptor)", " = -5", " = ?",
]  # fmt: skip
on_files = st.lists(
    st.tuples(
        st.sampled_from(["7 1700000000.000001 ", "8 1700000000.500001 ", "7 1700000001.000002 "]),
        st.sampled_from(FILE_CALLS),
        st.sampled_from(FILE_RESULTS),
        st.sampled_from([" <0.000017>\n", " <0.000017>\n", " <0.000017>\n", " <1.000000>\n", "\n"]),
    ),
    min_size=1,
    max_size=40,
).map(lambda found: ["".join(each).encode("latin-1") for each in found])


@needs_it
@settings(max_examples=500, deadline=None)
@given(on_files, st.integers(0, 40))
def test_calls_on_files(lines: list[bytes], handled: int) -> None:
    for far in (handled, 1 << 60):
        assert without_files(lines, BATCH, far) == without_files(lines, 1, far)


@needs_it
@settings(max_examples=300, deadline=None)
@given(logs, st.sampled_from([0, 0, 7]))
def test_made_up_lines(lines: list[bytes], tid: int) -> None:
    same(lines, tid)


@needs_it
@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.parent.name)
def test_samples_and_what_is_left_of_them(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    same(lines)
    chance = random.Random(path.name)
    for _ in range(3):
        same(list(mutated(lines, chance)))


@needs_it
@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.parent.name)
def test_whole_reports_are_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    log = list(mutated(lines, random.Random(path.name)))

    def report() -> bytes:
        out = io.BytesIO()
        REPORTERS["json"].write(analyze([Input("log", log)]), out)
        return out.getvalue()

    fast = report()
    monkeypatch.setenv(compiled.VARIABLE, "0")
    assert compiled.scanner() is None
    assert report() == fast


@needs_it
def test_calls_that_nobody_asked_for_never_reach_python() -> None:
    """But for the first ones, which say what the log's options were."""
    seen: list[bytes] = []

    class Names(dict[bytes, str]):
        def get(self, key: bytes, default: str | None = None) -> str | None:  # type: ignore[override]
            seen.append(key)
            return dict.get(self, key)

    lines = [b"7 1700000000.000001 mmap(NULL, 4096) = 0x7f <0.000001>\n"] * 1000
    _, health, _ = read(lines, BATCH, Names({b"read": "read"}))
    assert health.records == 1000
    assert seen.count(b"mmap") < 5


@needs_it
def test_an_error_of_the_source_is_passed_on_after_what_came_before() -> None:
    def lines() -> Iterator[bytes]:
        yield from [b"7 1700000000.000001 read(3, 1) = 1 <0.000001>\n"] * 3
        raise OSError("gone")

    stream = records([Input("log", lines())], EVERY_NAME, Health(), Style(), True, BATCH)
    with pytest.raises(OSError, match="gone"):
        list(stream)


def test_python_alone_is_a_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(compiled.VARIABLE, "0")
    assert compiled.scanner() is None
    assert compiled.how() == "Python only"


def test_without_a_compiler_it_is_one_line(tmp_path: Path) -> None:
    script = [sys.executable, str(ROOT / "scripts" / "build_compiled"), "--force"]
    environment = os.environ | {"CC": str(tmp_path / "no-compiler")}
    done = subprocess.run(script, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("no compiled scanner, Python reads logs alone: ")
