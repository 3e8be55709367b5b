"""Packets and blocks, to the byte; and which connections are drawn once."""

from __future__ import annotations

import struct

import pytest

from systrace.model import Endpoint
from systrace.reporters.capture import blocks
from systrace.reporters.capture.conversation import Capture, _segments
from systrace.reporters.capture.packets import ACK, PSH, Address, tcp, udp, unreachable
from systrace.traffic.tape import Connection, Move

A, B = Address.of("192.0.2.1", 1234), Address.of("192.0.2.2", 80)


def words(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    return (total & 0xFFFF) + (total >> 16)


def test_a_segment() -> None:
    packet = tcp(A, B, 2**32 + 5, 7, PSH | ACK, b"abc", 10)
    assert (len(packet.captured), packet.length) == (43, 50)
    assert words(packet.captured[:20]) == 0xFFFF  # RFC 1071
    assert struct.unpack("!HHII", packet.captured[20:32]) == (1234, 80, 5, 7)
    assert struct.unpack("!H", packet.captured[2:4]) == (50,)


def test_addresses() -> None:
    mapped = Address.of("::ffff:192.0.2.1", 5)
    assert mapped.v4_in_6
    assert mapped.v4() == Address.of("192.0.2.1", 5)
    assert Address.of("fe80::1%eth0", 1).packed[:2] == b"\xfe\x80"


def test_icmp_quotes_what_was_sent() -> None:
    packet = unreachable(B, A, 3, udp(A, B, b"hello", 5))
    assert packet.captured[20:22] == b"\x03\x03"
    assert b"hello" in packet.captured
    assert words(packet.captured[20:] + b"\0" * (len(packet.captured) % 2)) == 0xFFFF


def test_blocks_are_padded_and_closed() -> None:
    for block in (
        blocks.section("a", "", "c"), blocks.interface("n", "d"), blocks.names([(b"\1\2\3\4", "x.example")]),
        blocks.secrets(b"CLIENT_RANDOM"), blocks.packet(1, b"abc", 9, "x" * 70_000),
    ):  # fmt: skip
        assert len(block) % 4 == 0
        assert struct.unpack("<I", block[4:8]) == struct.unpack("<I", block[-4:]) == (len(block),)


def connection(uid: str, role: str, local: Endpoint | None, peer: Endpoint | None) -> Connection:
    return Connection(uid, "stream", role, local, peer, 1, (), (), None, None, True, "")


def test_of_both_ends_of_a_connection_one_is_drawn() -> None:
    here, there = Endpoint("inet", "127.0.0.1", 40_000), Endpoint("inet", "127.0.0.1", 80)
    ends = [
        connection("S1", "client", here, there),
        connection("S2", "server", there, here),
        connection("S3", "client", here, None),
    ]
    moves = [Move(number, True, 5, 5, 1, 1, "write", [(b"x", 1)]) for number in range(3)]
    capture = Capture(ends, moves, {1: "job"}, lambda _connection, _sent, data, _whole: data)
    assert [each.comment for each in capture.packets()] == ["job[1] write, line 1, S1"]
    assert capture.left_out == 2


def test_connections_whose_own_port_nobody_knows_do_not_mix() -> None:
    peer = Endpoint("inet", "192.0.2.1", 80)
    ends = [connection(uid, "client", None, peer) for uid in ("S1", "S2")]
    moves = [Move(number, True, 5, 5, 1, 1, "write", [(b"x", 1)]) for number in range(2)]
    packets = list(Capture(ends, moves, {}, lambda _connection, _sent, data, _whole: data).packets())
    assert len({each.packet.captured[20:22] for each in packets}) == 2
    assert all("made up" in each.comment for each in packets)


def test_times_are_cut_to_what_a_block_holds() -> None:
    for time_ns, high, low in ((1 << 63, 1 << 31, 0), (1 << 80, 0xFFFFFFFF, 0xFFFFFFFF), (-1, 0, 0)):
        assert struct.unpack("<II", blocks.packet(time_ns, b"", 0, "")[12:20]) == (high, low)


def test_no_port_is_past_the_last() -> None:
    for port in (-1, 65_536):
        with pytest.raises(ValueError, match=str(port)):
            Address.of("192.0.2.1", port)


def test_unknown_bytes_leave_a_gap_only_where_they_are_many() -> None:
    assert [carried for _data, _on, carried in _segments(b"abc", 200_000)] == [65_000, 65_000, 65_000, 5_000]
    assert list(_segments(b"abc", 2**63)) == [(b"abc", 65_000, 65_000), (b"", 2**63 - 65_000, 65_000)]
    assert list(_segments(b"abcdef", 2)) == [(b"ab", 2, 2)]
    assert list(_segments(b"", 0)) == []
