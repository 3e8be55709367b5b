"""Calls on files that tell nothing: no record is made of them.

A job that searches folders or packs files makes millions of calls on files, and of those that end well and soon the books
keep nothing: reads, closes, questions to fcntl(2), and the opening of files that come with the system. What is left out
must change no report, so it is left out only where all of this holds:

- the log shows what descriptors stand for (`-y`) and how long calls took (`-T`), and such a call was seen before;
- the log shows whose threads are whose, from the first process on: else who uses a number tells it;
- the number has never stood for anything but a file: else its new use says that the old one is over;
- the thread has made a call since threads last came or went: else this one would say that it lives;
- the thread's last call of that name was another one: loops are looked for among records.

The books are some batches of records behind the reader. So each call that may change what they say of numbers and threads
("disturbs") stops this until they have come so far. `_scanner_files.h` says the same in C.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from systrace.calls import CHILDREN, FUTEXES, OF_FILES, OPENS, RENAMES, SLEEPS
from systrace.calls.paths import LIBRARIES, OF_SYSTEM
from systrace.model import RETURNED, Record, Style
from systrace.parser.calls import Result

_SOON_NS = 1_000_000_000  # a call that takes longer is a wait
_MOST_NUMBER = 9999
_LONGEST = 4096  # bytes of arguments, which are remembered
_MOST_THREADS = 4096
_FILE = re.compile(rb"([0-9]{1,4})</[^<>]*>(?:,|\Z)")
_STANDARD = re.compile(rb"[012](?:[<,]|\Z)")
_OPENED = re.compile(rb"</[^<>]*>\Z")
_PATH = re.compile(rb'(?:[^"]*, )?"(/[^"\\]*)", O_RDONLY')
_LEFT_OUT = OF_FILES - {"write"}
_QUESTIONS = (b", F_GETFL", b", F_GETFD")


class Files:
    """What is known of the calls on files while a log is read.

    Args:
        others: numbers that ever stood for something else than a file; whoever keeps the books enters them.
    """

    ON_FILE = OF_FILES  # their first argument is a descriptor
    OPENS = OPENS
    HARMLESS = OPENS | SLEEPS | FUTEXES | CHILDREN | RENAMES  # number and thread stay what they are

    OF_SYSTEM = tuple(each.encode() for each in OF_SYSTEM)  # as `calls.paths` has them
    LIBRARIES = tuple(each.encode() for each in LIBRARIES)

    def __init__(self, others: set[int]) -> None:
        self.others = others
        self.names: set[str] = set()  # of calls that may be left out by now
        self.threads: dict[int, dict[str, bytes]] = {}  # the last arguments of each thread's calls, by name
        self.last_ns = 0  # when the last call that was left out had ended
        self.handled = 0  # the books know all that stands before this line
        self.disturbed = 0  # the last line that changes what numbers and threads are

    def behind(self, lineno: int, style: Style, threads_known: bool) -> None:
        """The books have come to this line. `threads_known`: the log begins with the first process, and shows clone(2)."""
        self.handled = max(self.handled, lineno)
        seen = style.syscalls
        if threads_known and style.succeeded and seen & OPENS:
            self.names |= seen & (_LEFT_OUT | OPENS)
        if len(self.threads) > _MOST_THREADS:
            self.threads.clear()

    def disturb(self, lineno: int) -> None:
        """This line changes what numbers and threads are."""
        self.disturbed = lineno
        self.threads.clear()

    def met(self, found: Iterable[Record], lineno: int) -> Iterator[Record]:
        """The records of a line that is no plain call."""
        for record in found:
            if record.syscall in self.ON_FILE and record.syscall != "fcntl":
                harmless = bool(_FILE.match(record.args) or _STANDARD.match(record.args))
            else:
                harmless = record.syscall in self.HARMLESS or record.syscall == "text"
            if not harmless:
                self.disturb(lineno)
            yield record

    def tells_nothing(
        self,
        lineno: int,
        tid: int,
        call: str,
        args: bytes,
        result: Result,
        duration_ns: int | None,
    ) -> bool:
        """Whether a call can be left out; each one that ended is asked about here.

        Args:
            lineno: its line.
            tid: its thread.
            call: its name.
            args: its arguments.
            result: what it returned.
            duration_ns: how long it took, if that is known.
        """
        if call in OF_FILES:
            found = _FILE.match(args)
            if (found is None and _STANDARD.match(args) is None) or (call == "fcntl" and not args.endswith(_QUESTIONS)):
                self.disturb(lineno)
                return False
            fd = int(found[1]) if found is not None and call != "write" else None
        elif call not in OPENS:
            if call not in self.HARMLESS:
                self.disturb(lineno)
            return False
        else:
            fd = result[0]
        if fd is None or not 3 <= fd <= _MOST_NUMBER or result[1] is not None or result[2] != RETURNED:
            return False
        if duration_ns is None or duration_ns >= _SOON_NS or len(args) > _LONGEST:
            return False
        before = self.threads.get(tid)
        if before is None:
            self.threads[tid] = {call: args}
            return False
        if before.get(call) == args:
            self.disturb(lineno)
            return False
        before[call] = args
        if call not in self.names or self.handled < self.disturbed or fd in self.others:
            return False
        return call not in OPENS or self.opens_nothing(args, result[3])

    def opens_nothing(self, args: bytes, told: bytes) -> bool:
        """Whether what is opened, for reading, belongs to the system, and no rule asks for its name."""
        found = _PATH.match(args)
        if found is None or _OPENED.match(told) is None:
            return False
        path = found[1]
        return path.startswith(self.OF_SYSTEM) and not (path.endswith(self.LIBRARIES) or b".so." in path)
