"""A traceroute makes few connections, and none that may not be made."""

import socket
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from systrace.probes.asking import Allowed, Round
from systrace.probes.kinds import path
from systrace.probes.target import Target
from systrace.probes.tcp import Dial, Icmp, dial

HERE = "127.0.0.1"
EXPIRED, REJECTED = Icmp("192.0.2.1", 11, 0), Icmp("192.0.2.1", 3, 13)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server((HERE, 0)) as one:
        yield one


def round_of(port: int) -> Round:
    asking = Round(Target(HERE, port), Allowed(), time.monotonic() + 20, [])
    asking.begin("path", 10)
    asking.note("peer-listens", "", address=HERE, outcome="silent")
    return asking


def answered(monkeypatch: pytest.MonkeyPatch, end: Callable[[Dial], None]) -> list[int]:
    """TTLs of what is sent, where each ends so."""
    sent: list[int] = []

    def make(dials: Sequence[Dial], *_: object, **__: object) -> None:
        for each in dials:
            sent.append(each.ttl)
            end(each)

    monkeypatch.setattr(path, "dial", make)
    return sent


def test_a_port_that_answers_after_all_is_asked_by_one_batch(listener: socket.socket) -> None:
    """Every SYN of it may be a connection, and is counted."""
    asking = round_of(listener.getsockname()[1])
    before = asking.target.most_connections
    path.path(asking.target, asking)
    assert asking.found[-1].value["how"] == "sometimes"
    assert asking.take(100) == before - 4


def test_without_connections_left_nothing_is_sent(listener: socket.socket) -> None:
    asking = round_of(listener.getsockname()[1])
    asking.take(100)
    path.path(asking.target, asking)
    assert len(asking.found) == 1
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_hops_cost_no_connection_and_the_host_behind_them_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five hops away: of the second batch, three arrive at most."""

    def end(each: Dial) -> None:
        if each.ttl > 5:
            each.outcome = "open" if each.ttl == 6 else "silent"  # given up
        else:
            each.icmp = EXPIRED

    sent = answered(monkeypatch, end)
    asking = round_of(80)
    path.path(asking.target, asking)
    assert sent == list(range(1, 9))
    assert asking.take(100) == asking.target.most_connections - 3


def test_hops_are_followed_over_a_silent_one_and_to_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(each: Dial) -> None:
        each.icmp = None if each.ttl == 3 else EXPIRED

    sent = answered(monkeypatch, end)
    path.path(Target(HERE, 80), round_of(80))
    assert sent == list(range(1, 25))


def test_who_rejects_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(each: Dial) -> None:
        each.icmp = EXPIRED if each.ttl == 1 else REJECTED

    sent = answered(monkeypatch, end)
    asking = round_of(80)
    path.path(asking.target, asking)
    assert sent == [1, 2, 3, 4]
    assert asking.found[-1].value["how"] == "rejected"


def test_a_dial_ends_when_one_answer_is_enough(listener: socket.socket) -> None:
    """The other address answers nobody (RFC 5737), and is not waited for."""
    began = time.monotonic()
    dial([Dial(HERE, listener.getsockname()[1]), Dial("192.0.2.1", 9)], 8, enough=lambda each: each.outcome == "open")
    assert time.monotonic() - began < 4
