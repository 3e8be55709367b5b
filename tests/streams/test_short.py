"""What a call was asked for, and what a short result says."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from systrace.model import Received, Record
from systrace.streams import Tracker

Follow = Callable[[str], Tracker]
OPEN = '1 0 connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.7")}, 16) = 0 <0.01>\n'


@pytest.mark.parametrize(
    ("args", "asked"),
    [
        (b'3, "ab"..., 65536', 65536),
        (b'3, "a\\", 7", 4, 0, NULL, 0', 4),
        (b'3, "hello", 512, MSG_WAITALL, NULL, NULL', 512),
        (b'3, "ab", count=9', 9),
        (b"3, 0x55d0, 4096", None),
        (b'3, [{iov_base="ab", iov_len=2}], 1', None),
        (b'3, "", 0', 0),
        (b"3, NULL, 0", 0),
        (b'3, "a", 1, 0, NULL, 0', 1),
    ],
    ids=["write", "quotes", "recvfrom", "named", "no string", "vector", "nothing", "nowhere", "sendto"],
)
def test_the_count_follows_the_string(args: bytes, asked: int | None) -> None:
    """The last string of the call, whatever flags and addresses come after."""
    record = Record(0, 1, 1, None, None, "write", args, 0, None, "returned", b"")
    assert Received(record, 3, 0, b"", None, lambda _record: []).asked() == asked


@pytest.mark.parametrize(
    ("call", "waits"),
    [
        ('1 1 write(3, "xx"..., 200000) = 69504 <4.012>', [("exit", "w")]),
        ('1 1 write(3, "xx"..., 200000) = 200000 <4.012>', [("data", "w")]),
        ('1 1 write(3, "xx"..., 200000) = 69504 <0.001>', []),
    ],
    ids=["no room to the end", "room came", "did not wait"],
)
def test_a_send_that_waited_for_room(follow: Follow, call: str, waits: list[tuple[str, str]]) -> None:
    """It moved bytes, and yet its wait was for nothing when it moved fewer than it should."""
    tracker = follow(f"{OPEN}{call}\n1 6 +++ exited with 1 +++")
    (socket,) = tracker.lookup.sockets.values()
    assert [(w.ended_by, w.direction) for w in socket.waits] == waits


def test_msg_waitall_comes_back_short_at_the_end(follow: Follow) -> None:
    """recv(2): it returns less than asked for when the peer has ended."""
    tracker = follow(f'{OPEN}1 1 recvfrom(3, "abc", 9, MSG_WAITALL, NULL, NULL) = 3 <0.1>\n1 2 +++ exited with 1 +++')
    (socket,) = tracker.lookup.sockets.values()
    assert [f.kind for f in socket.faults] == ["eof"]


def test_a_peek_sees_the_end_too(follow: Follow) -> None:
    """recv(2) with MSG_PEEK returns 0 at the end of a stream, and when nothing was asked for."""
    for asked, faults in ((1, ["eof"]), (0, [])):
        tracker = follow(f'{OPEN}1 1 recvfrom(3, "", {asked}, MSG_PEEK|MSG_DONTWAIT, NULL, NULL) = 0 <0.1>')
        (socket,) = tracker.lookup.sockets.values()
        assert [f.kind for f in socket.faults] == faults


@pytest.mark.parametrize("call", ['read(3, "", 0)', "read(3, NULL, 0)", 'recvfrom(3, "", 0, 0, NULL, NULL)'])
def test_who_asks_for_nothing_gets_nothing_and_meets_no_end(follow: Follow, call: str) -> None:
    tracker = follow(OPEN + '1 1 sendto(3, "ask\\n", 4, 0, NULL, 0) = 4 <0.01>\n' + f"1 2 {call} = 0 <0.01>\n")
    (socket,) = tracker.lookup.sockets.values()
    assert not socket.faults
