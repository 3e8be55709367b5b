"""Times beyond twice and 100 ms."""

from __future__ import annotations

from systrace.compare import compare
from systrace.compare.nouns import Difference
from tests.compare.scribe import Log, Style


def pages(*after: float, pause: float = 0.0, clock: str = "-ttt") -> Log:
    log = Log(Style(clock=clock))
    log.begins("pages.py")
    fd = log.connects("192.0.2.10")
    for number, each in enumerate(after):
        log.fetches(fd, f"/page/{number}", after=each)
    if pause:
        log.call("clock_nanosleep(CLOCK_REALTIME, 0, {tv_sec=1, tv_nsec=0}, NULL) = 0", pause)
    log.ends()
    return log


def differences(good: Log, bad: Log) -> list[Difference]:
    return list(compare(good.analysis(), bad.analysis()).differences)


def test_a_slow_answer() -> None:
    (told,) = differences(pages(0.05, 0.05), pages(0.05, 0.9))
    assert (told.kind, told.good, told.bad) == ("time", "50 ms", "900 ms")
    assert told.step == "GET http://api.example/page/1"


def test_the_slowest_comes_first() -> None:
    def steps(one: float, other: float) -> Log:
        log = Log()
        log.begins("two.py")
        fd = log.connects("192.0.2.10")
        log.fetches(fd, "/a", after=one)
        log.fetches(fd, "/b", after=other)
        log.ends()
        return log

    told = differences(steps(0.01, 0.01), steps(0.5, 4.0))
    assert [each.step.rpartition("/")[2] for each in told] == ["b", "a"]


def test_twice_alone_or_100_ms_alone_is_noise() -> None:
    assert not differences(pages(0.01), pages(0.1))
    assert not differences(pages(0.5), pages(0.9))


def test_faster_is_told_last() -> None:
    (told,) = differences(pages(0.9), pages(0.05))
    assert told.weight < 10


def test_which_of_them_is_slow_is_chance() -> None:
    assert not differences(pages(0.01, 0.4, 0.01), pages(0.4, 0.01, 0.01))


def test_one_of_many_by_a_little_is_a_busy_machine() -> None:
    many = [0.01] * 40
    assert not differences(pages(*many), pages(*many[1:], 0.3))
    assert len(differences(pages(*many), pages(*many[1:], 3.0))) == 1


def test_a_clock_of_whole_seconds() -> None:
    assert not differences(pages(0.05, clock="-t"), pages(0.9, clock="-t"))


def test_the_job_itself_was_slow() -> None:
    (told,) = differences(pages(0.01), pages(0.01, pause=20))
    assert told.text.startswith("the whole job took 20.0 s in BAD")


def test_a_tenth_of_many_is_no_busy_machine() -> None:
    many = [0.05] * 100
    (told,) = differences(pages(*many), pages(*many[10:], *[0.3] * 10))
    assert (told.count, told.of, told.good, told.bad) == (10, 100, "50 ms", "300 ms")
    assert not differences(pages(*many), pages(*many[4:], *[0.3] * 4))
