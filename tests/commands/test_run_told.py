"""Monitoring is told by `run`: the job hears nothing of it, whatever becomes of that, and secrets stay here."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from systrace.telemetry.outlets.syslog import SOCKET
from systrace.tracers.waiting import tracer_of
from tests.commands.jobs import JOB, TRACERS, job, python, run, unharmed
from tests.telemetry.test_emf import check
from tests.telemetry.test_metrics import samples
from tests.telemetry.test_otlp import collector

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(tracer_of(os.getpid()) != 0, reason="a traced process cannot trace its children"),
]
each_tracer = pytest.mark.parametrize("tracer", [*TRACERS, "ebpf"])
HEALTHY = ["--", "sh", "-c", "echo out; echo err >&2; read word; echo $word"]
SECRETS = ("Tok3nTok3nTok3n", "s3cr3ts3cr3t", "hunter2hunter22", "argv5ecret5ecret")
CLIENT = """
import socket, sys
way = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
body = b"password=hunter2hunter22"
way.sendall(b"POST /?token=Tok3nTok3nTok3n HTTP/1.1\\r\\nHost: a\\r\\nAuthorization: Bearer s3cr3ts3cr3t\\r\\n"
            b"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\\r\\n"
            b"Content-Length: %d\\r\\n\\r\\n" % len(body) + body)
got = way.recv(9999)
print("hunter2hunter22 was not taken", file=sys.stderr)
sys.exit(3)
"""


@pytest.fixture
def hung() -> Iterator[str]:
    """The URL of a collector that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def dead() -> Iterator[str]:
    """The URL of nobody."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@each_tracer
@pytest.mark.parametrize("words", [JOB, HEALTHY], ids=["failing", "healthy"])
def test_the_job_is_the_same(tracer: str, words: list[str], tmp_path: Path) -> None:
    """Output and status, byte by byte, with all outlets and with none."""
    bare = subprocess.run(words[1:], input=b"word\n", capture_output=True, check=False)
    prom, emf = tmp_path / "x.prom", tmp_path / "emf.json"
    with collector() as (url, got):
        told: list[str | Path] = ["--job", "nightly", "--metrics", prom, "--emf", emf, "--otlp", url]
        done = run("--tracer", tracer, "--quiet-if-healthy", *told, *words, input=b"word\n")
    assert (done.returncode, done.stdout) == (bare.returncode, bare.stdout)
    assert bare.stderr in done.stderr
    assert b"systrace:" not in done.stderr
    found = samples(prom.read_text())
    assert found["failed"][0]["job"] == "nightly"
    assert found["failed"][1] == (bare.returncode != 0)
    assert found["exit_status"][1] == bare.returncode
    assert ("last_success_timestamp_seconds" in found) == (bare.returncode == 0)
    event = check(emf.read_bytes())
    assert (event["Job"], event["ExitStatus"], event["Cause"]) == (
        "nightly",
        bare.returncode,
        found["failed"][0]["cause"],
    )
    ((method, path, _headers, body),) = got
    assert (method, path) == ("POST", "/v1/traces")
    assert json.loads(body)["resourceSpans"][0]["resource"]["attributes"][0]["value"] == {"stringValue": "nightly"}
    if shutil.which("promtool"):
        with prom.open("rb") as file:
            assert subprocess.run(["promtool", "check", "metrics"], stdin=file, check=False).returncode == 0


@pytest.mark.parametrize("tracer", TRACERS)
def test_what_cannot_be_told_costs_a_line(tracer: str, hung: str, dead: str, tmp_path: Path) -> None:
    """A full disk, a folder that is none, a directory, a dead and a hung collector, a URL that is none."""
    cases = {
        ("--metrics", "/dev/full"): "--metrics: cannot write /dev/full: No space left on device",
        ("--emf", "/dev/full"): "--emf: cannot write /dev/full: No space left on device",
        ("--metrics", f"{tmp_path}/none/x.prom"): "No such directory: --metrics is left out",
        ("--metrics", f"{tmp_path}"): "it is a directory: --metrics is left out",
        ("--emf", "77"): "--emf is left out",
        ("--emf", "1"): "it is the job's own standard output: --emf is left out",
        ("--otlp", "nonsense"): "write a URL: http://localhost:4318: --otlp is left out",
        ("--otlp", dead): f"--otlp: {dead}/v1/traces: [Errno 111] Connection refused: the spans are lost",
        ("--otlp", hung): f"--otlp: {hung}/v1/traces: no answer within 2 s: the spans are lost",
    }
    for words, said in cases.items():
        began = time.monotonic()
        done = job("--tracer", tracer, *words)
        lines = [line for line in unharmed(done) if "--" in line]
        assert len(lines) == 1, (words, done.stderr)
        assert said in lines[0]
        assert time.monotonic() - began < 20
    assert list(tmp_path.iterdir()) == []


def test_a_hung_collector_costs_two_seconds(hung: str) -> None:
    """Of the job's own time nothing, of the whole two seconds."""
    took = []
    for words in ((), ("--otlp", hung)):
        began = time.monotonic()
        unharmed(job(*words))
        took.append(time.monotonic() - began)
    assert took[1] - took[0] < 3.5  # two, on a machine that is busy


