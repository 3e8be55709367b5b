"""Which line is about which request; what can't be told apart is not decided."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from systrace.model import Analysis, Input, Keep
from systrace.pipeline import analyze

T0 = 1_764_324_000  # 2025-11-28 10:00:00 UTC
KILLED = ["--- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=1, si_uid=0} ---", "+++ killed by SIGTERM +++"]
Step = tuple[float, str]


def connection(fd: int, at: float, port: int | None = None, peer: str = "203.0.113.10") -> Iterable[Step]:
    yield at, f"socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = {fd} <0.000010>"
    yield (
        at,
        f'connect({fd}, {{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("{peer}")}}, 16) = 0 <0.001>',
    )
    if port is not None:
        name = f'{{sa_family=AF_INET, sin_port=htons({port}), sin_addr=inet_addr("192.0.2.9")}}'
        yield at, f"getsockname({fd}, {name}, [16]) = 0 <0.000010>"


def ask(fd: int, at: float, path: str, host: str = "api.example") -> Step:
    text = f"GET {path} HTTP/1.1\\r\\nHost: {host}\\r\\n\\r\\n"
    return at, f'sendto({fd}, "{text}", 9999, 0, NULL, 0) = {len(text) - text.count(chr(92))} <0.000010>'


def answer(fd: int, at: float) -> Step:
    return at, f'recvfrom({fd}, "HTTP/1.1 204 No\\r\\n\\r\\n", 9999, 0, NULL, NULL) = 19 <0.000010>'


def hung(fd: int, at: float, until: float) -> Iterable[Step]:
    yield at, f"recvfrom({fd}, 0x55d0, 4096, 0, NULL, NULL) = ? ERESTARTSYS (To be restarted) <{until - at:.6f}>"
    for call in KILLED:
        yield until + 0.1, call


def log(*steps: Step, clock: str = "epoch") -> bytes:
    run = 'execve("/job", ["/job"], 0x1 /* 3 vars */) = 0 <0.001>'
    lines = []
    for at, call in [(0, run), *steps]:
        stamp = f"{T0 + at:.6f}" if clock == "epoch" else datetime.fromtimestamp(T0 + at, UTC).strftime("%H:%M:%S.%f")
        lines.append(f"900 {stamp} {call}\n")
    return "".join(lines).encode()


def combined(
    at: float, path: str, status: int = 200, took: float = 0.0, size: int = 366, client: str = "198.51.100.7"
) -> str:
    ended = datetime.fromtimestamp(T0 + at + took, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")
    return f'{client} - - [{ended}] "GET {path} HTTP/1.1" {status} {size} "-" "job/1" {took:.3f}'


def alb(at: float, path: str, port: int, took: float, client: str = "192.0.2.9") -> str:
    began, ended = (datetime.fromtimestamp(T0 + s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") for s in (at, at + took))
    return (
        f'http {ended} app/a/1 {client}:{port} 10.0.1.5:80 0.001 {took} 0.001 200 200 34 366 "GET http://api.example:80{path} '
        f'HTTP/1.1" "job/1" - - arn "Root=1" "-" "-" 0 {began} "forward" "-" "-" "10.0.1.5:80" "200" "-" "-"'
    )


def judged(trace: bytes, server: list[str], tmp_path: Path) -> Analysis:
    path = tmp_path / "access.log"
    path.write_text("\n".join(server) + "\n")
    lines = trace.splitlines(keepends=True)
    return analyze([Input("job.strace", lines)], keep=Keep(requests=True), server_logs=[str(path)])


def told(analysis: Analysis) -> list[tuple[str, str, Any]]:
    found = analysis.evidence.observations
    return [
        (each.kind, each.source.partition(" line ")[2].partition(" ")[0], each.value.get("after_s")) for each in found
    ]


HUNG = [*connection(3, 1), ask(3, 1.1, "/report"), *hung(3, 1.2, 1200)]
OTHERS = [combined(at, "/other") for at in (-60, 900, 2000)]


def test_an_answer_that_never_came(tmp_path: Path) -> None:
    analysis = judged(log(*HUNG), [OTHERS[0], combined(1.1, "/report", took=363.6), *OTHERS[1:]], tmp_path)
    assert told(analysis) == [("server-answered", "2", 363.6)]
    first = analysis.findings[0]
    assert (analysis.verdict.cause, first.variant, first.confidence) == ("idle-timeout", "answer-lost", "confirmed")
    assert "answered after 364 s" in first.summary
    assert "Google" not in first.summary
    assert "access.log line 2 (nginx or Apache)" in first.summary


def test_a_short_wait_with_a_limit_of_its_own(tmp_path: Path) -> None:
    steps = [
        *connection(3, 1),
        ask(3, 1.1, "/report"),
        (1.2, "poll([{fd=3, events=POLLIN}], 1, 20000) = 0 (Timeout) <20.020>"),
    ]
    trace = log(*steps, (22, "close(3) = 0 <0.1>"), (23, "exit_group(1) = ?"), (23.1, "+++ exited with 1 +++"))
    assert judged(trace, OTHERS, tmp_path).verdict.cause == "read-timeout"
    lost = judged(trace, [combined(1.1, "/report", took=8), *OTHERS], tmp_path)
    assert (lost.verdict.cause, lost.findings[0].variant) == ("idle-timeout", "answer-lost")
    slow = judged(trace, [combined(1.1, "/report", 499, took=20, size=0), *OTHERS], tmp_path)
    assert slow.verdict.cause == "read-timeout"
    assert "499" in slow.findings[0].summary
    assert "still working" in slow.findings[0].causes[0]


def test_the_client_gave_up(tmp_path: Path) -> None:
    analysis = judged(log(*HUNG), [combined(1.1, "/report", 499, took=1199, size=0), *OTHERS], tmp_path)
    first = analysis.findings[0]
    assert (analysis.verdict.cause, first.confidence) == ("hung-read", "confirmed")
    assert "499" in first.summary
    assert not any(finding.cause == "idle-timeout" for finding in analysis.findings)


def test_a_connection_is_known_by_its_port(tmp_path: Path) -> None:
    """Two equal requests at one time, and still no doubt: no address was translated."""
    steps = [*connection(3, 1, 41_234), ask(3, 1.1, "/report"), *hung(3, 1.2, 1200)]
    server = [alb(1.1, "/report", 41_233, 1), alb(1.2, "/report", 41_234, 363.6), alb(1.3, "/report", 41_235, 2)]
    assert told(judged(log(*steps), server, tmp_path)) == [("server-answered", "2", 363.6)]


def test_two_that_fit_are_not_decided(tmp_path: Path) -> None:
    analysis = judged(log(*HUNG), [combined(1.1, "/report", took=363.6), combined(1.8, "/report", took=5)], tmp_path)
    assert told(analysis) == []
    assert analysis.findings[0].variant == "waiting"
    assert any("not decided for 1 request" in text for text in analysis.evidence.health.limits)


@pytest.mark.parametrize(
    ("shift", "clock"), [(30, "epoch"), (-600, "epoch"), (0, "time-of-day"), (7200, "time-of-day")]
)
def test_a_clock_that_is_wrong_is_found_by_all_requests(shift: int, clock: str, tmp_path: Path) -> None:
    steps = list(connection(3, 1))
    for number, at in enumerate((10, 40, 130)):
        steps += [ask(3, at, f"/{number}"), answer(3, at + 1)]
    steps += [(131, "close(3) = 0 <0.1>"), (131.5, "exit_group(0) = ?"), (131.6, "+++ exited with 0 +++")]
    server = [combined(at + shift, f"/{number}", took=0.9) for number, at in enumerate((10, 40, 130))]
    analysis = judged(log(*steps, clock=clock), [combined(-9000, "/x"), *server, combined(9000, "/x")], tmp_path)
    assert [line for _kind, line, _after in told(analysis)] == ["2", "3", "4"]
    offset = analysis.evidence.observations[0].value["clock_offset_s"]
    assert offset == pytest.approx(shift if clock == "epoch" else 0, abs=1.5)


def test_one_request_alone_moves_no_clock(tmp_path: Path) -> None:
    analysis = judged(log(*HUNG), [*OTHERS, combined(61, "/report", took=3)], tmp_path)
    assert told(analysis) == []
    assert analysis.findings[0].variant == "waiting"


def test_no_line_where_the_others_have_theirs(tmp_path: Path) -> None:
    steps = [*connection(3, 1), ask(3, 2, "/a"), answer(3, 3), ask(3, 10, "/report"), *hung(3, 10.1, 1200)]
    analysis = judged(log(*steps), [OTHERS[0], combined(2, "/a", took=0.9), *OTHERS[1:]], tmp_path)
    assert [kind for kind, _line, _after in told(analysis)] == ["server-answered", "server-saw-nothing"]
    assert "has no line of this request" in analysis.findings[0].summary
    outside = judged(log(*steps), [combined(2, "/a", took=0.9)], tmp_path)  # the log ends before
    assert [kind for kind, _line, _after in told(outside)] == ["server-answered"]


def test_a_log_of_something_else_changes_nothing(tmp_path: Path) -> None:
    with_log = judged(log(*HUNG), OTHERS, tmp_path)
    without = analyze([Input("job.strace", log(*HUNG).splitlines(keepends=True))], keep=Keep(requests=True))
    assert with_log.findings == without.findings
    assert with_log.verdict == without.verdict
    said = [text for text in with_log.evidence.health.limits if text not in without.evidence.health.limits]
    assert [text.partition(": ")[2] for text in said] == ["none of its lines is of a request that the trace shows"]


def test_a_balancer_that_gave_up(tmp_path: Path) -> None:
    reply = (
        61,
        'recvfrom(3, "HTTP/1.1 504 Late\\r\\nContent-Length: 0\\r\\n\\r\\n", 999, 0, NULL, NULL) = 41 <0.00001>',
    )
    steps = [
        *connection(3, 1),
        ask(3, 1.1, "/report"),
        reply,
        (62, "exit_group(1) = ?"),
        (62.1, "+++ exited with 1 +++"),
    ]
    analysis = judged(log(*steps), [combined(1.1, "/report", 504, took=60), *OTHERS], tmp_path)
    assert analysis.verdict.cause == "http-error-status"
    assert "the balancer gave up on the server behind it after 60" in analysis.findings[0].summary


def test_requests_show_what_the_server_says(tmp_path: Path) -> None:
    from systrace.reporters.layout import Layout
    from systrace.reporters.shapes.plain import transaction_dicts
    from systrace.reporters.views.request_table import requests_table

    analysis = judged(log(*HUNG), [combined(1.1, "/report", took=363.6), *OTHERS], tmp_path)
    [row] = transaction_dicts(analysis.evidence)
    assert row["server"] == f"200 after 363.6 s ({tmp_path}/access.log line 1 (nginx or Apache))"
    shown = requests_table(analysis, Layout())
    assert "The servers' logs" in shown
    assert f"  line {row['line']}: 200 after 363.6 s" in " ".join(shown)
    alone = judged(log(*HUNG), OTHERS, tmp_path)
    assert "server" not in transaction_dicts(alone.evidence)[0]
    assert "The servers' logs" not in requests_table(alone, Layout())


DAY = 86_400


@pytest.mark.parametrize("clock", ["epoch", "time-of-day"])
def test_yesterdays_run_is_another_one(clock: str, tmp_path: Path) -> None:
    """Its requests are the same, and at the same time of day: no line of it is taken for one of today's."""
    steps = [*connection(3, 1), ask(3, 2, "/a"), answer(3, 3), ask(3, 10, "/report"), *hung(3, 10.1, 1200)]
    yesterday = [combined(2 - DAY, "/a", took=0.9), combined(10 - DAY, "/report", took=363.6)]
    today = [combined(900, "/other"), combined(1300, "/other")]
    analysis = judged(log(*steps, clock=clock), [*yesterday, *today], tmp_path)
    assert told(analysis) == []
    assert analysis.findings[0].variant == "waiting"


