"""Parsers of /proc text, hostile text included."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from systrace.kernel import facts, procfs
from systrace.look.nouns import FileLock

_TAIL = b" S 7 1 1 0 -1 4194304 " + b"0 " * 12 + b"4711 " + b"0 " * 16 + b"3 0 0\n"


def test_a_name_with_parentheses_and_blanks() -> None:
    stat = procfs.parse_stat(b"12 (a) R 9 (\x1b) x)" + _TAIL)
    assert stat is not None
    assert (stat.name, stat.state, stat.ppid, stat.start_ticks, stat.processor) == ("a) R 9 (\\x1b) x", "S", 7, 4711, 3)
    assert not stat.kernel_thread


def test_our_own_stat_agrees_with_the_system() -> None:
    stat = procfs.stat_of(os.getpid())
    assert stat is not None
    assert (stat.ppid, stat.kernel_thread) == (os.getppid(), False)


@given(st.binary(max_size=300))
def test_no_text_raises(raw: bytes) -> None:
    procfs.parse_stat(raw)
    procfs.parse_locks(raw)
    facts.parse_resolv_conf(raw)
    facts.parse_routes(b"header\n" + raw)


def test_a_waiter_is_paired_with_the_holder_of_the_same_number() -> None:
    raw = (
        b"1: FLOCK  ADVISORY  WRITE 100 08:01:55 0 EOF\n"
        b"1: -> FLOCK  ADVISORY  WRITE 200 08:01:55 0 EOF\n"
        b"2: POSIX  ADVISORY  READ 300 fd:00:77 0 10\n"
        b"3: OFDLCK ADVISORY  WRITE -1 fd:00:78 0 EOF\n"
        b"3: -> POSIX  ADVISORY  WRITE 400 fd:00:78 0 EOF\n"
    )
    assert procfs.parse_locks(raw) == (FileLock(200, 100, "FLOCK", 55), FileLock(400, -1, "POSIX", 78))


@pytest.mark.parametrize(("events", "direction"), [(0x1, "r"), (0x4, "w"), (0x2005, "rw"), (0x18, "")])
def test_poll_directions(events: int, direction: str) -> None:
    assert procfs.poll_direction(events) == direction


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", {"nameservers": [], "search": [], "options": []}),
        (
            b"# nameserver 1.1.1.1\nnameserver 10.0.0.2 ; old\nnameserver\tfd00::2\nsearch a b\nsearch c\n"
            b"options ndots:5 timeout:1\noptions rotate\n",
            {"nameservers": ["10.0.0.2", "fd00::2"], "search": ["c"], "options": ["ndots:5", "timeout:1", "rotate"]},
        ),
    ],
)
def test_resolv_conf(raw: bytes, expected: dict[str, Any]) -> None:
    assert facts.parse_resolv_conf(raw) == expected


def test_a_fifo_for_a_file_blocks_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "resolv.conf")
    assert procfs.read(str(tmp_path / "resolv.conf")) == b""


def test_default_routes() -> None:
    raw = (
        b"Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        b"eth0\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
        b"eth0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
        b"tun0\t00000000\t00000000\t0001\t0\t0\t50\t00000000\t0\t0\t0\n"
    )
    assert facts.parse_routes(raw) == [
        {"via": "10.0.0.1", "device": "eth0", "metric": 100},
        {"via": "", "device": "tun0", "metric": 50},
    ]


def test_host_facts_name_this_host() -> None:
    found = facts.host_facts()
    assert (found["host"], found["kernel"]) == (os.uname().nodename, os.uname().release)
    assert found["sysctls"]["net.ipv4.tcp_retries2"] >= 0
    assert found["resolv_conf"].keys() == {"nameservers", "search", "options"}
    assert facts.host_facts(os.getpid()) == found
