"""Several recordings read side by side by processes of their own; what comes of them comes in their order."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, TypeVar

from systrace.commands.reading.loop import ShowAll
from systrace.errors import SystraceError
from systrace.sources.logs import Recording

T = TypeVar("T")
R = TypeVar("R")
_task: tuple[Callable[[Any], Any], list[Any]]  # of the processes: open logs can't be handed over, only inherited


def side_by_side(work: Callable[[T], R], items: list[T], processes: int) -> Iterator[R]:
    """What `work` gives for each item, which is taken out of the list; with one process it works when it is asked.

    With more they begin at once: no thread may run yet. What `work` gives has to be pickled then.

    Raises:
        SystraceError: while it is read: one of the processes was killed.
    """
    if processes <= 1 or len(items) <= 1:
        items.reverse()
        return (work(items.pop()) for _ in range(len(items)))
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    global _task
    _task = work, list(items)
    items.clear()
    count = len(_task[1])
    pool = ProcessPoolExecutor(min(processes, count), multiprocessing.get_context("fork"))
    return _results(pool.map(_one, range(count)))


def _one(number: int) -> Any:
    work, items = _task
    return work(items[number])


def _results(found: Iterator[R]) -> Iterator[R]:
    from concurrent.futures.process import BrokenProcessPool

    try:
        yield from found
    except BrokenProcessPool:
        raise SystraceError("a process that read one of the logs was killed") from None


class Apart:
    """Shows the reports of several recordings, each made by a process of its own."""

    def __init__(
        self,
        show: ShowAll,
        failed: Callable[[], bool],
        found: Sequence[Recording],
        processes: int,
        on_stdout: Sequence[bool],
    ) -> None:
        """Start.

        Args:
            show: see `reading.loop`.
            failed: whether what was shown so far, by this process, told of a failure.
            found: the recordings.
            processes: how many read at a time.
            on_stdout: of each report, whether it is shown there, and not in a file.
        """
        self.failed = False
        stream = sys.stdout.buffer if on_stdout and sys.stdout is not None else None

        def made(recording: Recording) -> tuple[list[bytes], str | None, str | None, bool]:
            outs = [_Held(stream if shown else None) for shown in on_stdout]
            try:
                complaint = show(recording, outs, True)
            except SystraceError as error:
                return [], None, str(error), failed()
            return [out.getvalue() for out in outs], complaint, None, failed()

        self._told = side_by_side(made, list(found), processes)

    def __call__(self, recording: Recording, outs: Sequence[BinaryIO], several: bool) -> str | None:
        """The next reports, as `show` would have them."""
        reports, complaint, error, failed = next(self._told)
        self.failed |= failed
        if error is not None:
            raise SystraceError(error)
        for out, report in zip(outs, reports, strict=True):
            out.write(report)
        return complaint


class _Held(io.BytesIO):
    """What another process will write to a stream: a report is laid out for that one's width and colours."""

    def __init__(self, stream: BinaryIO | None) -> None:
        super().__init__()
        self._stream = stream

    def fileno(self) -> int:
        """The stream's.

        Raises:
            OSError: it is a file, which has no width.
        """
        if self._stream is None:
            raise OSError("a file")
        return self._stream.fileno()

    def isatty(self) -> bool:
        """Whether that is a terminal."""
        return self._stream is not None and self._stream.isatty()
