"""What matters, and how much."""

from __future__ import annotations

from systrace.compare import compare
from systrace.compare.nouns import Comparison
from systrace.compare.weighing import CULPRIT
from tests.compare.scribe import Log, Style, nightly


def kinds(told: Comparison) -> set[str]:
    return {each.kind for each in told.differences}


def store(
    times: int, port: int = 80, options: str = "", body: str = '{"id": 1}', kind: str = "application/json"
) -> Log:
    log = Log(Style(pid=100 + times))
    log.begins("store.py")
    fd = log.connects("192.0.2.10", port, options=options)
    for _ in range(times):
        log.fetches(fd, "/payments", method="POST", body=body, kind=kind)
    log.ends()
    return log


def compared(good: Log, bad: Log) -> Comparison:
    return compare(good.analysis(), bad.analysis())


def test_what_is_done_twice_counts_where_it_changes_something() -> None:
    (told,) = compared(store(1), store(2)).differences
    assert (told.kind, told.good, told.bad) == ("count", "1", "2")
    assert told.text == "POST http://api.example/payments: 2 times in BAD, 1 times in GOOD"


def test_steps_of_one_run_only() -> None:
    told = compared(nightly(), store(1))
    assert {"only-good", "only-bad"} <= kinds(told)
    assert all(each.weight < CULPRIT for each in told.differences)


def test_content() -> None:
    assert kinds(compared(store(1), store(1, kind="text/html"))) == {"content"}


def test_sizes_beyond_twice_and_a_kilobyte() -> None:
    small, large = '{"a": 1}', '{"a": "' + "x" * 3000 + '"}'
    assert kinds(compared(store(1, body=small), store(1, body=large))) == {"size"}
    assert not compared(store(1, body=small), store(1, body='{"a": 1111111111111}')).differences


def test_options() -> None:
    kept = store(1, options="SOL_SOCKET, SO_KEEPALIVE, [1], 4")
    (told,) = compared(kept, store(1)).differences
    assert (told.kind, told.good, told.bad) == ("option", "keepalive on", "keepalive not set")


def test_alike_differences_are_one_with_their_number() -> None:
    good, bad = (Log(Style(pid=pid)) for pid in (5, 6))
    for log, status in ((good, "200 OK"), (bad, "404 Not Found")):
        log.begins("many.py")
        fd = log.connects("192.0.2.10")
        for page in range(10):
            log.fetches(fd, f"/page/{page}", status=status if page % 2 else "200 OK")
        log.ends()
    told = [each for each in compared(good, bad).differences if each.kind == "outcome" and "page" in each.step]
    assert [(each.count, each.of) for each in told] == [(5, 10)]
    assert told[0].text.endswith("(5 of 10 times)")


def test_a_log_that_shows_no_bytes_misses_nothing() -> None:
    """strace -e trace=network of a program that uses read(2) and write(2)."""
    blind = Log(Style(pid=77))
    blind.begins("store.py")
    fd = blind.connects("192.0.2.10")
    blind.call(f"shutdown({fd}, SHUT_RDWR) = 0")
    blind.ends()
    assert not compared(store(1), blind).differences


def test_minor_things_are_told_beside_others_only() -> None:
    def run(rows: int, argument: str, status: int) -> Log:
        log = Log(Style(pid=rows))
        log.begins("rows.py", argument)
        fd = log.connects("192.0.2.10")
        for row in range(rows):
            log.fetches(fd, f"/rows/{row}")
        log.ends(status)
        return log

    assert not compared(run(10, "--all", 0), run(7, "--new", 0)).differences
    told = compared(run(10, "--all", 0), run(7, "--new", 3)).differences
    assert [each.kind for each in told] == ["outcome", "count", "arguments"]
    assert (told[1].good, told[1].bad) == ("10", "7")


def several(count: int) -> Log:
    """As many connections, one request over each."""
    log = Log(Style(pid=100 + count))
    log.begins("many.py")
    for number in range(count):
        fd = log.connects("192.0.2.10")
        log.fetches(fd, f"/rows/{number}")
        log.closes(fd)
    log.ends()
    return log


def test_what_was_too_much_to_be_kept_is_not_missing() -> None:
    few, many = several(40).analysis(), several(2600).analysis()
    assert many.evidence.forgotten.made
    assert kinds(compare(few, many)) == {"time"}  # of the whole job
    assert not compare(many, few).differences
    assert kinds(compare(few, several(120).analysis())) == {"count"}


def asked(path: str) -> Log:
    log = Log(Style())
    log.begins("poll.py")
    log.fetches(log.connects("192.0.2.10"), path)
    log.ends()
    return log


def test_ids_that_are_drawn_are_no_difference() -> None:
    assert not compared(asked("/jobs/k3j9x/log"), asked("/jobs/p7w2q/log")).differences
    assert not compared(asked("/jobs/x2kq/log"), asked("/jobs/m7pa/log")).differences
    assert kinds(compared(asked("/v1/jobs"), asked("/v2/jobs"))) == {"request"}


def test_what_only_one_log_can_show_became_of_a_connection() -> None:
    """The same job, recorded with -e trace=network and with all calls: its last read(2) is in one of them."""

    def log(reads: bool) -> Log:
        made = Log(Style())
        made.begins("fetch.py")
        fd = made.connects("192.0.2.10", 9000)
        made.asks(fd, "HELLO|")
        if reads:
            made.call(f"read({fd}, 0x7ffc, 4096) = -1 ECONNRESET (Connection reset by peer)")
        made.ends()
        return made

    assert "outcome" not in kinds(compared(log(False), log(True))) | kinds(compared(log(True), log(False)))
