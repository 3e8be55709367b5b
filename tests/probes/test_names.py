"""Nameservers are asked one by one; a dead one takes no time from the others, and who was not asked is not accused."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from systrace.observations import Observation
from systrace.probes import run
from systrace.probes.target import Target

ALIVE, DEAD = "127.0.0.91", "127.0.0.92"


def _bound(address: str) -> socket.socket:
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        one.bind((address, 53))
    except OSError as error:
        one.close()
        pytest.skip(f"{address}:53: {error.strerror}")
    return one


def _serve(one: socket.socket) -> None:
    """192.0.2.7 is the bare name's address (A, RFC 1035); in no domain is it known."""
    while (asked := one.recvfrom(512))[0] != b"end":
        query, client = asked
        flags = 0x8180 if b"\4corp" not in query else 0x8183  # NXDOMAIN
        a_record = query.endswith(struct.pack(">2H", 1, 1)) and flags == 0x8180
        answer = b"\xc0\x0c" + struct.pack(">2HIH4B", 1, 1, 60, 4, 192, 0, 2, 7) if a_record else b""
        one.sendto(query[:2] + struct.pack(">5H", flags, 1, a_record, 0, 0) + query[12:] + answer, client)


@pytest.fixture
def nameservers() -> Iterator[tuple[str, str]]:
    with _bound(ALIVE) as alive, _bound(DEAD):
        thread = threading.Thread(target=_serve, args=(alive,))
        thread.start()
        yield DEAD, ALIVE
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"end", (ALIVE, 53))
        thread.join()


def _asked(servers: tuple[str, str], deadline_s: float) -> dict[str, Observation]:
    target = Target("db", 0, nameservers=servers, search=("a.corp", "b.corp", "c.corp"))
    return {str(each.value["server"]): each for each in run([target], deadline_s=deadline_s) if each.kind == "name"}


def test_a_dead_one_takes_no_time_from_the_others(nameservers: tuple[str, str]) -> None:
    told = _asked(nameservers, 30)
    assert told[ALIVE].value["addresses"] == ["192.0.2.7"]
    assert "cause" not in told[ALIVE].value
    assert told[DEAD].value["cause"] == "dns-timeout"


def test_who_was_not_asked_is_not_accused(nameservers: tuple[str, str]) -> None:
    for each in _asked(nameservers, 1).values():
        assert (each.value["outcome"], each.value.get("cause")) == ("unknown", None)
        assert "no time left to ask it for db" in each.value["text"]
