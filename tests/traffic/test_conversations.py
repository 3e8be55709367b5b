"""What is kept of conversations: first and last bytes, never more than the bounds, and all that is left out is counted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from systrace.model import RETURNED, Received, Record, Sent, Socket, Transfer
from systrace.traffic.conversations import Conversations

S1, S2 = Socket("S1", "inet", "stream"), Socket("S2", "unix", "stream")


def call(data: bytes, sent: bool = True, size: int | None = None, line: int = 1, flags: bytes = b"") -> Transfer:
    kind = Sent if sent else Received
    size = len(data) if size is None else size
    record = Record(0, line, 9, 1_000, 5, "send" if sent else "recv", b"", size, None, RETURNED, b"")
    return kind(record, 4, size, flags, None, lambda _: [(data, size)])


def test_a_short_one_is_whole_and_holes_are_told() -> None:
    kept = Conversations()
    for event in (call(b"GET /"), call(b"abc", False, 10), call(b"peek", False, flags=b"MSG_PEEK"), call(b"")):
        kept.moved(S1, event)
    found = kept.of(S1)
    assert [(each.sent, each.known, each.missing, each.left_out) for each in found.first] == [
        (True, b"GET /", 0, 0),
        (False, b"abc", 7, 0),
    ]
    assert (found.last, found.calls, kept.of(S2).first) == ([], 0, [])


def test_pipes_and_forgotten_connections_are_none_of_them() -> None:
    kept = Conversations()
    kept.moved(Socket("P1", "pipe", "stream", kind="pipe"), call(b"x"))
    kept.moved(S1, call(b"x"))
    kept.forgotten(S1)
    kept.forgotten(S1)
    assert (kept.of(S1).first, kept.left_out) == ([], 1)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 3000)), min_size=1, max_size=60))
def test_every_byte_is_shown_or_counted(calls: list[tuple[bool, int]]) -> None:
    kept = Conversations(of_each=4096)
    for line, (sent, size) in enumerate(calls, 1):
        kept.moved(S1, call(b"x" * size, sent, line=line))
    found = kept.of(S1)
    said = [*found.first, *found.last]
    for direction, left_out in ((True, found.sent), (False, found.received)):
        shown = sum(len(each.known) + each.left_out for each in said if each.sent is direction)
        assert shown + left_out == sum(size for sent, size in calls if sent is direction)
    assert len(said) + found.calls == len(calls)
    assert sum(len(each.known) for each in said) <= 3 * 4096
    assert [each.line for each in said] == sorted(each.line for each in said)
    assert said[-1].line == len(calls)


def test_very_many_share_the_room() -> None:
    kept = Conversations(of_all=200_000)
    sockets = [Socket(f"S{number}", "inet", "stream") for number in range(200)]
    for part in range(6):
        for socket in sockets:
            kept.moved(socket, call(bytes([65 + part]) * 900))
    held = [kept.of(socket) for socket in sockets]
    assert sum(len(each.known) for one in held for each in (*one.first, *one.last)) <= 200_000
    assert all(one.calls + len(one.first) + len(one.last) == 6 for one in held)
    assert held[-1].last[-1].known[:1] == b"F"


def test_a_huge_call_is_kept_in_part() -> None:
    kept = Conversations(of_each=1000)
    kept.moved(S1, call(b"x" * 10_000_000))
    assert [(len(each.known), each.left_out) for each in kept.of(S1).first] == [(250, 9_999_750)]
