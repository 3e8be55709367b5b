"""The eBPF worker without a kernel: records become lines, what was lost is said, the shipped object is of this source."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from systrace.tracers.ebpf_worker import interest, records
from systrace.tracers.ebpf_worker.descriptors import Descriptors
from systrace.tracers.ebpf_worker.reader import Reader, RecordClock
from systrace.tracers.embedded_worker import memory
from systrace.tracers.embedded_worker.names import I386, X86_64
from systrace.tracers.embedded_worker.output import Output
from systrace.tracers.embedded_worker.stops import Calls

SOCKET, PIPE = 0o140777, 0o010600
NUMBERS = {name: number for number, name in X86_64.names.items()}
_HEADER = struct.Struct("=BBHIII 2Q 6Q qQ iIQ iIQ iIQ I4x")


def record(
    kind: int,
    call: str = "",
    args: tuple[int, ...] = (),
    result: int = 0,
    *,
    tid: int = 7,
    on: tuple[int, int, int] = (-1, 0, 0),
    made: tuple[int, int, int] = (-1, 0, 0),
    chunks: tuple[tuple[int, bytes, bool], ...] = (),
    entered: int = 1_000_000_000,
    lost: int = 0,
    files: int = 1,
) -> bytes:
    """As the kernel's half writes it."""
    data = b""
    for address, piece, ended in chunks:
        data += struct.pack("=QII", address, len(piece), ended) + piece.ljust(len(piece) + 8 & ~7, b"\0")
    number = NUMBERS[call] if call else records.NO_CALL
    words = (*args, *[0] * 6)[:6]
    head = (kind, 0, number, tid, 7, lost, entered, entered + 5_000_000, *words, result, files, *on, *made, -1, 0, 0)
    return _HEADER.pack(*head, len(data)) + data


