"""The calls of a watched socket: all of them up to a limit, then the first and the last."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from systrace.model import RETURNED, Message, Received, Record, Sent, Socket, Transcript, Transfer
from systrace.streams.books import Together
from systrace.streams.transcript import Watching


class Ear:
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def moved(self, socket: Socket, event: Transfer) -> None:
        self.heard.append(f"{socket.uid} {event.size}")

    def ended(self, socket: Socket, sent: bool, how: str) -> None:
        self.heard.append(f"{socket.uid} {how}")

    def forgotten(self, socket: Socket) -> None:
        self.heard.append(f"{socket.uid} forgotten")

    def finish(self) -> list[Message]:
        return []


def call(number: int, size: int, sent: bool, flags: bytes = b"") -> Transfer:
    kind = Sent if sent else Received
    record = Record(0, number, 9, None, None, "send" if sent else "recv", b"x" * size, size, None, RETURNED, b"")
    return kind(record, 4, size, flags, None, lambda _: [(b"x" * size, size)])


def test_only_the_watched_socket_is_kept_and_all_are_heard() -> None:
    everything, watched = Ear(), Ear()
    transcript = Transcript("S2")
    watching = Watching(transcript, watched)
    together = Together([everything, watching])
    one, two = Socket("S1", "inet", "stream"), Socket("S2", "inet", "stream")
    for number, socket in enumerate((one, two, one)):
        together.moved(socket, call(number, number + 1, True))
    together.moved(two, call(3, 9, False, b"MSG_PEEK"))
    together.ended(one, True, "closed")
    together.ended(two, False, "eof")
    together.forgotten(one)
    assert watching.finish() is transcript
    assert everything.heard == ["S1 1", "S2 2", "S1 3", "S2 9", "S1 closed", "S2 eof", "S1 forgotten"]
    assert watched.heard == ["S2 2", "S2 eof"]
    assert [event.size for event in transcript.moves] == [2]
    assert transcript.socket is two
    assert list(transcript.seen) == ["S1", "S2"]


@given(st.lists(st.tuples(st.integers(1, 3000), st.booleans()), max_size=60), st.integers(1, 40_000))
def test_what_is_left_out_is_counted(sizes: list[tuple[int, bool]], limit: int) -> None:
    transcript = Transcript("S1", limit)
    watching = Watching(transcript, Ear())
    socket = Socket("S1", "inet", "stream")
    calls = [call(number, size, sent) for number, (size, sent) in enumerate(sizes)]
    for each in calls:
        watching.moved(socket, each)
    watching.finish()
    kept, at = transcript.moves, transcript.left_at
    left = transcript.left_out
    assert left[2] == len(calls) - len(kept)
    assert (at is None) == (left[2] == 0)
    if at is not None:
        assert kept == calls[:at] + calls[len(calls) - (len(kept) - at) :]
        gone = calls[at : len(calls) - (len(kept) - at)]
        assert left[:2] == [sum(c.size for c in gone if isinstance(c, kind)) for kind in (Received, Sent)]
    assert sum(event.size for event in kept) <= limit + 3000
    if calls:
        assert kept[-1] is calls[-1]