def test_strict_does_not_start_the_job(tmp_path: Path) -> None:
    """It was asked for."""
    done = run("--strict", "--metrics", tmp_path, "--", "touch", tmp_path / "started")
    assert (done.returncode, list(tmp_path.iterdir())) == (2, [])


@pytest.mark.parametrize("tracer", TRACERS)
@pytest.mark.parametrize("shown", [[], ["--show-secrets"]], ids=["masked", "shown"])
def test_no_secret_leaves(tracer: str, shown: list[str], tmp_path: Path) -> None:
    """Planted in URL, header, body, arguments and output; even where the user wants to see all in his own report."""
    prom, emf = tmp_path / "x.prom", tmp_path / "emf.json"
    with socket.create_server(("127.0.0.1", 0)) as server, collector() as (url, got):
        port = server.getsockname()[1]
        words = [
            "--tracer",
            tracer,
            *shown,
            "--metrics",
            prom,
            "--emf",
            emf,
            "--otlp",
            url,
            "--report",
            tmp_path / "r.md",
        ]
        argv = [*python(CLIENT), str(port), "--password=argv5ecret5ecret"]
        whole = [sys.executable, "-m", "systrace", "run", *map(str, [*words, *argv])]
        started = subprocess.Popen(whole, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        server.settimeout(60)
        with server.accept()[0] as connection:
            connection.recv(9999)
            connection.sendall(b"HTTP/1.1 401 No\r\nContent-Length: 15\r\n\r\nTok3nTok3nTok3n")
            _out, err = started.communicate(timeout=60)
    assert started.returncode == 3, err
    sent = got[0][3]
    assert b"4bf92f3577b34da6a3ce929d0e0e4736" in sent
    assert b'"stringValue":"POST"' in sent or b'"name":"POST"' in sent
    for secret in SECRETS:
        for output in (prom.read_bytes(), emf.read_bytes(), sent):
            assert secret.encode() not in output
    assert not shown or "Tok3nTok3nTok3n" in (tmp_path / "r.md").read_text()


def test_a_job_that_is_not_there_has_failed(tmp_path: Path) -> None:
    """Nobody would notice otherwise that the script is gone."""
    done = run("--job", "nightly", "--metrics", tmp_path / "x.prom", "--", "/nonexistent/job")
    assert done.returncode == 127
    found = samples((tmp_path / "x.prom").read_text())
    assert (found["failed"][1], found["exit_status"][1]) == (1, 127)


def test_the_job_whose_recording_stopped(tmp_path: Path) -> None:
    """Its status and its duration are those of its end."""
    done = run("--timeout", "200ms", "--metrics", tmp_path / "x.prom", "--", "sh", "-c", "sleep 1; exit 5")
    assert done.returncode == 5
    found = samples((tmp_path / "x.prom").read_text())
    assert found["exit_status"][1] == 5
    assert 0.9 < found["duration_seconds"][1] < 30


def test_a_descriptor_gets_the_event_alone() -> None:
    """As the shell hands it on; the job's own outputs are what they are."""
    reader, writer = os.pipe()
    try:
        unharmed(job("--emf", str(writer), pass_fds=[writer]))
        check(os.read(reader, 1 << 16))
    finally:
        os.close(reader)
        os.close(writer)


def test_the_event_is_not_written_where_the_job_writes() -> None:
    """Standard error that is standard output, as in many containers' scripts."""
    done = job("--emf", "2", stderr=subprocess.STDOUT, capture_output=False, stdout=subprocess.PIPE)
    assert b"the job's standard output goes there: --emf is left out" in done.stdout
    assert b"_aws" not in done.stdout


def test_no_file_is_named_twice(tmp_path: Path) -> None:
    """The second one is left out."""
    path = tmp_path / "x"
    lines = unharmed(job("--metrics", path, "--emf", path))
    assert any("is the same file as --emf: --metrics is left out" in line for line in lines)
    check(path.read_bytes())


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare") or Path(SOCKET).exists(), reason=f"needs a {SOCKET} of its own"
)
def test_syslog_is_told() -> None:
    """The socket that syslog(3) uses; and one line where there is none."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        daemon.bind(SOCKET)
        try:
            assert not unharmed(job("--syslog"))
            daemon.settimeout(5)
            assert b'status="7"] ' in daemon.recv(4096)
        finally:
            Path(SOCKET).unlink()
    assert unharmed(job("--syslog")) == [f"--syslog: {SOCKET}: No such file or directory"]


def test_the_file_of_metrics_is_for_others(tmp_path: Path) -> None:
    """The collector is another user."""
    job("--metrics", tmp_path / "x.prom")
    assert stat.S_IMODE((tmp_path / "x.prom").stat().st_mode) == 0o644
    assert [each.name for each in tmp_path.iterdir()] == ["x.prom"]
