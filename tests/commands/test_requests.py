"""`systrace requests` on real recordings."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from systrace.reporters.shapes.schema import schema
from tests.commands.http_server import BIG, HTML, MISSING, REASON, recorded, serving

pytestmark = [pytest.mark.real, pytest.mark.skipif(bool(MISSING), reason=REASON)]
MANY = 100  # more than a socket keeps for the report
LOOP = """
import http.client, sys
connection = http.client.HTTPConnection(sys.argv[1].split("//")[1])
for number in range(int(sys.argv[2])):
    connection.request("GET", f"/page?n={number}")
    connection.getresponse().read()
"""


def requests(*words: str | Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "systrace", "requests", *map(str, words)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        env={**os.environ, "COLUMNS": "200"},
    )


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving() as url:
        yield url


@pytest.fixture(scope="module")
def log(server: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    urls = [f"{server}/chunked?token=abcdef", f"{server}/nothing", f"{server}/big"]
    return recorded(tmp_path_factory.mktemp("logs") / "curl.strace", "curl", "-s", *urls)


def test_json_has_a_line_for_each_request(log: Path, server: str) -> None:
    done = requests(log, "--format", "json")
    assert (done.returncode, done.stderr) == (0, b"")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    for row in rows:
        Draft202012Validator(schema("requests")).validate(row)
    assert [row["url"] for row in rows] == [f"{server}/{p}" for p in ("chunked?token=*1****", "nothing", "big")]
    assert [(row["method"], row["status"], row["reused"]) for row in rows] == [
        ("GET", 200, False),
        ("GET", 502, True),
        ("GET", 200, True),
    ]
    assert [row["response_bytes"] for row in rows[1:]] == [len(HTML), len(BIG)]
    assert all(row["command"] == "curl" and row["complete"] for row in rows)
    assert rows[0]["connect_s"] > 0
    assert rows[1]["connect_s"] is None
    for row in rows:
        assert 0 <= row["first_byte_s"] + row["transfer_s"] <= row["total_s"] + 1e-9
        assert (row["dns_s"], row["tls_s"]) == (None, None)


def test_table(log: Path) -> None:
    lines = requests(log).stdout.decode().splitlines()
    assert lines[0] == "Requests"
    assert [line.split()[4] for line in lines[2:]] == ["200", "502", "200"]
    assert "application/json" in lines[2]


def test_every_request_of_a_long_connection(server: str, tmp_path: Path) -> None:
    path = recorded(tmp_path / "loop.strace", sys.executable, "-c", LOOP, server, str(MANY), strings=512)
    rows = [json.loads(line) for line in requests(path, "--format", "json").stdout.splitlines()]
    assert [row["url"] for row in rows] == [f"{server}/page?n={number}" for number in range(MANY)]
    assert all(row["status"] == 502 for row in rows)


def test_a_log_cut_by_strace_still_has_the_status(server: str, tmp_path: Path) -> None:
    path = recorded(tmp_path / "cut.strace", "curl", "-s", f"{server}/nothing", strings=32)
    row = json.loads(requests(path, "--format", "json").stdout)
    assert (row["method"], row["status"], row["url"]) == ("GET", 502, f"{server}/nothing")
    assert (row["response_bytes"], row["content_type"], row["complete"]) == (None, None, None)
    assert row["first_byte_s"] > 0


def test_headings_files_and_bad_words(log: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.strace"
    other.write_bytes(log.read_bytes())
    headings = [line for line in requests(log, other).stdout.decode().splitlines() if line.startswith("==")]
    assert headings == [f"== {log} ==", f"== {other} =="]
    file = tmp_path / "requests.json"
    assert requests(log, "--format", "json", "--output", file).stdout == b""
    assert len(file.read_bytes().splitlines()) == 3
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for words in ([log, "--format", "xml"], [tmp_path / "nothing"], [file]):
        done = requests(*words)
        assert done.returncode == 2
        assert done.stderr.startswith(b"systrace: ")
        assert done.stderr.count(b"\n") == 1
