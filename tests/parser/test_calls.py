"""Calls at the end of a log that was cut: under way, or just being written."""

from __future__ import annotations

import pytest

from systrace.calls.errnos import UNKNOWN
from systrace.parser.calls import failed_somehow, torn

_WAITS = [
    ("recvfrom", "3<TCP:[192.0.2.10:40000->192.0.2.7:80]>,"),
    ("read", "0</dev/pts/0<char 136:0>>,"),
    ("read", "3,"),
    ("wait4", "-1,"),
    ("epoll_wait", "4<anon_inode:[eventpoll]>,"),
    ("poll", "[{fd=3, events=POLLIN}], 1, 5000"),
    ("pselect6", "4, [3], NULL, NULL, {tv_sec=1, tv_nsec=0}, NULL"),
    ("connect", '3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.7")}, 16'),
    ("sendto", '3, "GET / \\"quoted\\" {", 18, 0, NULL, 0'),
    ("write", '3, "a, b, (c", 8'),
    ("flock", "3, LOCK_EX"),
    ("restart_syscall", "<... resuming interrupted read ...>"),
]
_TORN = [
    ("recvfrom", '3, "HTTP/1.1 200 O'),
    ("recvfrom", '3, "HTTP/1.1 200 OK\\r\\n\\r\\n", 4096, 0, NULL,'),
    ("recvfrom", "3<TCP:[192.0.2.10:40000->192.0"),
    ("read", "6</usr/share/pe"),
    ("wait4", "-1, [{WIFEXITED(s)"),
    ("epoll_wait", "4, [], 512"),
    ("poll", "[{fd=3, events=POLLIN}], 1, 5000) = 1 ([{fd=3"),
    ("poll", "[{fd=3, events=POLLIN}], 1"),
    ("pselect6", "4, [3], NULL, NULL, {tv_sec=1, tv_nsec=0}"),
    ("connect", "3, {sa_family=AF_INET, sin_port=htons(80"),
    ("sendto", '3, "GET / HTTP/1.1\\r\\n\\r\\n", 18, 0, NULL,'),
    ("setsockopt", "3, SOL_TCP, TCP_NODELAY, [1], 4"),
    ("futex", "0x7f00, FU"),
    ("write", '2<\\x2f\\x76>, "lost"'),
]


@pytest.mark.parametrize(("call", "text"), _WAITS)
def test_at_its_entry_a_call_may_wait(call: str, text: str) -> None:
    assert not torn(call, text.encode())


@pytest.mark.parametrize(("call", "text"), _TORN)
def test_elsewhere_it_was_being_written(call: str, text: str) -> None:
    assert torn(call, text.encode())


def test_long_strings_take_linear_time() -> None:
    assert torn("write", b'1, "' + b"\\\\" * 200_000)
    assert torn("write", b"1, " + b"[{(" * 100_000)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"3) = -1 ECONNRESET", (b"3", "ECONNRESET")), (b"3) = -1 ECONNRE", (b"3", UNKNOWN)), (b"3) = -1", (b"3", UNKNOWN)),
        (b"3)                              = -1 EAGAIN", (b"3", "EAGAIN")), (b"3) = 1", None), (b"3, -1 EAGAIN", None),
        (b"3) = -1 EAGAIN (Resource tem", None),
    ],
)  # fmt: skip
def test_an_error_without_its_words(text: bytes, expected: tuple[bytes, str] | None) -> None:
    """A name that is whole stands; a part of one tells that the call failed."""
    assert failed_somehow(text) == expected


def test_only_the_end_of_a_long_call_is_searched() -> None:
    """It is asked for each line that may go on with an open call: 10,000 times here."""
    text = b'1, "' + b") = -1 E" * 125_000 + b'" x'
    assert all(failed_somehow(text) is None for _ in range(10_000))
