"""Requests of HTTP and of other protocols as steps."""

from __future__ import annotations

from systrace.compare.steps import Known
from systrace.compare.talk import dialogues, handshakes, web
from tests.compare.scribe import Log, nightly


def test_http() -> None:
    first, *_others, last = web(Known(nightly().analysis()))
    assert (first.key.peer, first.key.port, first.key.method) == ("api.example", "80", "GET")
    assert first.key.shape == "/v1/orders/{n}?since"
    assert (first.outcome, first.size, first.content) == ("200", 19, "application/json")
    assert 9_000_000 < first.times["first byte"] < 12_000_000
    assert (last.key.method, last.changes, last.key.shape) == ("POST", True, "/v1/done")


def test_redis() -> None:
    (step,) = dialogues(Known(nightly().analysis()))
    assert (step.key.protocol, step.key.method, step.outcome, step.failed) == ("redis", "SET", "answered", False)


def test_all_commands_of_a_long_connection_are_there() -> None:
    log = Log()
    log.begins("job.py")
    fd = log.connects("192.0.2.40", 6379)
    for number in range(200):
        log.asks(fd, f"*2|$3|GET|$8|user:{number:03}|")
        log.gets(fd, "$1|x|", 0.001)
    log.ends()
    steps = list(dialogues(Known(log.analysis())))
    assert len(steps) == 200
    assert len({step.key for step in steps}) == 1


def test_a_refusal_in_a_protocol_of_its_own() -> None:
    log = Log()
    log.begins("job.py")
    fd = log.connects("192.0.2.40", 6379)
    log.asks(fd, "*2|$3|GET|$1|a|")
    log.gets(fd, "-LOADING Redis is loading the dataset in memory|")
    log.ends(1)
    (step,) = dialogues(Known(log.analysis()))
    assert step.failed
    assert "LOADING" in step.outcome


def test_an_answer_that_never_came() -> None:
    log = Log()
    log.begins("job.py")
    fd = log.connects("192.0.2.10")
    log.asks(fd, "GET /a HTTP/1.1|Host: api.example||")
    log.closes(fd)
    log.ends(1)
    (step,) = web(Known(log.analysis()))
    assert (step.outcome, step.failed) == ("no answer", True)


def test_no_tls_where_there_is_none() -> None:
    assert not list(handshakes(Known(nightly().analysis())))
