"""Calls on files that tell nothing are left out, and no report is another one for that."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from systrace import pipeline
from systrace.model import Health, Input, Style
from systrace.parser import merged, records
from systrace.parser.files import Files
from systrace.parser.syscalls import wanted_names
from systrace.pipeline import BATCH, analyze
from systrace.reporters import REPORTERS

ROUND = [
    'openat(AT_FDCWD</srv>, "/usr/share/doc/{n}", O_RDONLY|O_CLOEXEC) = 3</usr/share/doc/{n}>',
    'read(3</usr/share/doc/{n}>, "{n}", 4096) = 5',
    'read(3</usr/share/doc/{n}>, "", 4096) = 0',
    "close(3</usr/share/doc/{n}>) = 0",
]


def lines(calls: list[str], tid: int = 7, start: int = 0) -> list[bytes]:
    return [f"{tid} 17000{start + n:05d}.000001 {call} <0.000010>\n".encode() for n, call in enumerate(calls)]


def left(log: list[bytes], files: Files, batch: int) -> list[str]:
    """What records are made of."""
    return [
        each.syscall for each in records([Input("log", log)], wanted_names(), Health(), Style(), True, batch, files)
    ]


@pytest.fixture(params=[1, BATCH], ids=["python", "compiled where it is built"])
def batch(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def files() -> Files:
    """With books that are up to date, of a log that has shown such calls."""
    found = Files(set())
    found.names |= {"read", "close", "openat", "fcntl"}
    found.handled = 1 << 60
    return found


def rounds(count: int) -> list[str]:
    return [call.format(n=n) for n in range(count) for call in ROUND]


def test_the_first_call_of_a_thread_is_told(files: Files, batch: int) -> None:
    log = lines(rounds(3)) + lines(rounds(3), tid=8, start=50)
    assert left(log, files, batch) == ["openat", "openat"]
    assert files.last_ns == 1_700_000_061_000_011_000


@pytest.mark.parametrize(
    "call",
    [
        'read(3</srv/a>, "a", 9) = -1 EIO (Input/output error)',
        'read(3<TCP:[192.0.2.1:9->192.0.2.2:80]>, "a", 9) = 1',
        'read(0</srv/a>, "a", 9) = 1',
        'write(3</srv/a>, "a", 1) = 1',
        'openat(AT_FDCWD</>, "/srv/a", O_RDONLY) = 3</srv/a>',  # data
        'openat(AT_FDCWD</>, "/usr/lib/libpq.so.5", O_RDONLY) = 3</usr/lib/libpq.so.5>',  # a client library
        'openat(AT_FDCWD</>, "/usr/a", O_WRONLY) = 3</usr/a>',
        "fcntl(3</srv/a>, F_DUPFD, 0) = 4</srv/a>",
    ],
)
def test_what_tells_something_stays(call: str, files: Files, batch: int) -> None:
    assert left(lines([*rounds(2), call]), files, batch) == ["openat", call.partition("(")[0]]


def test_waits_and_times_that_are_unknown_stay(files: Files, batch: int) -> None:
    slow = b'7 1700000100.000001 read(3</srv/a>, "a", 9) = 1 <1.000000>\n'
    untimed = b'7 1700000110.000001 read(3</srv/b>, "a", 9) = 1\n'
    assert left([*lines(rounds(2)), slow, untimed], files, batch) == ["openat", "read", "read"]


def test_what_is_too_long_to_remember_stays(files: Files, batch: int) -> None:
    log = lines([*rounds(2), f'read(3</srv/a>, "{"x" * 5000}", 9000) = 5000'])
    assert left(log, files, batch) == ["openat", "read"]


def test_numbers_of_sockets_stay(files: Files, batch: int) -> None:
    files.others.add(3)
    assert len(left(lines(rounds(3)), files, batch)) == 12


def test_nothing_is_left_out_until_the_books_know_of_a_new_descriptor(files: Files, batch: int) -> None:
    log = lines(["socket(AF_INET, SOCK_STREAM, 0) = 4<socket:[9]>", *rounds(3)])
    files.handled = 0
    assert len(left(log, files, batch)) == 13
    files.handled = 1
    assert left(log, files, batch) == ["socket", "openat"]


def test_loops_stay(files: Files, batch: int) -> None:
    """From their second round on: nothing is left out while they are looked at."""
    files.handled = 0
    log = lines([call.format(n=1) for call in ROUND] * 10)
    assert len(left(log, files, batch)) == 37


def _programs() -> Iterator[bytes]:
    """Two processes read files; one asks a service between, and loses the connection."""
    tcp = "5<TCP:[192.0.2.1:40000->192.0.2.2:80]>"
    calls = [*rounds(300), 'write(1</srv/out>, "done\\n", 5) = 5']
    yield from lines(calls, 7)
    yield from lines(calls, 8, 2000)
    talk = [
        "socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 5<socket:[9]>",
        'connect(5<socket:[9]>, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.2")}, 16) = 0',
        f'sendto({tcp}, "GET / HTTP/1.1\\r\\nHost: a.example\\r\\n\\r\\n", 35, 0, NULL, 0) = 35',
        *rounds(200),
        # close(2) of the socket is not in the log
        *[call.format(n=1).replace("3<", "5<") for call in ROUND],
    ]
    yield from lines(talk, 7, 4000)
    yield from lines(rounds(400), 8, 6000)


@pytest.mark.parametrize("compiled", ["0", "1"])
def test_no_report_changes(compiled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYSTRACE_COMPILED", compiled)
    monkeypatch.setattr(merged, "_LOOKS", 1)
    monkeypatch.setattr(pipeline, "BATCH", 24)
    log = list(_programs())

    def report(form: str) -> bytes:
        out = io.BytesIO()
        REPORTERS[form].write(analyze([Input("log", list(log))]), out)
        return out.getvalue()

    fast = [report(form) for form in sorted(REPORTERS)]
    monkeypatch.setattr(Files, "behind", lambda *_: None)  # nothing is left out
    assert [report(form) for form in sorted(REPORTERS)] == fast
