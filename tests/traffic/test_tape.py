"""The tape gives back what went over the network, masked, also of sockets that are forgotten."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from functools import partial

from systrace.masking.masks import Masks
from systrace.model import RETURNED, Endpoint, Received, Record, Sent, Socket, Transfer
from systrace.traffic.tape import Tape


def call(
    line: int, data: bytes, sent: bool, at_ns: int | None = None, took_ns: int = 0, flags: bytes = b""
) -> Transfer:
    name, args = ("sendto", "3, ") if sent else ("recvfrom", "3, ")
    text = args.encode() + b'"' + data + b'", 99, 0'
    record = Record(0, line, 9, at_ns, took_ns, name, text, len(data), None, RETURNED, b"")
    return (Sent if sent else Received)(
        record, 3, len(data), flags, None, lambda r: [(r.args.split(b'"')[1], len(data))]
    )


def socket(uid: str, family: str = "inet") -> Socket:
    return Socket(uid, family, "stream", peer=Endpoint("inet", "192.0.2.1", 80))


def test_moves_come_back_in_order() -> None:
    tape, one, two = Tape(Masks()), socket("S1"), socket("S2")
    tape.moved(one, call(1, b"hello", True, 1_000, 5))
    tape.moved(two, call(2, b"x" * 70_000, False, 2_000))
    tape.moved(one, call(3, b"peeked", False, 2_500, flags=b"MSG_PEEK"))
    tape.moved(socket("S3", "unix"), call(4, b"local", True, 2_600))
    one.closed_ns = 2_800
    tape.forgotten(one)
    tape.forgotten(one)
    tape.moved(two, call(5, b"", False))
    for _ in range(2):
        found = list(tape.play())
        assert [(m.connection, m.sent, m.start_ns, m.end_ns, m.line, m.call) for m in found] == [
            (0, True, 1_000, 1_005, 1, "sendto"), (1, False, 2_000, 2_000, 2, "recvfrom"),
            (1, False, 5_000, 5_000, 5, "recvfrom"),
        ]  # fmt: skip
        assert [m.pieces for m in found] == [[(b"hello", 5)], [(b"x" * 70_000, 70_000)], [(b"", 0)]]
    assert [(each.uid, each.closed_ns) for each in tape.connections] == [("S1", 2_800), ("S2", None)]
    assert tape.moves == 3


def test_secrets_never_reach_it() -> None:
    tape = Tape(Masks())
    tape.moved(socket("S1"), call(1, b"Authorization: Bearer s3cr3ts3cr3t\\r\\n", True, 1))
    [move] = tape.play()
    assert b"s3cr3t" not in move.pieces[0][0]
    shown = Tape(Masks(shown=True))
    shown.moved(socket("S1"), call(1, b"Authorization: Bearer s3cr3ts3cr3t\\r\\n", True, 1))
    assert b"s3cr3ts3cr3t" in next(shown.play()).pieces[0][0]


def test_each_datagram_has_its_own_address() -> None:
    """A resolver without connections asks all its name servers through one socket."""
    tape, asking = Tape(Masks()), socket("S1")
    asking.type = "dgram"
    servers = [Endpoint("inet", f"192.0.2.{host}", 53) for host in (53, 54)]
    for line, server in enumerate([*servers, servers[0]]):
        tape.moved(asking, replace(call(line, b"question", True, 1), address=partial(copy, server)))
    tape.moved(asking, call(4, b"connected", True, 1))
    assert [move.peer for move in tape.play()] == [*servers, servers[0], None]


def test_numbers_that_no_kernel_gives_are_cut() -> None:
    tape = Tape(Masks())
    damaged = call(1, b"abc", False, 1 << 70, 1 << 70)
    tape.moved(socket("S1"), replace(damaged, pieces=lambda _record: [(b"abc", 1 << 70)]))
    tape.moved(socket("S1"), call(2, b"abc", False, -5))
    late, early = tape.play()
    most = (1 << 64) - 1
    assert (late.start_ns, late.end_ns, late.pieces) == (most, most, [(b"abc", most)])
    assert (early.start_ns, early.end_ns) == (0, 0)
