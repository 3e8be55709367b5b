"""When connections were busy: nothing is lost when blocks become one, and silences stay."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from systrace.model import RETURNED, Received, Record, Sent, Socket, Transfer
from systrace.traffic.activity import MOST, Activity, Block

S1 = Socket("S1", "inet", "stream")


def call(at_ns: int | None, size: int, sent: bool, took_ns: int = 0, flags: bytes = b"") -> Transfer:
    kind = Sent if sent else Received
    record = Record(0, 1, 9, at_ns, took_ns, "send" if sent else "recv", b"", size, None, RETURNED, b"")
    return kind(record, 4, size, flags, None, lambda _: [])


def test_a_request_and_its_answer_are_two_blocks() -> None:
    activity = Activity()
    for each in (
        call(1_000, 10, True), call(900_000, 5, True), call(5_000_000_000, 0, False, took_ns=7),
        call(5_000_000_100, 100, False, took_ns=50), call(5_000_000_200, 3, False, flags=b"MSG_PEEK"), call(None, 9, True),
    ):  # fmt: skip
        activity.moved(S1, each)
    assert activity.of(S1)[0] == Block(1_000, 900_000, 15, 0, 2)
    assert activity.of(S1)[-1] == Block(5_000_000_150, 5_000_000_150, 0, 100, 1)
    assert activity.of(Socket("S2", "inet", "stream")) == []
    activity.forgotten(S1)
    activity.forgotten(S1)
    assert (activity.of(S1), activity.left_out) == ([], 1)


@given(st.lists(st.tuples(st.integers(1, 10_000), st.booleans()), min_size=1, max_size=3 * MOST), st.integers(0, 50))
def test_however_much_goes_over_it(steps: list[tuple[int, bool]], silence_at: int) -> None:
    activity, now, silence = Activity(), 0, None
    for number, (pause, sent) in enumerate(steps):
        if number == silence_at and number:
            silence = (now, now + 10**12)
            now += 10**12
        now += pause * 1_000_000
        silence = (silence[0], now) if silence is not None and number == silence_at else silence
        activity.moved(S1, call(now, 7, sent))
    blocks = activity.of(S1)
    assert len(blocks) <= MOST
    assert sum(block.calls for block in blocks) == len(steps)
    assert sum(block.sent for block in blocks) == 7 * sum(sent for _, sent in steps)
    assert sum(block.received for block in blocks) == 7 * sum(not sent for _, sent in steps)
    assert all(one.end_ns <= other.start_ns for one, other in pairwise(blocks))
    if silence is not None:
        assert any((one.end_ns, other.start_ns) == silence for one, other in pairwise(blocks))
