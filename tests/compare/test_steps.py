"""What a run did, as steps."""

from __future__ import annotations

from systrace.compare.nouns import CONNECTION, LOOKUP, PROCESS, Step
from systrace.compare.steps import Known, connections, lookups, port_shape, processes
from tests.compare.scribe import Log, nightly


def known(log: Log) -> Known:
    return Known(log.analysis())


def told(steps: list[Step]) -> list[tuple[str, str]]:
    return [(each.text, each.outcome) for each in steps]


def test_a_run() -> None:
    run = known(nightly())
    assert told(list(processes(run))) == [("run export.py", "exit status 0")]
    assert told(list(lookups(run))) == [("look up api.example (A)", "found")]
    assert told(list(connections(run))) == [
        ("connect to api.example:80", "connected"),
        ("connect to 192.0.2.40:6379", "connected"),
    ]
    for step in (*processes(run), *lookups(run), *connections(run)):
        assert step.place.line
        assert step.key.kind in (PROCESS, LOOKUP, CONNECTION)
        assert step.key.role == "export.py"
        assert not step.failed


def test_addresses_are_not_who_a_peer_is() -> None:
    first, second = connections(known(nightly()))
    assert (first.key.peer, first.key.port) == ("api.example", "80")
    assert (second.key.peer, second.key.port) == ("", "6379")


def test_a_connect_that_failed() -> None:
    log = Log()
    log.begins("job.sh")
    log.connects("192.0.2.1", 443, "-1 EHOSTUNREACH (No route to host)")
    log.ends(1)
    (step,) = connections(known(log))
    assert (step.outcome, step.failed) == ("host unreachable", True)


def test_options_that_a_program_sets() -> None:
    log = Log()
    log.begins("job.sh")
    fd = log.connects("192.0.2.1", options="SOL_SOCKET, SO_KEEPALIVE, [1], 4")
    log.call(f"setsockopt({fd}, SOL_TCP, TCP_KEEPIDLE, [60], 4) = 0")
    log.call(
        f'setsockopt({fd}, SOL_SOCKET, SO_RCVTIMEO_OLD, "\\36\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0", 16) = 0'
    )
    log.ends()
    (step,) = connections(known(log))
    assert step.options["keepalive"] == "on"
    assert step.options["keepalive idle"] == "60 s"


def test_ports_that_are_handed_out_are_alike() -> None:
    assert port_shape(50_000) == port_shape(40_001) != port_shape(8080)
    assert port_shape(0) == ""
