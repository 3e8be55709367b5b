"""Loops that read the end of a connection again and again, with pauses; and those that may yet get something."""

from __future__ import annotations

import pytest

from systrace.model import Verdict
from tests.rules.verdict.short_logs import STREAM, TO, judged

STANDS = [f"9 1.0 socket({STREAM}) = 3 <0.0001>", f"9 1.1 connect(3, {TO % (80, 7)}) = 0 <0.0001>"]
FILE = ['9 1.0 openat(AT_FDCWD, "/var/log/app", O_RDONLY) = 3 <0.0001>']
GOT = '9 1.2 read(3, "part\\n", 100) = 5 <0.0001>'
NONE = '9 {}.{} read(3, "", 100) = 0 <0.0001>'
NAP = "9 {}.{} nanosleep({{tv_sec=0, tv_nsec=2000000}}, NULL) = 0 <0.0021>"
TERM = "9 {}.{} --- SIGTERM {{si_signo=SIGTERM, si_code=SI_USER, si_pid=8, si_uid=0}} ---"


def looped(begin: list[str], rounds: int, *end: str, each: tuple[str, ...] = (NONE, NAP)) -> Verdict:
    """A loop of these calls, five milliseconds a round, and what came then."""
    lines = [
        call.format(2 + n // 200, f"{n % 200 * 5 + i * 2:03}") for n in range(rounds) for i, call in enumerate(each)
    ]
    after = [line.format(2 + rounds // 200, f"{rounds % 200 * 5:03}") for line in end]
    return judged(*begin, GOT, *lines, *after).verdict


def test_the_end_of_a_connection_is_all_there_is_to_read() -> None:
    """Nothing comes after the first 0 (recv(2)): that it sleeps in between changes nothing."""
    verdict = looped(STANDS, 300, "9 {}.{} +++ killed by SIGTERM +++")
    assert (verdict.outcome, verdict.cause, verdict.peer) == ("hung", "busy-loop", "192.0.2.7:80")


def test_a_handler_that_tidies_up_did_not_end_the_loop() -> None:
    """SIGTERM is caught, the descriptor closed, and the signal sent again."""
    verdict = looped(STANDS, 300, TERM, "9 {}.{}1 close(3) = 0 <0.0001>", "9 {}.{}2 +++ killed by SIGTERM +++")
    assert (verdict.cause, verdict.peer) == ("busy-loop", "192.0.2.7:80")


@pytest.mark.parametrize(("begin", "rounds"), [(FILE, 300), (STANDS, 40)])
def test_what_may_grow_is_no_busy_loop(begin: list[str], rounds: int) -> None:
    """Of a file more may come, as tail -f knows; and some reads of an end are how a program finds out."""
    assert looped(begin, rounds, "9 {}.{} +++ killed by SIGTERM +++").cause != "busy-loop"


def test_whoever_left_the_loop_noticed() -> None:
    """The program closes the connection in the end and does well."""
    assert looped(STANDS, 300, "9 {}.{} close(3) = 0 <0.0001>", "9 {}.{}1 +++ exited with 0 +++").cause == "healthy"


def test_a_loop_without_pauses_names_its_connection() -> None:
    """The same peer that the sentence names."""
    verdict = looped(STANDS, 300, each=(NONE,))
    assert (verdict.cause, verdict.peer) == ("busy-loop", "192.0.2.7:80")
    assert "192.0.2.7:80" in verdict.headline
