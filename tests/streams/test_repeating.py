"""Loops that get nowhere are found among calls that differ, and only those."""

from __future__ import annotations

import pytest

from systrace.model import Input, Repeat
from systrace.pipeline import analyze

AGAIN = "{tid} 17000000{at:06.3f} recvfrom(7, 0x7f00, 99, 0, NULL, NULL) = -1 EAGAIN (Try again) <0.000001>"
OTHER = '9 17000000{at:06.3f} write(1, "{n}", 4) = 4 <0.000001>'


def repeats(lines: list[str]) -> list[Repeat]:
    text = "".join(f"{line}\n" for line in lines).encode()
    return list(analyze([Input("log", text.splitlines(keepends=True))]).evidence.repeats)


@pytest.mark.parametrize("before", [0, 31, 300])
@pytest.mark.parametrize("after", [0, 1, 400])
def test_a_loop_is_found_wherever_it_stands(before: int, after: int) -> None:
    lines = [OTHER.format(at=1, n=n) for n in range(before)] + [AGAIN.format(at=2 + n / 100, tid=9) for n in range(300)]
    lines += [OTHER.format(at=9, n=n) for n in range(after)]
    (found,) = repeats(lines)
    assert (found.tid, found.at_end) == (9, after == 0)
    assert 200 <= found.rounds <= 300  # a batch may pass before it is noticed
    assert found.duration_ns


def test_two_threads_take_turns() -> None:
    found = repeats([AGAIN.format(at=1 + n / 100, tid=tid) for n in range(300) for tid in (9, 10)])
    assert {each.tid for each in found} == {9, 10}


def test_what_differs_or_is_short_is_no_loop() -> None:
    assert not repeats([OTHER.format(at=1, n=n) for n in range(2000)])
    assert not repeats([AGAIN.format(at=1, tid=9)] * 12)


TICK = "9 17000000{at:06.3f} --- SIGALRM {{si_signo=SIGALRM, si_code=SI_KERNEL}} ---"
GOES_ON = "9 17000000{at:06.3f} rt_sigreturn({{mask=[]}}) = -1 EINTR (Interrupted system call) <0.000001>"


def test_signals_are_no_calls() -> None:
    """A timer that ticks at each seventh round ends no loop."""
    lines = []
    for n in range(300):
        lines.append(AGAIN.format(at=2 + n / 100, tid=9))
        lines += [form.format(at=2 + n / 100) for form in (TICK, GOES_ON) if not n % 7]
    (found,) = repeats(lines)
    assert found.rounds >= 200
    assert [event.record.syscall for event in found.calls] == ["recvfrom"]


@pytest.mark.parametrize(("last", "at_end"), [("", True), (OTHER.format(at=6, n=7), False)])
def test_a_thread_that_ends_within_its_loop(last: str, at_end: bool) -> None:
    """Other threads go on for long: what counts is that this one did nothing else."""
    lines = [AGAIN.format(at=2 + n / 100, tid=9) for n in range(300)]
    lines += [last] if last else []
    lines.append("9 1700000006.500 +++ killed by SIGTERM +++")
    lines += [f'8 17000000{7 + n / 1000:06.3f} write(1, "{n}", 4) = 4 <0.000001>' for n in range(400)]
    (found,) = repeats(lines)
    assert (found.tid, found.at_end) == (9, at_end)
