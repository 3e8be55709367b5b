"""Calls on files that tell nothing are left out, and no report is another one for that."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from systrace import pipeline
from systrace.model import Health, Input, Record, Style
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

BEGIN = 'execve("/usr/bin/job", ["job"], 0x7ffd00000000 /* 9 vars */) = 0'
FORK = "clone(child_stack=NULL, flags=CLONE_CHILD_SETTID|SIGCHLD, child_tidptr=0x7f00) = 8"
THREAD = "clone(child_stack=0x7f10, flags=CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD) = 8"


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
    yield from lines([BEGIN, FORK])
    yield from lines(calls, 7, 10)
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


def _shared(*first: str) -> Iterator[bytes]:
    """One thread reads files under a number that then is another thread's connection, of which it reads the answer."""
    yield from lines([*first, "futex(0x7f00, FUTEX_WAKE_PRIVATE, 1) = 0"])
    yield from lines(rounds(300), 8, 10)
    tcp = "3<TCP:[192.0.2.1:40000->192.0.2.2:80]>"
    asks = [
        "socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3<TCP:[9]>",
        'connect(3<TCP:[9]>, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.2")}, 16) = 0',
        f'sendto({tcp}, "GET / HTTP/1.1\\r\\nHost: a.example\\r\\n\\r\\n", 35, 0, NULL, 0) = 35',
    ]
    answer = f'recvfrom({tcp}, "HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n", 100, 0, NULL, NULL) = 38'
    yield from lines(asks, 7, 2000)
    yield from lines([answer], 8, 3000)
    yield from lines([f"close({tcp}) = 0"], 7, 4000)


def _odd_ends() -> Iterator[bytes]:
    """A clock that is centuries off for one line; questions to fcntl(2) as the last lines."""
    yield from lines([BEGIN, FORK, *rounds(300)])
    yield b'7 99999999999.000001 read(3</srv/q>, "far", 9) = 3 <0.000010>\n'
    yield from lines(rounds(100), 7, 3000)
    yield from lines(["fcntl(3</srv/q>, F_GETFL) = 0x8000", "fcntl(3</srv/q>, F_GETFD) = 0x1"], 7, 9000)


class _Reports:
    """All reports of a log, and how many records they were made of."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.records = 0

        def counted(*args: object) -> Iterator[Record]:
            for record in records(*args):  # type: ignore[arg-type]
                self.records += 1
                yield record

        monkeypatch.setattr(pipeline, "records", counted)
        monkeypatch.setattr(merged, "_LOOKS", 1)
        monkeypatch.setattr(pipeline, "BATCH", 24)

    def of(self, log: list[bytes]) -> tuple[list[bytes], int]:
        self.records = 0
        found = []
        for form in sorted(REPORTERS):
            out = io.BytesIO()
            REPORTERS[form].write(analyze([Input("log", list(log))]), out)
            found.append(out.getvalue())
        return found, self.records


@pytest.mark.parametrize("compiled", ["0", "1"])
@pytest.mark.parametrize(
    ("log", "leaves_out"),
    [
        pytest.param(list(_programs()), True, id="programs"),
        pytest.param(list(_odd_ends()), True, id="clocks and ends"),
        pytest.param(list(_shared()), False, id="attached"),
        pytest.param(list(_shared(BEGIN)), False, id="without clone(2)"),
        pytest.param(list(_shared(BEGIN, THREAD)), True, id="threads of one process"),
    ],
)
def test_no_report_changes(log: list[bytes], leaves_out: bool, compiled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYSTRACE_COMPILED", compiled)
    reports = _Reports(monkeypatch)
    fast, fewer = reports.of(log)
    monkeypatch.setattr(Files, "behind", lambda *_: None)  # nothing is left out
    told, many = reports.of(log)
    assert fast == told
    assert (fewer < many) is leaves_out


@pytest.mark.parametrize("compiled", ["0", "1"])
@pytest.mark.parametrize(("head", "share"), [([BEGIN, FORK], 0.5), ([FORK], 0.0), ([BEGIN], 0.0)])
def test_a_long_log_as_it_is_read(
    head: list[str], share: float, compiled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its usual batches: of calls on files most are left out, once the log has shown whose they are."""
    monkeypatch.setenv("SYSTRACE_COMPILED", compiled)
    made = 0

    def counted(*args: object) -> Iterator[Record]:
        nonlocal made
        for record in records(*args):  # type: ignore[arg-type]
            made += 1
            yield record

    monkeypatch.setattr(pipeline, "records", counted)
    log = [*lines(head), *lines(rounds(8000), 7, 10)]
    analyze([Input("log", log)])
    wanted = sum(b"fcntl(" in line or b"close(" in line or b"read(" in line or b"openat(" in line for line in log)
    assert (wanted - made) / wanted >= share if share else made >= wanted
