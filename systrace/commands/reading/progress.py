"""How far the reading of long logs has come, on a terminal only and without a word from the loop that reads."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

_AFTER_S = 1.0  # nobody needs a bar for less
_EVERY_S = 0.2
_Key = tuple[int, int]  # device and inode


Finished = Callable[[Sequence[str]], None]


@contextlib.contextmanager
def progress(paths: Sequence[str]) -> Iterator[Finished]:
    """Show a bar on standard error while the files are read, if it is a terminal.

    What it yields may be told of files that are read: short ones come and go between two looks.
    """
    sizes = _sizes(paths) if sys.stderr is not None and sys.stderr.isatty() else {}
    finished: set[_Key] = set()
    if not sizes:
        yield lambda _read: None
        return
    done = threading.Event()
    thread = threading.Thread(target=_show, args=(sizes, done, finished), daemon=True)
    thread.start()
    try:
        yield lambda read: finished.update(_sizes(read))
    finally:
        done.set()
        thread.join()


def _sizes(paths: Sequence[str]) -> dict[_Key, int]:
    """Bytes of each regular file, as they lie on the disk."""
    sizes = {}
    for path in paths:
        files = [each for each in Path(path).iterdir() if each.is_file()] if Path(path).is_dir() else [Path(path)]
        for file in files:
            with contextlib.suppress(OSError, ValueError):
                status = file.stat()
                if stat.S_ISREG(status.st_mode):
                    sizes[status.st_dev, status.st_ino] = status.st_size
    return sizes


def _show(sizes: dict[_Key, int], done: threading.Event, finished: AbstractSet[_Key] = frozenset()) -> None:
    if done.wait(_AFTER_S):
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    class Screen(Console):
        def show_cursor(self, show: bool = True) -> bool:
            """Never hidden: a signal that ends systrace would leave the user's shell without it."""
            return show

    bar = [TextColumn("reading"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()]
    with Progress(*bar, console=Screen(stderr=True), transient=True) as shown:
        task = shown.add_task("", total=sum(sizes.values()))
        reached: dict[_Key, int] = {}
        while not done.wait(_EVERY_S):
            now = _positions(sizes)
            for key in [*reached, *sizes.keys() & finished]:
                reached[key] = now.get(key, sizes[key])  # closed: read to its end
            reached |= {key: at for key, at in now.items() if at}
            shown.update(task, completed=sum(reached.values()))


def _positions(sizes: dict[_Key, int]) -> dict[_Key, int]:
    """Offsets of our own descriptors of these files (proc_pid_fdinfo(5))."""
    found = {}
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208 (numbers, no paths)
        with contextlib.suppress(OSError, ValueError, IndexError):
            status = os.fstat(int(number))
            key = status.st_dev, status.st_ino
            if key in sizes:
                text = Path(f"/proc/self/fdinfo/{number}").read_text()
                found[key] = int(text.split("pos:", 1)[1].split(None, 1)[0])
    return found
