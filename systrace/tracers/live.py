"""Following a recording while it grows, and saying its events in words.

The reader is behind a file, so it may be as slow as it likes: it delays nobody. The same holds for whoever reads what
`Printer` writes: it keeps a bounded queue and says how much it left out.
"""

from __future__ import annotations

import collections
import functools
import io
import os
import select
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from systrace.model import (
    Accepted,
    Bound,
    Cloned,
    Closed,
    Connected,
    Event,
    Executed,
    Exited,
    Listening,
    OptionGot,
    OptionSet,
    Received,
    Sent,
    Shut,
    Signalled,
    Waited,
)

BLOCK = 1 << 20
IDLE_MS = (5, 200)  # between two looks at a file that doesn't grow: at first, at last
QUEUE = 20_000
FLUSH_SECONDS = 1.0
SHOWN = 60  # bytes of payload
UNSHOWN = frozenset(  # frequent calls of which `words` says nothing: not worth reading
    "fcntl fcntl64 ioctl epoll_ctl epoll_create epoll_create1 dup dup2 dup3 open openat pipe pipe2 eventfd2 futex flock "
    "nanosleep clock_nanosleep getsockname getpeername alarm setitimer".split()
)
WAITS = frozenset("poll ppoll select pselect6 epoll_wait epoll_pwait epoll_pwait2".split())  # shown if they end with 0
PRINTABLE = bytes(byte if 32 <= byte < 127 else ord(".") for byte in range(256))


def follow(path: Path, ended: int, *, at_end: bool = False) -> Iterator[bytes]:
    """The lines of a growing file, without newlines.

    Waits for more until the descriptor `ended` is readable, then gives what is left; with `at_end` it does not even
    begin before. The file is opened at once: it may be renamed or removed afterwards.
    """
    return _follow(path.open("rb", buffering=0), ended, at_end)


def _follow(file: io.FileIO, ended: int, at_end: bool) -> Iterator[bytes]:
    last = select.poll()
    last.register(ended, select.POLLIN)
    rest: list[bytes] = []
    idle = IDLE_MS[0]
    over = False
    if at_end:
        last.poll()
    with file:
        while True:
            block = file.read(BLOCK)
            if block:
                idle = IDLE_MS[0]
                head, newline, tail = block.rpartition(b"\n")
                if newline:
                    yield from b"".join((*rest, head)).split(b"\n")
                    rest.clear()
                rest.append(tail)
            elif over:
                break
            elif last.poll(idle):
                over = True
            else:
                idle = min(idle * 2, IDLE_MS[1])
    if any(rest):
        yield b"".join(rest)


class Printer:
    """Writes events in words to a descriptor that may block for ever."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._queue: collections.deque[bytes] = collections.deque()
        self._dropped = 0
        self._more = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._write, name="live", daemon=True)
        self._thread.start()

    def __call__(self, event: Event) -> None:
        """Show one event, unless it is of no interest or the reader is too far behind."""
        text = words(event)
        if not text:
            return
        if len(self._queue) >= QUEUE:
            self._dropped += 1
            return
        if self._dropped:
            self._queue.append(b"... %d events not shown: this reader is too slow\n" % self._dropped)
            self._dropped = 0
        self._queue.append(text.encode("utf-8", "replace") + b"\n")
        if not self._more.is_set():
            self._more.set()

    def close(self) -> None:
        """Give the reader a moment for the rest, then leave."""
        self._closed = True
        self._more.set()
        self._thread.join(FLUSH_SECONDS)

    def _write(self) -> None:
        while self._queue or not self._closed:
            self._more.wait()
            self._more.clear()
            while self._queue:
                text = b"".join(self._queue.popleft() for _ in range(min(len(self._queue), 500)))
                try:
                    _write_all(self._descriptor, text)
                except OSError:
                    self._queue.clear()
                    return


def _write_all(descriptor: int, text: bytes) -> None:
    view = memoryview(text)
    while view:
        view = view[os.write(descriptor, view) :]


def words(event: Event) -> str:
    """One line for people: when, who, what, how it ended; empty for events that say nothing about the network."""
    text = _what(event)
    if not text:
        return ""
    record = event.record
    stamp = ""
    if record.time_ns is not None:
        seconds, nanoseconds = divmod(record.time_ns, 1_000_000_000)
        stamp = f"{_clock(seconds)}.{nanoseconds // 1_000_000:03d} "
    took = ""
    if record.duration_ns is not None and record.duration_ns >= 1_000_000:
        took = f" ({record.duration_ns / 1e9:.3f} s)"
    failed = f": {record.errno}" if record.errno else ""
    return f"{stamp}[{record.tid}] {text}{failed}{took}"


@functools.lru_cache(maxsize=4)
def _clock(seconds: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(seconds)) if seconds > 86_400 else str(seconds)


def _what(event: Event) -> str:
    match event:
        case Sent(fd=fd, size=size):  # the frequent ones first
            return f"{fd} sends {size} bytes{_shown(event)}"
        case Received(fd=fd, size=0) if not event.record.errno:
            return f"{fd} reads the end"
        case Received(fd=fd, size=size):
            return f"{fd} receives {size} bytes{_shown(event)}"
        case Connected(fd=fd, peer=peer):
            return f"{fd} connects to {peer or 'nowhere'}"
        case Accepted(fd=fd, new_fd=new_fd, peer=peer):
            return f"{fd} accepts {peer or 'a connection'} as {new_fd}"
        case Listening(fd=fd):
            return f"{fd} listens"
        case Bound(fd=fd, local=local):
            return f"{fd} is bound to {local or 'an address'}"
        case Shut(fd=fd, how=how):
            return f"{fd} shuts down {how}"
        case Closed(first=first, last=last):
            return f"{first} is closed" if first == last else f"{first} to {last} are closed"
        case Waited(timed_out=True):
            return "waited in vain: timeout"
        case _:
            return _of_process(event)


def _of_process(event: Event) -> str:
    match event:
        case Executed(path=path):
            return f"runs {_clean(path)}"
        case Cloned(child=child, thread=thread):
            return f"starts {'thread' if thread else 'process'} {child or '?'}"
        case Exited(final=True, signal=None, code=code):
            return f"exits with {code}"
        case Exited(final=True, signal=signal):
            return f"is killed by {signal}"
        case Signalled(signal=signal, sender=sender):
            return f"gets {signal}" + (f" from {sender}" if sender else "")
        case OptionSet(fd=fd, name="SO_KEEPALIVE", value=value):
            return f"{fd} turns keepalive {'on' if value else 'off'}"
        case OptionGot(fd=fd, name="SO_ERROR", error=error) if error:
            return f"{fd} learns that its connection failed: {_clean(error)}"
        case _:
            return ""


def _shown(event: Sent | Received) -> str:
    """The first bytes of the payload, printable."""
    pieces = event.payload()
    known = b"".join(piece for piece, _length in pieces)[: SHOWN + 1]
    if not known:
        return ""
    return f" '{known[:SHOWN].translate(PRINTABLE).decode()}'{'...' if len(known) > SHOWN else ''}"


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").translate(PRINTABLE).decode()
