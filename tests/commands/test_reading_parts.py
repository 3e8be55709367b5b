"""The reading of logs: complaint, progress and Ctrl-C, beyond what whole commands show."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest
import rich.progress

from systrace.commands.reading import progress as shown
from systrace.commands.reading.analysis import analysis_of
from systrace.commands.reading.interrupt import end_of_input_on_interrupt
from systrace.errors import InputError
from systrace.sources.logs import recordings

Key = tuple[int, int]


def analysed(path: Path, content: bytes) -> object:
    path.write_bytes(content)
    (recording,), _troubled = recordings([str(path)])
    return analysis_of(recording)


def test_what_is_no_log_is_refused_and_an_empty_recording_of_ours_is_not(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        analysed(tmp_path / "notes", b"# Notes\n\nnothing of the kind\n" * 20)
    head = b"what some wrapper wrote first\n" * 2000
    analysed(tmp_path / "ours", head + b'# systrace: {"format": 1, "command": ["x"]}\n')


def told(
    monkeypatch: pytest.MonkeyPatch, sizes: dict[Key, int], seen: list[dict[Key, int]], finished: set[Key]
) -> list[float]:
    """What the bar is told where these are the positions, one look after the other."""
    looks, ticks = iter(seen), iter([False, *(False for _ in seen), True])
    monkeypatch.setattr(shown, "_positions", lambda _sizes: next(looks))
    said: list[float] = []

    class Done(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            return next(ticks)

    class Bar:
        def __init__(self, *_columns: object, **_more: object) -> None:
            pass

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_error: object) -> None:
            pass

        def add_task(self, _text: str, total: int) -> int:
            assert total == sum(sizes.values())
            return 0

        def update(self, _task: int, completed: float) -> None:
            said.append(completed)

    monkeypatch.setattr(rich.progress, "Progress", Bar)
    shown._show(sizes, Done(), finished)
    return said


def test_a_file_that_was_read_to_its_end_counts_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other: the bar does not fall back when the first is closed."""
    sizes = {(1, 1): 100, (1, 2): 300}
    assert told(monkeypatch, sizes, [{(1, 1): 60}, {(1, 2): 30}, {}], set()) == [60, 130, 400]


def test_files_too_short_to_be_seen_count_when_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many recordings each may be read between two looks; what is told of them reaches the bar."""
    sizes = {(1, 1): 100, (1, 2): 300}
    assert told(monkeypatch, sizes, [{}, {(1, 2): 30}], {(1, 1)}) == [100, 130]
    (tmp_path / "a").write_bytes(b"12345")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    given: list[object] = []
    monkeypatch.setattr(shown, "_show", lambda _sizes, _done, finished: given.append(finished))
    with shown.progress([str(tmp_path / "a")]) as finished:
        finished([str(tmp_path / "a")])
    assert given == [set(shown._sizes([str(tmp_path / "a")]))]


def test_a_directory_counts_its_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "b").write_bytes(b"123")
    (tmp_path / "inner").mkdir()
    assert sorted(shown._sizes([str(tmp_path)]).values()) == [3, 5]


def test_the_first_interrupt_ends_standard_input() -> None:
    """In a process of its own: descriptor 0 becomes /dev/null."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.dup2(reader, 0)
            with end_of_input_on_interrupt(["-"]):
                signal.raise_signal(signal.SIGINT)
                status = 0 if os.read(0, 10) == b"" and str(Path("/proc/self/fd/0").readlink()) == os.devnull else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.close(reader)
    os.close(writer)


def test_the_handler_from_before_is_back_afterwards() -> None:
    def mine(_number: int, _frame: object) -> None:
        return

    before = signal.signal(signal.SIGINT, mine)
    try:
        with end_of_input_on_interrupt(["-"]):
            assert signal.getsignal(signal.SIGINT) is not mine
        assert signal.getsignal(signal.SIGINT) is mine
    finally:
        signal.signal(signal.SIGINT, before)