def test_a_clock_without_a_date_proves_less(tmp_path: Path) -> None:
    first = judged(log(*HUNG, clock="time-of-day"), [combined(1.1, "/report", took=363.6)], tmp_path).findings[0]
    assert (first.variant, first.confidence) == ("answer-lost", "likely")


@pytest.mark.parametrize(("status", "took", "size"), [(200, 0.01, 366), (408, 60, 366), (200, 363.6, 0)])
def test_what_no_path_forgets(status: int, took: float, size: int, tmp_path: Path) -> None:
    """An answer at once, none because the request never came whole, and one of no bytes."""
    analysis = judged(log(*HUNG), [combined(1.1, "/report", status, took, size), *OTHERS], tmp_path)
    assert analysis.findings[0].variant != "answer-lost"


def test_thousands_of_requests_take_no_minutes(tmp_path: Path) -> None:
    """The same request again and again, as a poller sends it: each finds its line, or is not decided."""
    steps = list(connection(3, 1))
    for number in range(2_000):
        steps += [ask(3, 10 + 20 * number, "/poll"), answer(3, 10.5 + 20 * number)]
    server = [combined(10 + 20 * number, "/poll", took=0.4) for number in range(2_000)]
    analysis = judged(log(*steps), server, tmp_path)
    assert len(told(analysis)) > 1_000


