"""Programs that die after sound data, of something else: what came may be named, nobody is."""

from __future__ import annotations

import pytest

from systrace.model import Analysis
from tests.rules.http_job import ask, blamed, connect, forked, got, judged, left, wrote

SHELL = '9 1.0 execve("/bin/sh", ["sh", "nightly.sh"], 0x7ffc) = 0 <0.001>'
JSON = "Content-Type: application/json\\r\\n"
SOUND = [connect(9, 1.3), ask(9, 1.4), got(9, 1.5, "200 OK", '{\\"rows\\": []}', more=JSON)]
OPAQUE = [
    connect(9, 1.3, port=7003), '9 1.4 sendto(3, "\\1\\2", 2, 0, NULL, 0) = 2 <0.001>',
    '9 1.5 recvfrom(3, "\\3\\4\\5\\6\\7", 4096, 0, NULL, NULL) = 5 <0.001>',
]  # fmt: skip
SEGV = "9 1.6 --- SIGSEGV {si_signo=SIGSEGV, si_code=SEGV_MAPERR, si_addr=NULL} ---\n9 1.7 +++ killed by SIGSEGV +++"


@pytest.mark.parametrize(
    "words",
    [
        "subprocess.CalledProcessError: Command 'sort' died with <Signals.SIGKILL: 9>.",
        "sqlite3.OperationalError: database is locked",
        "RecursionError: maximum recursion depth exceeded",
        "PHP Fatal error: Uncaught DivisionByZeroError: Division by zero in /job.php:1",
        "NameError: name 'total' is not defined",
    ],
)
def test_an_exception_of_something_else_is_no_crash_on_data(words: str) -> None:
    assert not blamed(judged(*SOUND, wrote(9, 1.6, words), left(9, 1.8, 1)))


def _crash(analysis: Analysis) -> tuple[str, str | None, str]:
    (finding,) = blamed(analysis)
    return finding.cause, finding.peer, finding.confidence


def test_sound_data_accuses_nobody() -> None:
    """An assertion, a crash: the data may be what the program did not expect, and its sender did nothing wrong."""
    said = wrote(9, 1.6, "AssertionError: rest left")
    lacks = wrote(9, 1.6, "KeyError: 'orders'")
    assert _crash(judged(*SOUND, lacks, left(9, 1.8, 1))) == ("parse-crash", "192.0.2.7:80", "possible")
    assert _crash(judged(*SOUND, said, left(9, 1.8, 1))) == ("parse-crash", None, "possible")
    assert _crash(judged(*SOUND, SEGV)) == ("parse-crash", None, "possible")
    assert _crash(judged(*OPAQUE, SEGV)) == ("parse-crash", "192.0.2.7:7003", "likely")  # nobody could check that


def test_whoever_got_nothing_of_it_did_not_die_of_it() -> None:
    """`curl -o rows URL; ./crash </dev/null`."""
    saved = (
        '10 1.55 openat(AT_FDCWD, "/job/rows", O_WRONLY|O_CREAT|O_TRUNC, 0644) = 4 <0.001>\n'
        '10 1.56 write(4, "{}", 2) = 2 <0.001>'
    )
    got_it = [connect(10, 1.3), ask(10, 1.4), got(10, 1.5, "200 OK", "{}", more=JSON)]
    died = SEGV.replace("9 1.6", "11 2.2").replace("9 1.7", "11 2.3")
    job = [SHELL, forked(9, 10, 1.1, "curl"), *got_it]
    end = [forked(9, 11, 2.0, "crash"), died, left(9, 2.9, 139)]
    assert not blamed(judged(*job, saved, left(10, 1.6), *end))
    assert blamed(judged(*job, left(10, 1.6), *end))  # by a pipe, perhaps


def test_a_signal_that_somebody_sent_is_no_crash() -> None:
    sent = (
        "9 1.6 --- SIGSEGV {si_signo=SIGSEGV, si_code=SI_USER, si_pid=9, si_uid=0} ---\n9 1.7 +++ killed by SIGSEGV +++"
    )
    assert not blamed(judged(*SOUND, sent))
