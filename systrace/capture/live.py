"""Saying the events of a job in words while it runs.

Whoever reads what `Printer` writes delays nobody: it keeps a bounded queue and says how much it left out.
"""

from __future__ import annotations

import collections
import copy
import functools
import os
import re
import threading
import time

from systrace import calls
from systrace.masking.calls import CallMasks
from systrace.masking.masks import Masks
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
from systrace.words import safe

QUEUE = 20_000
FLUSH_SECONDS = 1.0
SHOWN = 60  # bytes of payload
UNSHOWN = (  # frequent calls of which `words` says nothing: not worth reading
    calls.OPENS | calls.DUPLICATES | calls.PIPES | calls.EVENTS | calls.EPOLL_SETS | calls.SOCKET_NAMES | calls.LOCKS
    | calls.FUTEXES | calls.SLEEPS | calls.TIMERS | {"ioctl"}
)  # fmt: skip
PLAIN_FILE = re.compile(rb"\d+</").match  # the first descriptor, as -y prints it: no news of the network
LONG = 1000  # characters of arguments: of longer ones only the beginning is decoded
UNDER_WAY = "EINPROGRESS"  # connect(2): no failure
PRINTABLE = bytes(byte if 32 <= byte < 127 else ord(".") for byte in range(256))


class Printer:
    """Writes events in words to a descriptor that may block for ever."""

    def __init__(self, descriptor: int, secrets: bool = False) -> None:
        self._descriptor = descriptor
        self._masks = CallMasks(Masks(shown=secrets))
        self._queue: collections.deque[bytes] = collections.deque()
        self._dropped = 0
        self._more = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._write, name="live", daemon=True)
        self._thread.start()

    def __call__(self, event: Event) -> None:
        """Show one event, unless it is of no interest or the reader is too far behind."""
        text = words(event, self._masks)
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


def words(event: Event, masks: CallMasks | None = None) -> str:
    """One line for people: when, who, what, how it ended; empty for events that say nothing about the network."""
    text = _what(event, masks or CallMasks(Masks()))
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
    failed = f": {record.errno}" if record.errno and record.errno != UNDER_WAY else ""
    return f"{stamp}[{record.tid}] {text}{failed}{took}"


@functools.lru_cache(maxsize=4)
def _clock(seconds: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(seconds)) if seconds > 86_400 else str(seconds)


def _what(event: Event, masks: CallMasks) -> str:
    match event:
        case Sent(fd=fd, size=size):  # the frequent ones first
            return f"{fd} sends {size} bytes{_shown(event, masks)}"
        case Received(fd=fd, size=0) if not event.record.errno:
            return f"{fd} reads the end"
        case Received(fd=fd, size=size):
            return f"{fd} receives {size} bytes{_shown(event, masks)}"
        case Waited(timed_out=True):
            return "waited in vain: timeout"
        case _:
            return _of_connection(event) or _of_process(event)


def _of_connection(event: Event) -> str:
    match event:
        case Connected(fd=fd, peer=peer):
            begins = "begins to connect" if event.record.errno == UNDER_WAY else "connects"
            return f"{fd} {begins} to {peer or 'nowhere'}"
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
        case _:
            return ""


def _of_process(event: Event) -> str:
    match event:
        case Executed(path=path):
            return f"runs {safe(path)}"
        case Cloned(child=child, thread=thread, inner=inner):
            known = f" ({inner} in its PID namespace)" if inner else ""
            return f"starts {'thread' if thread else 'process'} {child or '?'}{known}"
        case Exited(final=True, signal=None, code=code):
            return f"exits with {code}"
        case Exited(final=True, signal=signal):
            return f"is killed by {signal}"
        case Signalled(signal=signal, sender=sender):
            return f"gets {signal}" + (f" from {sender}" if sender else "")
        case OptionSet(fd=fd, name="SO_KEEPALIVE", value=value):
            return f"{fd} turns keepalive {'on' if value else 'off'}"
        case OptionGot(fd=fd, name="SO_ERROR", error=error) if error:
            return f"{fd} learns that its connection failed: {safe(error)}"
        case _:
            return ""


def _shown(event: Sent | Received, masks: CallMasks) -> str:
    """The first bytes of the payload, printable, secrets masked."""
    record = copy.copy(event.record)
    if len(record.args) > LONG:
        record.args = record.args[: LONG // 2]
    record.args = masks.args(record)
    pieces = event.pieces(record)
    known = b"".join(piece for piece, _length in pieces)[: SHOWN + 1]
    if not known:
        return ""
    return f" '{known[:SHOWN].translate(PRINTABLE).decode()}'{'...' if len(known) > SHOWN else ''}"