class Lines:
    """A reader, and what it wrote so far."""

    def __init__(self, path: Path) -> None:
        clock = RecordClock()
        wanted = frozenset(NUMBERS)
        self._path = path
        self._output = Output(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
        self.calls = Calls(self._output, {X86_64: X86_64.numbers(wanted), I386: I386.numbers(wanted)}, clock)
        self.reader = Reader(self.calls, clock, [X86_64, I386])

    def take(self, *data: bytes) -> list[str]:
        """The lines of these records, without pid and time."""
        before = len(self._path.read_text().splitlines())
        for each in data:
            self.reader.take(each)
        self._output.flush()
        return [
            line if line.startswith("#") else line.split(" ", 2)[2]
            for line in self._path.read_text().splitlines()[before:]
        ]

    def close(self) -> None:
        """No more of them."""
        self._output.close()
        memory.read_from(None)


@pytest.fixture
def lines(tmp_path: Path) -> Iterator[Lines]:
    found = Lines(tmp_path / "trace")
    yield found
    found.close()


def test_a_call_is_printed_from_the_memory_in_its_record(lines: Lines) -> None:
    text = b"GET / HTTP/1.1\r\n"
    assert lines.take(
        record(
            records.CALLED, "write", (3, 4096, len(text)), len(text), on=(3, SOCKET, 99), chunks=((4096, text, False),)
        )
    ) == ['write(3<socket:[99]>, "GET / HTTP/1.1\\r\\n", 16) = 16 <0.005000>']


def test_memory_that_was_not_recorded_is_a_pointer_and_never_somebody_elses(lines: Lines) -> None:
    assert lines.take(record(records.CALLED, "write", (3, 4096, 5), 5, on=(3, SOCKET, 99))) == [
        "write(3<socket:[99]>, 0x1000, 5) = 5 <0.005000>"
    ]


def test_a_beginning_and_its_end_are_one_line(lines: Lines) -> None:
    name = b"\x02\0\0\x50\x7f\0\0\x01" + bytes(8)
    begun = record(records.ENTERED, "connect", (3, 64, 16), on=(3, SOCKET, 5), chunks=((64, name, False),))
    assert lines.take(begun) == []
    assert lines.take(record(records.CALLED, "connect", (3, 64, 16), -111, on=(3, SOCKET, 5))) == [
        'connect(3<socket:[5]>, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("127.0.0.1")}, 16) '
        "= -1 ECONNREFUSED (Connection refused) <0.005000>"
    ]


def test_a_number_that_was_used_again_is_named_by_its_own_record(lines: Lines) -> None:
    lines.take(record(records.CALLED, "socket", (2, 1, 0), 3, made=(3, SOCKET, 11)))
    assert "3<socket:[11]>" in lines.take(record(records.CALLED, "close", (3,), 0, on=(3, SOCKET, 11)))[0]
    assert lines.take(record(records.CALLED, "socket", (2, 1, 0), 3, made=(3, SOCKET, 12)))[0].startswith(
        "socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3<socket:[12]>"
    )
    polled = struct.pack("=ihh", 3, 1, 0)
    assert (
        "{fd=3<socket:[12]>, events=POLLIN}"
        in lines.take(record(records.CALLED, "poll", (512, 1, 0), 0, chunks=((512, polled, False),)))[0]
    )


def test_a_child_has_its_parents_descriptors_and_comes_after_the_call_that_made_it(lines: Lines) -> None:
    lines.take(record(records.CALLED, "socket", (2, 1, 0), 3, made=(3, SOCKET, 11)))
    lines.take(record(records.FORKED, "fork", (), 8, on=(8, 0, 2)))
    found = lines.take(
        record(records.CALLED, "close", (3,), 0, tid=8, on=(3, SOCKET, 11), files=2),
        record(records.CALLED, "fork", (), 8),
        record(records.CALLED, "dup", (3,), 4, on=(3, SOCKET, 11), made=(4, SOCKET, 11)),
    )
    assert found == [
        "fork( <unfinished ...>", "close(3<socket:[11]>) = 0 <0.005000>", "<... fork resumed>) = 8 <0.005000>",
        "dup(3<socket:[11]>) = 4<socket:[11]> <0.005000>",
    ]  # fmt: skip


def test_the_end_of_a_call_that_was_lost_is_not_made_up(lines: Lines) -> None:
    begun = record(
        records.ENTERED, "recvfrom", (3, 64, 16, 0, 1, 2), on=(3, SOCKET, 5), entered=time.monotonic_ns() - 10**9
    )
    lines.take(begun)
    lines.calls.suspend(lines.reader.tracees[7], "<unfinished ...>")
    found = lines.take(record(records.CALLED, "close", (3,), 0, on=(3, SOCKET, 5), lost=4))
    assert found[1].startswith("<... recvfrom resumed>) = ? (not seen) <1.0")
    assert found[2] == "close(3<socket:[5]>) = 0 <0.005000>"
    lines.reader.lost(4)
    assert json.loads(lines.take(record(records.ENDED))[0].removeprefix("# systrace: "))["lost"]["calls"] == 4


def test_what_a_ring_does_is_done_by_a_thread_of_its_own(lines: Lines) -> None:
    lines.take(record(records.CALLED, "socket", (2, 1, 0), 3, made=(3, SOCKET, 11)))
    ring = {"on": (3, SOCKET, 11)}
    first, second = (
        _HEADER.pack(
            records.SUBMITTED,
            0,
            27,
            7,
            7,
            0,
            10**9,
            10**9,
            3,
            64,
            100,
            0,
            0,
            0,
            0,
            1,
            *ring["on"],
            -1,
            0,
            0,
            0,
            0,
            key,
            0,
        )
        for key in (1, 2)
    )
    found = lines.take(first, second)
    assert [json.loads(line.removeprefix("# systrace: "))["thread"]["pid"] for line in found] == [4194304, 4194305]
    done = _HEADER.pack(
        records.COMPLETED,
        0,
        27,
        7,
        7,
        0,
        10**9,
        2 * 10**9,
        3,
        64,
        100,
        0,
        0,
        0,
        -104,
        1,
        *ring["on"],
        -1,
        0,
        0,
        0,
        0,
        2,
        0,
    )
    assert lines.take(done) == [
        "recvfrom(3<socket:[11]>, 0x40, 100, 0, NULL, NULL) = -1 ECONNRESET (Connection reset by peer) <1.000000>"
    ]
    again = lines.take(first)  # the end of what this memory was used for was lost
    assert again == []
    found = lines.take(record(records.ENDED, on=(0, 0, 0)))
    assert found == ["recvfrom(3<socket:[11]>,  <unfinished ...>", "+++ exited with 0 +++"]


def test_a_ring_that_makes_a_socket_says_nothing_of_the_descriptor_with_its_domains_number(lines: Lines) -> None:
    lines.take(record(records.CALLED, "dup", (9,), 2, on=(9, SOCKET, 11), made=(2, SOCKET, 11)))
    nothing = (-1, 0, 0)
    asked = (records.SUBMITTED, 0, 45, 7, 7, 0, 10**9, 10**9, 2, 1, 0, 0, 0, 0, 0, 1, *nothing, *nothing, 0, 0, 5, 0)
    lines.take(_HEADER.pack(*asked))
    polled = struct.pack("=ihh", 2, 1, 0)
    assert (
        "{fd=2<socket:[11]>, events=POLLIN}"
        in lines.take(record(records.CALLED, "poll", (512, 1, 0), 0, chunks=((512, polled, False),)))[0]
    )


def test_what_a_thread_did_while_it_was_attached_to_is_not_told_if_it_is_not_certain(lines: Lines) -> None:
    lines.reader.doubtful.add((7, 77))
    assert lines.take(record(records.CALLED, "recvfrom", (3, 64, 16), 1, on=(3, SOCKET, 5), entered=77)) == []
    assert len(lines.take(record(records.CALLED, "close", (3,), 0, on=(3, SOCKET, 5)))) == 1


def test_every_wanted_call_has_an_entry_and_socketcall_one_for_each_that_it_makes() -> None:
    wanted = frozenset({"connect", "read", "socket"})
    table = interest.table(X86_64, wanted)
    assert set(table) == {NUMBERS[name] for name in wanted}
    assert len(set(map(len, table.values()))) == 1
    inner = set(interest.table(I386, wanted)) - set(I386.numbers(wanted))
    assert inner == {1001, 1003}  # socket, connect


def test_descriptors_of_a_copy_are_its_own() -> None:
    first = Descriptors()
    first.learn(0, (3, SOCKET, 1), (4, PIPE, 2))
    second = first.copy()
    second.closed(3)
    assert (first.text(0, 3), second.text(0, 3), second.text(0, 4)) == ("<socket:[1]>", "", "<pipe:[2]>")
    second.forget_range(0, 9)
    assert second.text(0, 4) == ""


def test_the_object_that_is_shipped_was_made_of_this_source() -> None:
    script = Path(__file__).parents[2] / "scripts" / "build_bpf"
    assert subprocess.run([sys.executable, str(script), "--check"], check=False).returncode == 0
