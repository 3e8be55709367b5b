"""Which socket a reading is about."""

from __future__ import annotations

from typing import Any

from systrace import Input, analyze
from systrace.look.lines import line_of
from systrace.look.nouns import Reading
from systrace.model import Endpoint, Socket
from systrace.rules.examples import OPEN, connects
from systrace.rules.pages import full_trace
from tests.look.readings import HERE, THERE, reading

OTHER = Endpoint("inet", "192.0.2.7", 81)
CLOSE = "9 20.0 close(3) = 0\n"
END = "9 90.0 +++ exited with 0 +++"


def followed(*parts: str | Reading) -> list[Socket]:
    """Calls in the short form of `rules.examples`, and readings -> the sockets, in their order."""
    lines: list[bytes] = []
    for part in parts:
        lines += [line_of(part)] if isinstance(part, Reading) else full_trace(part).encode().splitlines()
    return list(analyze([Input("log", [line + b"\n" for line in lines])]).evidence.sockets.values())


def told(*parts: str | Reading) -> list[list[int]]:
    """Of each socket, how long its readings had waited, in seconds."""
    return [[each.waited_ns // 10**9 for each, _ in socket.readings] for socket in followed(*parts)]


def test_of_the_descriptor() -> None:
    (socket,) = followed(OPEN, reading(6, waited_s=4), reading(8, waited_s=6), END)
    assert [each.waited_ns for each, _ in socket.readings] == [4 * 10**9, 6 * 10**9]
    assert [b'"reading"' in event.record.raw for _, event in socket.readings] == [True, True]
    assert (socket.local, socket.peer) == (HERE, THERE)


def test_of_a_socket_that_the_log_does_not_show() -> None:
    assert told(OPEN, reading(fd=4), END) == [[]]
    assert told(reading(), OPEN, END) == [[]]
    assert told(reading(), reading(closed=True), END) == []


def test_another_peer_or_local_end_is_another_socket() -> None:
    """The descriptor was used again, or the reading and the close crossed."""
    assert told(OPEN, reading(peer=OTHER), END) == [[]]
    assert told(OPEN, reading(peer=None), END) == [[5]]
    moved = reading(8, waited_s=7, local=Endpoint("inet", "10.0.0.5", 41001), inode=1)
    assert told(OPEN, reading(), moved, END) == [[5]]


def test_before_the_connect_an_end_is_unknown() -> None:
    """bind(2) to port 0 leaves the choice to the kernel."""
    bound = '9 0.9 bind(3, {sa_family=AF_INET, sin_port=htons(0), sin_addr=inet_addr("10.0.0.5")}, 16) = 0\n'
    assert told("9 0.8 socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3\n", bound, OPEN, reading(), END) == [[5]]
    assert told(OPEN, reading(local=Endpoint("inet", "0.0.0.0", 0)), END) == [[5]]


def test_after_the_close_the_inode_tells() -> None:
    again = connects("0 <0.01>", time="21.0")
    closed = reading(22, waited_s=9, closed=True)
    assert told(OPEN, reading(), CLOSE, again, closed, END) == [[5, 9], []]


def test_after_the_close_without_an_earlier_reading_its_ends_tell() -> None:
    closed = reading(22, waited_s=9, closed=True)
    assert told(OPEN, CLOSE, closed, END) == [[9]]
    assert told(OPEN, CLOSE, connects("0 <0.01>", port=81, time="21.0"), closed, END) == [[9], []]
    assert told(OPEN, CLOSE, reading(22, waited_s=9, closed=True, peer=OTHER), END) == [[]]


def test_of_the_last_of_several_with_the_same_peer() -> None:
    again = connects("0 <0.01>", time="21.0")
    late = "9 30.0 close(3) = 0\n"
    assert told(OPEN, CLOSE, again, late, reading(31, waited_s=8, closed=True), END) == [[], [8]]


def test_a_thread_that_the_log_does_not_show_has_its_processs_descriptors() -> None:
    each = reading()
    stranger = Reading(each.time_ns, 9, 77, each.call, each.waited_ns, each.socket)
    assert told(OPEN, stranger, END) == [[5]]
    foreign: Any = Reading(each.time_ns, 78, 77, each.call, each.waited_ns, each.socket)
    assert told(OPEN, foreign, END) == [[]]
