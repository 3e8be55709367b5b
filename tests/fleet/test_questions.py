"""Every ready question, on real recordings, against the figures of their JSON reports."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from systrace.fleet.course import Plan, read
from systrace.fleet.questions import QUESTIONS, SILENCE_S
from systrace.fleet.sql import ask
from systrace.pipeline import analyze
from systrace.reporters.shapes.plain import as_dict
from systrace.sources.logfile import recordings
from tests.fleet.logs import fleet, log

pytest.importorskip("duckdb")
SAMPLES = Path(__file__).resolve().parents[2] / "samples"
WRONG = ("failed", "hung", "degraded", "inconclusive")


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The samples, each as recorded on a host of its own, and a small fleet that talks to two peers."""
    top = tmp_path_factory.mktemp("logs")
    for number, each in enumerate(sorted(SAMPLES.glob("*/trace.strace"))):
        head = f'# systrace: {{"host": "sample{number}"}}\n'.encode()
        (top / f"{each.parent.name}.strace").write_bytes(head + each.read_bytes())
    fleet(top / "fleet")
    log(top / "late.strace", host="late", peer="192.0.2.9", fails=True, day=40)
    return [str(each) for each in sorted(top.rglob("*.strace"))]


@pytest.fixture(scope="module")
def out(logs: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results") / "out [1]*?'"  # a name of patterns and quotes
    done = read(Plan(logs, str(folder), jobs=2))
    assert done.new == len(logs)
    return folder


@pytest.fixture(scope="module")
def reports(logs: list[str]) -> list[Any]:
    return [as_dict(analyze(recordings([each])[0])) for each in logs]


def answer(name: str, out: Path) -> list[dict[str, Any]]:
    found = ask(QUESTIONS[name].sql, [out])
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


def named(report: Any, address: str | None) -> str | None:
    """As the tables have it: by name where the report knows one."""
    for each in report["sockets"]:
        if each["peer"] == address and each["name"] and address is not None:
            return f"{each['name']}:{address.rpartition(':')[2]}"
    return address


def wrong(reports: list[Any]) -> list[Any]:
    return [each for each in reports if each["verdict"]["outcome"] in WRONG]


def start(report: Any) -> float | None:
    first = report["source"]["first_time"]
    return first if isinstance(first, float) else None


def test_top_causes(out: Path, reports: list[Any]) -> None:
    counts = Counter(each["verdict"]["cause"] for each in wrong(reports))
    rows = answer("top-causes", out)
    assert {row["cause"]: row["recordings"] for row in rows} == counts
    assert [row["recordings"] for row in rows] == sorted(counts.values(), reverse=True)
    refused = next(row for row in rows if row["cause"] == "connect-refused")
    hosts = {each["source"]["host"] for each in wrong(reports) if each["verdict"]["cause"] == "connect-refused"}
    assert refused["hosts"] == len(hosts)
    times = [at for each in wrong(reports) if each["verdict"]["cause"] == "connect-refused" and (at := start(each))]
    assert refused["first_utc"] == datetime.fromtimestamp(min(times), UTC).strftime("%Y-%m-%d %H:%M")
    assert refused["last_utc"] == datetime.fromtimestamp(max(times), UTC).strftime("%Y-%m-%d %H:%M")


def shares(reports: list[Any], by_peer: bool) -> dict[Any, tuple[int, int]]:
    talks, fails = defaultdict[Any, set[Any]](set), defaultdict[Any, set[Any]](set)
    for each in reports:
        host = each["source"]["host"]
        network = [
            s for s in each["sockets"] if s["family"] in ("inet", "inet6") and s["role"] == "client" and s["peer"]
        ]
        peers = {named(each, s["peer"]) for s in network}
        bad = each["verdict"]["peer"] if each["verdict"]["outcome"] in WRONG else None
        for peer in peers | ({named(each, bad)} if bad else set()):
            talks[peer if by_peer else host].add(host if by_peer else peer)
        if bad:
            fails[named(each, bad) if by_peer else host].add(host if by_peer else named(each, bad))
    return {key: (len(found), len(talks[key])) for key, found in fails.items()}


def test_failing_peers(out: Path, reports: list[Any]) -> None:
    found = {row["peer"]: (row["fails_on"], row["of_hosts"]) for row in answer("failing-peers", out)}
    assert found == shares(reports, by_peer=True)
    assert found["192.0.2.1:443"] == (4, 4)
    assert found["192.0.2.2:443"] == (1, 4)


def test_failing_hosts(out: Path, reports: list[Any]) -> None:
    found = {row["host"]: (row["fails_with"], row["of_peers"]) for row in answer("failing-hosts", out)}
    assert found == shares(reports, by_peer=False)
    assert found["host0"] == (3, 3)


def quantile(values: list[float], share: float) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[round(share * 100) - 1] if values[1:] else values[0]


@pytest.mark.parametrize("name", ["first-byte", "connect"])
def test_quantiles(name: str, out: Path, reports: list[Any]) -> None:
    times = defaultdict(list)
    for each in reports:
        sockets = {socket["id"]: socket for socket in each["sockets"]}
        if name == "connect":
            for socket in sockets.values():
                network = socket["family"] in ("inet", "inet6") and socket["type"] == "stream"
                if network and socket["role"] == "client" and socket["connect_s"] is not None:
                    times[named(each, socket["peer"])].append(socket["connect_s"])
        else:
            for one in each["transactions"]:
                if one["role"] == "client" and one["first_byte_s"] is not None:
                    times[named(each, sockets[one["socket"]]["peer"])].append(one["first_byte_s"])
    rows = answer(name, out)
    assert {row["peer"]: row["count"] for row in rows} == {peer: len(found) for peer, found in times.items()}
    assert rows
    for row in rows:
        found = sorted(times[row["peer"]])
        assert row["p50_s"] == pytest.approx(quantile(found, 0.5), abs=1e-6)
        assert row["p99_s"] == pytest.approx(quantile(found, 0.99), abs=1e-6)
        assert row["max_s"] == found[-1]


def test_silent_connections(out: Path, reports: list[Any]) -> None:
    expected = sorted(
        (socket["longest_silence_s"], socket["id"])
        for each in reports
        for socket in each["sockets"]
        if socket["longest_silence_s"] > SILENCE_S
        and socket["keepalive"]["on"] is not True
        and socket["type"] == "stream"
        and socket["family"] in ("inet", "inet6")
        and socket["role"] in ("client", "server")
    )
    rows = answer("silent-connections", out)
    assert sorted((row["longest_silence_s"], row["id"]) for row in rows) == expected
    assert any("nat-forgot" in row["path"] and row["causes"] == "idle-timeout" for row in rows)


def test_causes_by_week(out: Path, reports: list[Any]) -> None:
    counts: Counter[tuple[str, str]] = Counter()
    for each in wrong(reports):
        if (at := start(each)) is not None:
            day = datetime.fromtimestamp(at, UTC).date()
            counts[f"{day - timedelta(days=day.weekday())}", each["verdict"]["cause"]] += 1
    rows = answer("causes-by-week", out)
    assert {(row["week"], row["cause"]): row["recordings"] for row in rows} == counts
    assert len(counts) > 1


def test_all_are_tested() -> None:
    tested = {
        "top-causes",
        "failing-peers",
        "failing-hosts",
        "first-byte",
        "connect",
        "silent-connections",
        "causes-by-week",
    }
    assert set(QUESTIONS) == tested