def two_peers(others: int = 1) -> bytes:
    """Another peer answers, as often as said; then api.example does not."""
    steps = list(connection(4, 1, peer="203.0.113.20"))
    for number in range(others):
        steps += [ask(4, 2 + 20 * number, f"/{number}", "other.example"), answer(4, 3 + 20 * number)]
    return log(*steps, *connection(3, 100), ask(3, 101, "/report"), *hung(3, 101.1, 1300))


def test_a_line_by_chance_is_no_proof(tmp_path: Path) -> None:
    """The log of another server than the one that is silent: the same path was asked for in the same second."""
    analysis = judged(two_peers(), [combined(101, "/report", took=363.6), *OTHERS], tmp_path)
    assert told(analysis) == []
    assert analysis.findings[0].variant == "waiting"
    assert any("not decided for 1 request" in text for text in analysis.evidence.health.limits)


def test_a_line_that_names_the_host_is_enough(tmp_path: Path) -> None:
    analysis = judged(two_peers(), [alb(101, "/report", 9, 363.6, "198.51.100.7")], tmp_path)
    assert told(analysis) == [("server-answered", "1", 363.6)]
    assert (analysis.findings[0].variant, analysis.findings[0].confidence) == ("answer-lost", "confirmed")
    other = alb(101, "/report", 9, 363.6, "198.51.100.7").replace("//api.example", "//other.example")
    assert told(judged(two_peers(), [other], tmp_path)) == []


