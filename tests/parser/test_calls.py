"""Calls at the end of a log that was cut: under way, or just being written."""

from __future__ import annotations

import pytest

from systrace.parser.calls import torn

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
