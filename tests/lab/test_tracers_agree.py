"""Jobs of many kinds, faulty and healthy, traced by strace and by the embedded tracer: the verdicts must be the same."""

import functools
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.lab import network
from tests.lab.network import DNS, SERVER, Lab
from tests.lab.recording import ENVIRONMENT, LIMIT, python
from tests.lab.story import Story, playing

FORBIDDEN = network.forbidden()
pytestmark = [pytest.mark.real, pytest.mark.skipif(bool(FORBIDDEN), reason=FORBIDDEN or "-")]

HTTP = f"{SERVER}:80"
URL = f"http://{SERVER}/rows"
WEB = "import json, urllib.request as web\n"
FETCH = f'json.load(web.urlopen("{URL}", timeout=2))\n'
CONNECT = f'import socket\ns = socket.create_connection(("{SERVER}", 80), timeout=2)\n'
THREADS = (
    "import concurrent.futures, urllib.request as web\n"
    f'ask = lambda port: web.urlopen(f"http://{SERVER}:{{port}}/rows", timeout=5).read()\n'
    "with concurrent.futures.ThreadPoolExecutor() as threads: print(len(list(threads.map(ask, PORTS))))\n"
)
PHP = f'$s = fsockopen("{SERVER}", 80) or exit(1); fwrite($s, "GET /rows HTTP/1.0\\r\\n\\r\\n"); echo fread($s, 4000);'
PHP_GET = f'if (file_get_contents("{URL}") === false) exit(1);'
PERL = f'my $r = HTTP::Tiny->new(timeout => 2)->get("{URL}"); die $r->{{content}} unless $r->{{success}};'
NODE = (
    f'require("http").get("{URL}", {{agent: false}}, answer => answer.resume())'
    '.on("error", error => { console.error(error.message); process.exit(1); });'
)
JAVA = (
    "public class Job { public static void main(String[] words) throws Exception {"
    f'  try (var in = new java.net.URL("{URL}").openStream()) {{ System.out.println(in.readAllBytes().length); }}'
    "} }"
)
GOOD = ("good", SERVER, 80)
DEBIANS = "/usr/bin/python3"  # whose requests is the one that jobs of system administrators use
REQUESTS = (
    f'import requests\nanswer = requests.get("{URL}", timeout=2)\nanswer.raise_for_status()\nprint(answer.json())\n'
)
SESSION = (
    "import requests\nsession = requests.Session()\n"
    f'for _ in range(3): print(len(session.get("{URL}", timeout=(1, 2)).json()))\n'
)
LWP = f'my $r = LWP::UserAgent->new(timeout => 2)->get("{URL}"); die $r->status_line unless $r->is_success;'
LIBRARIES = {DEBIANS: ["-c", "import requests"], "perl": ["-MLWP::UserAgent", "-MHTTP::Tiny", "-e", "1"]}


@dataclass(frozen=True, slots=True)
class Job:
    """A command, the world it meets, and the verdict."""

    command: list[str]
    causes: frozenset[str]
    peer: str | None
    servers: tuple[tuple[Any, ...], ...]
    faults: dict[str, dict[str, Any]]


def job(
    name: str, command: list[str], causes: str, peer: str | None, *servers: tuple[Any, ...], **faults: dict[str, Any]
) -> Any:
    """A row of the table; skipped where the machine lacks the language or its library."""
    library = LIBRARIES.get(command[0], [])
    lacks = not works(*command[:1], *library) if library else not works("which", command[0])
    marks = [pytest.mark.skipif(lacks, reason=f"{command[0]} or its HTTP library is not installed")]
    return pytest.param(Job(command, frozenset(causes.split()), peer, servers, faults), id=name, marks=marks)


@functools.cache
def works(*command: str) -> bool:
    """Whether the machine has this."""
    try:
        return not subprocess.run(command, env=ENVIRONMENT, capture_output=True, check=False).returncode
    except OSError:
        return False


def shell(line: str) -> list[str]:
    """A command line of sh(1)."""
    return ["sh", "-c", line]