def test_who_is_in_another_servers_log_is_not_missed_there(tmp_path: Path) -> None:
    """All requests to the other server have their lines: the log is his, and says nothing of this one."""
    server = [combined(2 + 20 * number, f"/{number}", took=0.9) for number in range(4)]
    analysis = judged(two_peers(4), [OTHERS[0], *server, *OTHERS[1:]], tmp_path)
    assert [kind for kind, _line, _after in told(analysis)] == ["server-answered"] * 4
    assert "has no line" not in analysis.findings[0].summary


def haproxy(at: float, path: str, took: float, zone_h: float) -> str:
    began = datetime.fromtimestamp(T0 + at + zone_h * 3600, UTC).strftime("%d/%b/%Y:%H:%M:%S.%f")[:-3]
    return (
        f"198.51.100.7:41234 [{began}] in jobs/srv1 0/0/1/5/{int(took * 1000)} 200 366 - - ---- 1/1/0/0/0 0/0 "
        f'"GET {path} HTTP/1.1"'
    )


@pytest.mark.parametrize("zone_h", [0, 1, -5, 5.75])
def test_a_log_without_a_zone(zone_h: float, tmp_path: Path) -> None:
    steps = [*connection(3, 1), ask(3, 2, "/a"), answer(3, 3), ask(3, 10, "/b"), answer(3, 11), ask(3, 20, "/report")]
    server = [haproxy(2, "/a", 0.9, zone_h), haproxy(10, "/b", 0.9, zone_h), haproxy(20, "/report", 363.6, zone_h)]
    analysis = judged(log(*steps, *hung(3, 20.1, 1200)), server, tmp_path)
    assert [line for _kind, line, _after in told(analysis)] == ["1", "2", "3"]
    last = analysis.evidence.observations[-1]
    assert last.when_ns == int((T0 + 20 + 363.6) * 1e9)
    assert last.value["clock_offset_s"] == 0
    assert (analysis.findings[0].variant, analysis.findings[0].confidence) == ("answer-lost", "confirmed")


def test_one_line_shows_no_zone(tmp_path: Path) -> None:
    analysis = judged(log(*HUNG), [haproxy(1.1, "/report", 363.6, 3.25)], tmp_path)
    assert told(analysis) == []
    assert any("not decided for 1 request" in text for text in analysis.evidence.health.limits)
