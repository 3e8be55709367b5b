"""A call whose second half is missing (grep) has returned when its thread makes another one: nobody is accused of it."""

from __future__ import annotations

import pytest

from systrace.model import ENDED, UNFINISHED, Analysis, Input
from systrace.pipeline import analyze, raw_records

_ADDRESS = '{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.7")}, 16'
_ASK = 'sendto(3, "GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", 27, 0, NULL, 0) = 27 <0.0001>'
_OK = 'recvfrom(3, "HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok", 4096, 0, NULL, NULL) = 40 <0.001>'
_OPEN = "socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.0001>"
_CONNECT = f"connect(3, {_ADDRESS}) = 0 <0.001>"
_CLOSE = "close(3) = 0 <0.0001>"
_LATER = 'openat(AT_FDCWD, "/tmp/out", O_WRONLY) = 5 <0.0001>'


def log(*calls: str, tid: int = 9) -> bytes:
    """The calls of one thread of two, some seconds apart."""
    lines = [f"{tid} {1700001000 + 3 * at}.000000 {call}\n" for at, call in enumerate(calls)]
    return "".join([*lines, f"{tid} 1700001500.000000 +++ exited with 0 +++\n"]).encode()


def verdict(text: bytes) -> Analysis:
    return analyze([Input("job.strace", text.splitlines(keepends=True))])


MISSING = {
    "connect": [_OPEN, f"connect(3, {_ADDRESS} <unfinished ...>", _LATER, _CLOSE],
    "connect, then used": [_OPEN, f"connect(3, {_ADDRESS} <unfinished ...>", _ASK, _OK, _CLOSE],
    "poll of a connect": [
        _OPEN, f"connect(3, {_ADDRESS}) = -1 EINPROGRESS (Operation now in progress) <0.0001>",
        "poll([{fd=3, events=POLLOUT}], 1, 5000 <unfinished ...>", _LATER, _CLOSE,
    ],
    "send": [_OPEN, _CONNECT, 'sendto(3, "GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", 27, 0, NULL, 0 <unfinished ...>', _OK,
             _LATER],
    "receive": [_OPEN, _CONNECT, _ASK, "recvfrom(3,  <unfinished ...>", _LATER],
    "receive, then the end": [
        _OPEN, _CONNECT, _ASK, "recvfrom(3,  <unfinished ...>", 'recvfrom(3, "", 4096, 0, NULL, NULL) = 0 <0.0001>', _CLOSE,
    ],
    "a part of the body": [
        _OPEN, _CONNECT, _ASK,
        'recvfrom(3, "HTTP/1.1 200 OK\\r\\nContent-Length: 9\\r\\n\\r\\n{\\"a\\"", 4096, 0, NULL, NULL) = 43 <0.001>',
        "recvfrom(3,  <unfinished ...>", 'recvfrom(3, "", 4096, 0, NULL, NULL) = 0 <0.0001>', _CLOSE,
    ],
    "poll for an answer": [_OPEN, _CONNECT, _ASK, "poll([{fd=3, events=POLLIN}], 1, 5000 <unfinished ...>", _LATER, _CLOSE],
    "restarted": [_OPEN, _CONNECT, _ASK, "poll([{fd=3, events=POLLIN}], 1, -1) = ? ERESTART_RESTARTBLOCK (Interrupted by "
                  "signal) <0.5>", "restart_syscall(<... resuming interrupted poll ...> <unfinished ...>", _LATER, _OK, _CLOSE],
}  # fmt: skip


@pytest.mark.parametrize("name", MISSING)
def test_nobody_is_accused_of_what_is_not_in_the_log(name: str) -> None:
    found = verdict(log(*MISSING[name]))
    assert found.verdict.outcome in ("healthy", "inconclusive"), found.findings[0]
    assert not [f for f in found.findings if f.severity in ("error", "fatal")]


def test_a_call_that_goes_on_to_the_end_of_the_log_still_hangs() -> None:
    calls = log(_OPEN, _CONNECT, _ASK, "recvfrom(3,  <unfinished ...>").replace(b" +++ exited with 0 +++\n", b"")
    calls = (
        calls[: calls.rindex(b"9 1700001500")]
        + b"8 1700001012.000000 getppid() = 1 <0.0001>\n8 1700001012.100000 close(77) = 0 <0.1>\n"
    )
    assert verdict(calls).verdict.cause == "hung-read"


def outcomes(text: bytes) -> list[tuple[str, str]]:
    records = raw_records([Input("job.strace", text.splitlines(keepends=True))])
    return [(record.syscall, record.outcome) for record in records if record.outcome in (ENDED, UNFINISHED)]


def test_what_shows_that_a_call_has_ended() -> None:
    begun = b"9 1700001000.000000 read(3,  <unfinished ...>\n"
    assert outcomes(begun + b"9 1700001001.000000 close(3) = 0 <0.1>\n") == [("read", ENDED)]
    assert outcomes(begun + b"8 1700001001.000000 close(3) = 0 <0.1>\n") == [("read", UNFINISHED)]
    assert outcomes(begun + b"9 1700001001.000000 poll([{fd=3, events=POLLIN}], 1, -1 <unfinished ...>\n") == [
        ("read", ENDED), ("poll", UNFINISHED),
    ]  # fmt: skip
    assert outcomes(begun + b"9 1700001001.000000 <... poll resumed>) = 0 (Timeout) <0.1>\n") == [("read", ENDED)]
    resumed = b'9 1700001001.000000 <... read resumed>"x", 1) = 1 <1.0>\n9 1700001002.000000 close(3) = 0 <0.1>\n'
    assert outcomes(begun + resumed) == []


def test_a_signal_does_not_end_what_its_handler_interrupts_unseen() -> None:
    text = b"9 1700001000.000000 pause( <unfinished ...>\n8 1700001001.000000 kill(9, 10) = 0 <0.1>\n"
    text += b"9 1700001001.000000 <... pause resumed>) = ? ERESTARTNOHAND (To be restarted if no handler) <1.0>\n"
    text += b"9 1700001001.100000 --- SIGUSR1 {si_signo=SIGUSR1} ---\n"
    assert (
        outcomes(text + b"9 1700001001.200000 rt_sigreturn({mask=[]}) = -1 EINTR (Interrupted system call) <0.1>\n")
        == []
    )


def test_a_fork_still_has_its_child() -> None:
    text = b"9 1700001000.000000 vfork( <unfinished ...>\n9 1700001001.000000 getpid() = 9 <0.1>\n"
    text += b"10 1700001002.000000 close(3) = 0 <0.1>\n"
    assert verdict(text + b"10 1700001003.000000 +++ exited with 0 +++\n").evidence.processes[10].parent == 9
