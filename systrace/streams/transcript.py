"""The calls of one watched socket, kept as they go by: the first and the last ones, up to a limit of bytes."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from systrace.model import Message, Sent, Socket, Transcript, Transfer
from systrace.streams.books import Listener

_CALL = 256  # bytes that a kept call costs beside its arguments
_SEEN = 10_000  # sockets remembered by name


class Gathering(Listener, Protocol):
    """A listener that makes messages of what it hears."""

    def finish(self) -> list[Message]:
        """The log has ended: all messages."""


class Watching:
    """A listener that hands on what concerns the watched socket to `watched`."""

    def __init__(self, transcript: Transcript, watched: Gathering) -> None:
        self._transcript = transcript
        self._watched = watched
        self._held = 0  # bytes of the first calls
        self._tail: deque[Transfer] = deque()
        self._tail_held = 0
        self._full = False

    def moved(self, socket: Socket, event: Transfer) -> None:
        """See `Listener.moved`."""
        transcript = self._transcript
        if len(transcript.seen) < _SEEN:
            transcript.seen.setdefault(socket.uid, socket)
        if socket.uid != transcript.uid or b"MSG_PEEK" in event.flags:
            return
        transcript.socket = socket
        self._watched.moved(socket, event)
        self._keep(event)

    def forgotten(self, socket: Socket) -> None:
        """See `Listener.forgotten`."""

    def ended(self, socket: Socket, sent: bool, how: str) -> None:
        """See `Listener.ended`."""
        if socket.uid == self._transcript.uid:
            self._watched.ended(socket, sent, how)

    def finish(self) -> Transcript:
        """The log has ended: the transcript is whole."""
        transcript = self._transcript
        transcript.messages = self._watched.finish()
        if transcript.left_out[2]:
            transcript.left_at = len(transcript.moves)
        transcript.moves += self._tail
        self._tail.clear()
        return transcript

    def _keep(self, event: Transfer) -> None:
        transcript = self._transcript
        cost = _cost(event)
        half = transcript.limit // 2
        if not self._full and self._held + cost <= half:
            self._held += cost
            transcript.moves.append(event)
            return
        self._full = True
        self._tail.append(event)
        self._tail_held += cost
        while self._tail_held > half and len(self._tail) > 1:
            old = self._tail.popleft()
            self._tail_held -= _cost(old)
            transcript.left_out[type(old) is Sent] += old.size
            transcript.left_out[2] += 1


def _cost(event: Transfer) -> int:
    """Known bytes at most, and the call itself; escapes in the log's text do not count."""
    return min(event.size, len(event.record.args)) + _CALL