JOBS = [
    job("curl", ["curl", "-sS", URL], "healthy", None, GOOD),
    job("curl-refused", ["curl", "-sS", URL], "connect-refused", HTTP),
    job(
        "curl-no-answer-to-connect",
        ["curl", "-sS", "--connect-timeout", "2", URL],
        "connect-timeout",
        HTTP,
        drop_syn={"port": 80},
    ),
    job("curl-unknown-name", ["curl", "-sS", "http://api.partner.example/"], "dns-error", f"{DNS}:53"),
    job(
        "shell-fallback",
        shell(f"curl -sSf http://{SERVER}:81/rows || curl -sSf {URL}"),
        "recovered-error fallback-ok",
        f"{SERVER}:81",
        GOOD,
    ),
    job("shell-pipeline", shell(f"curl -sS {URL} | tr a-z A-Z | sort"), "healthy", None, GOOD),
    job(
        "shell-pipeline-reset",
        ["bash", "-c", f"set -o pipefail; curl -sS {URL} | sort | grep rows"],
        "reset-by-peer",
        HTTP,
        ("resetting", SERVER, 80),
    ),
    job("python-urllib", python(WEB + FETCH), "healthy", None, GOOD),
    job("python-html", python(WEB + FETCH), "html-instead-of-json", HTTP, ("html", SERVER, 80)),
    job("python-no-answer", python(WEB + FETCH), "read-timeout", HTTP, ("silent", SERVER, 80)),
    job("python-short-body", python(WEB + FETCH), "truncated-response", HTTP, ("short-body", SERVER, 80)),
    job(
        "python-blocked",
        python(CONNECT + "s.sendall(bytes(8_000_000))"),
        "send-blocked",
        HTTP,
        ("not-reading", *GOOD[1:]),
    ),
    job(
        "python-rejected",
        python(CONNECT),
        "unreachable",
        HTTP,
        reject={"port": 80},
    ),
    job("requests", [DEBIANS, "-c", REQUESTS], "healthy", None, GOOD),
    job("requests-session", [DEBIANS, "-c", SESSION], "healthy", None, GOOD),
    job("requests-no-answer", [DEBIANS, "-c", REQUESTS], "read-timeout", HTTP, ("silent", SERVER, 80)),
    job("requests-html", [DEBIANS, "-c", REQUESTS], "html-instead-of-json", HTTP, ("html", SERVER, 80)),
    job("threads", python(THREADS.replace("PORTS", "(80,) * 4")), "healthy", None, GOOD),
    job(
        "threads-one-reset",
        python(THREADS.replace("PORTS", "(80, 80, 81)")),
        "reset-by-peer",
        f"{SERVER}:81",
        GOOD,
        ("resetting", SERVER, 81),
    ),
    job("php", ["php", "-n", "-r", PHP], "healthy", None, GOOD),
    job("php-never-closed", ["php", "-n", "-d", "default_socket_timeout=2", "-r", PHP_GET], "healthy", None, GOOD),
    job("php-refused", ["php", "-n", "-r", PHP_GET], "connect-refused", HTTP),
    job("perl", ["perl", "-MHTTP::Tiny", "-e", PERL], "healthy", None, GOOD),
    job("perl-closed", ["perl", "-MHTTP::Tiny", "-e", PERL], "empty-reply", HTTP, ("closing", SERVER, 80)),
    job("lwp", ["perl", "-MLWP::UserAgent", "-e", LWP], "healthy", None, GOOD),
    job("lwp-no-answer", ["perl", "-MLWP::UserAgent", "-e", LWP], "read-timeout", HTTP, ("silent", SERVER, 80)),
    job("node", ["node", "-e", NODE], "healthy", None, GOOD),
    job("node-reset", ["node", "-e", NODE], "reset-by-peer", HTTP, ("resetting", SERVER, 80)),
    job("java", ["java", "-Xshare:auto", "Job.java"], "healthy", None, GOOD),
    job("java-refused", ["java", "-Xshare:auto", "Job.java"], "connect-refused", HTTP),
]


def verdict(lab: Lab, wanted: Job, tracer: str, folder: Path) -> tuple[Any, ...]:
    """Run the job in the lab's client under one of the tracers: outcome, cause, peer, and all (cause, peer) found."""
    path = folder / f"{tracer}.json"
    systrace = [sys.executable, "-m", "systrace", "run", "--tracer", tracer, "--format", "json", "--report", str(path)]
    done = subprocess.run(
        lab.client.command(*systrace, "--", *wanted.command),
        cwd=folder,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT,
    )
    report = json.loads(path.read_text())
    found = report["verdict"]
    assert "incomplete" not in done.stderr
    accused = sorted({(each["cause"], each["peer"] or "") for each in report["findings"] if each["severity"] != "info"})
    return done.returncode, found["outcome"], found["cause"], found["peer"], accused


@pytest.mark.parametrize("wanted", JOBS)
def test_both_tracers_lead_to_the_same_verdict(wanted: Job, tmp_path: Path) -> None:
    """The status of the job, its outcome, the cause, the culprit and every lesser accusation."""
    (tmp_path / "Job.java").write_text(JAVA)
    story = Story(servers=wanted.servers, faults=wanted.faults, names=False)
    with playing(story) as lab:
        strace, embedded = (verdict(lab, wanted, tracer, tmp_path) for tracer in ("strace", "embedded"))
    assert strace == embedded
    assert strace[2] in wanted.causes
    assert strace[3] == wanted.peer
