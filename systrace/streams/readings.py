"""What the kernel said of a socket while it was waited for: readings, given to the socket that they are about."""

from __future__ import annotations

from itertools import islice

from systrace.look.lines import reading_of
from systrace.look.nouns import Reading, SocketState
from systrace.model import Endpoint, Fact, Socket
from systrace.streams.books import Books
from systrace.streams.growing import grown

_MOST = 100  # of one socket; a day of waiting makes 40
_LATEST = 256  # sockets among which one that was closed just now is looked for


def adopt_reading(books: Books, event: Fact) -> None:
    """Enter a reading; one of a socket that the log does not show is passed over."""
    reading = reading_of(event.values.get("reading"))
    if reading is None:
        return
    socket = _held(books, reading) or _known(books, reading)
    if socket is None:
        return
    socket.readings = grown(socket.readings[-_MOST:], (reading, event))
    socket.local = socket.local or reading.socket.local
    books.read_of[reading.socket.inode] = socket


def _held(books: Books, reading: Reading) -> Socket | None:
    """What the process holds under that number."""
    task = books.tasks.by_tid.get(reading.tid) or books.tasks.by_tid.get(reading.pid)
    description = task.table.fds.get(reading.socket.fd) if task is not None and not reading.closed else None
    socket = description.socket if description is not None else None
    return socket if socket is not None and _same(socket, reading.socket) else None


def _known(books: Books, reading: Reading) -> Socket | None:
    """The one that an earlier reading was about, else the last of that process with the same ends."""
    state = reading.socket
    known = books.read_of.get(state.inode)
    if known is not None and _same(known, state):
        return known
    for socket in islice(reversed(books.lookup.sockets.values()), _LATEST):
        held = any((holder.pid, holder.fd) == (reading.pid, state.fd) for holder in socket.holders)
        if held and socket.peer is not None and _same(socket, state):
            return socket
    return None


def _same(socket: Socket, state: SocketState) -> bool:
    return _agree(socket.peer, state.peer) and _agree(socket.local, state.local)


def _agree(one: Endpoint | None, other: Endpoint | None) -> bool:
    """No two ends of different sockets, as far as they are known; before bind(2) and connect(2) an address is 0.0.0.0."""
    return one is None or other is None or not one.port or one.port == other.port
