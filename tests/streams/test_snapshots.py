"""What the look before the trace brings into the analysis."""

from __future__ import annotations

import json

import pytest

from systrace import Analysis, Input, analyze

PROCESS = {"pid": 9, "ppid": 1, "argv": ["worker"]}
SOCKET = {"pid": 9, "fd": 4, "inode": 77, "family": "inet", "type": "stream", "protocol": "tcp",
          "local": "192.0.2.1:4000", "peer": "192.0.2.2:80", "state": "established"}  # fmt: skip


def attached(state: str) -> Analysis:
    """Attached for twenty seconds to a process that was in recvfrom, and of which no line came."""
    thread = {"pid": 9, "tid": 9, "state": state, "since": 90.0, "call": "recvfrom", "fd": 4, "fds": [[4, "r"]]}
    snapshot = {"pid": 8, "time": 100.0, "processes": [PROCESS], "threads": [thread], "sockets": [SOCKET]}
    lines = ["# systrace: " + json.dumps({"snapshot": snapshot}), "8 100.1 close(3) = 0", '# systrace: {"end": 120.0}']
    return analyze([Input("log", [each.encode() for each in lines])])


def alone(thread: dict[str, object], end: str = '{"end": 120.0}') -> Analysis:
    """Attached, and let go before the thread was seen to do anything."""
    thread = {"pid": 9, "tid": 9, "state": "S", "since": 90.0, **thread}
    snapshot = {"pid": 9, "time": 100.0, "processes": [PROCESS], "threads": [thread], "sockets": [SOCKET]}
    lines = ["# systrace: " + json.dumps({"snapshot": snapshot}), "# systrace: " + end]
    return analyze([Input("log", [each.encode() for each in lines])])


@pytest.mark.parametrize(
    ("call", "kind"), [("futex", "futex"), ("nanosleep", "sleep"), ("wait4", "child"), ("read", "stdin")]
)
def test_without_a_single_call_the_snapshot_stands(call: str, kind: str) -> None:
    analysis = alone({"call": call, "fd": 0 if call == "read" else None, "fds": []})
    finding = analysis.findings[0]
    assert (analysis.verdict.outcome, finding.cause, finding.variant) == ("hung", "not-network", kind)
    assert finding.duration_ns == 30 * 10**9
    assert b"snapshot" in finding.evidence[0].record.raw


def test_without_a_single_call_a_socket_is_waited_for_until_the_end() -> None:
    finding = alone({"call": "recvfrom", "fd": 4, "fds": [[4, "r"]]}).findings[0]
    assert (finding.cause, finding.peer, finding.duration_ns) == ("hung-read", "192.0.2.2:80", 30 * 10**9)


def test_a_thread_that_was_running_waits_for_nothing() -> None:
    assert alone({"call": None, "state": "R", "fds": []}).verdict.outcome == "inconclusive"


@pytest.mark.parametrize("time", ["1e400", "-1e400", "NaN", "1" + "0" * 400, '"x"', "null", "true", "[]"])
def test_odd_times_are_no_times(time: str) -> None:
    assert alone({"call": "futex", "fds": []}, f'{{"end": {time}}}').verdict.outcome == "inconclusive"
    line = f'# systrace: {{"snapshot": {{"pid": 9, "time": {time}, "processes": [{json.dumps(PROCESS)}], "threads": '
    line += f'[{{"pid": 9, "tid": 9, "state": "S", "call": "futex", "since": {time}, "limit": {time}}}]}}}}'
    analyze([Input("log", [line.encode(), b'# systrace: {"end": 120.0}'])])


def test_an_unfinished_call_lasts_until_the_recordings_end() -> None:
    thread = {"pid": 9, "tid": 9, "state": "S", "since": 90.0, "call": "futex", "fds": []}
    head = json.dumps({"snapshot": {"pid": 9, "time": 100.0, "processes": [PROCESS], "threads": [thread]}})
    call = "9 100.1 restart_syscall(<... resuming interrupted futex ...> <unfinished ...>"
    analysis = analyze([Input("log", [f"# systrace: {head}".encode(), call.encode(), b'# systrace: {"end": 120.0}'])])
    assert analysis.findings[0].duration_ns == 30 * 10**9


def test_a_wait_from_before_the_trace_is_judged() -> None:
    assert attached("S").findings[0].cause == "hung-read"


@pytest.mark.parametrize("state", ["T", "t"])
def test_a_process_that_is_stopped_waits_for_nobody(state: str) -> None:
    assert not [finding for finding in attached(state).findings if finding.severity in ("error", "fatal")]


def test_the_snapshot_says_of_the_socket_in_question_what_concerns_it(monkeypatch: pytest.MonkeyPatch) -> None:
    more = {"unread": 0, "unsent": 9, "last_data_sent_ms": 12, "last_data_received_ms": None, "timer": "on",
            "keepalive": {"on": False}}  # fmt: skip
    for name, value in more.items():
        monkeypatch.setitem(SOCKET, name, value)
    (line,) = [line for line in attached("S").findings[0].lines if line.line == 1]
    assert line.text == (
        "snapshot: fd 4 tcp established 192.0.2.1:4000 -> 192.0.2.2:80, unread 0, unsent 9, last data sent 12 ms "
        "before, timer on, keepalive off"
    )


def test_a_trace_of_one_unfinished_call_lasts_to_the_end_of_the_recording() -> None:
    lines = ['# systrace: {"start": 100.0}', "8 100.500000 recvfrom(3,  <unfinished ...>", '# systrace: {"end": 120.0}']
    source = analyze([Input("log", [each.encode() for each in lines])]).evidence.source
    assert (source.first_ns, source.last_ns) == (100_500_000_000, 120_000_000_000)


@pytest.mark.parametrize(
    "odd",
    [
        {"sockets": [{"pid": [1], "fd": {}}]},
        {"sockets": [{**SOCKET, "local": [], "peer": 7, "keepalive": {"on": []}, "timer": {}}]},
        {"threads": [{"pid": 9, "tid": {}, "fds": [[[], "r"]]}]},
        {"threads": [{"pid": 9, "tid": 9, "fds": [[[], "r"]], "call": []}]},
        {"processes": [{"pid": 9, "argv": 5}], "epoll": [{"pid": [], "fd": 1, "fds": 3}]},
        {"processes": 1, "threads": {}, "sockets": "x", "epoll": None, "time": float("nan")},
    ],
)
def test_a_snapshot_that_nobody_wrote_is_no_traceback(odd: dict[str, object]) -> None:
    lines = ["# systrace: " + json.dumps({"snapshot": {"processes": [PROCESS], **odd}}), "9 100.100000 close(3) = 0"]
    assert analyze([Input("log", [each.encode() for each in lines])]).verdict.outcome in ("healthy", "inconclusive")
