"""Real faults, recorded with the real strace, judged by the program as users run it."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.lab import network
from tests.lab.network import DNS, SERVER, Lab
from tests.lab.recording import ARTICLE, FULL, Recording, python, record
from tests.lab.servers import one_full_queue, running
from tests.lab.story import Story, playing

FORBIDDEN = network.forbidden()
pytestmark = [pytest.mark.real, pytest.mark.skipif(bool(FORBIDDEN), reason=FORBIDDEN or "-")]

CONNECT = f'import socket, time, json\ns = socket.create_connection(("{SERVER}", 80))\n'
ASK = CONNECT + 's.sendall(b"GET /rows HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")\n'
KEEPALIVE = (
    "s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)\n"
    "for option in socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL: s.setsockopt(socket.IPPROTO_TCP, option, 1)\n"
)
ANSWER = "print(s.recv(4000))\n"
NAT_S = 2  # seconds until the NAT forgets
PAUSE_S = 4  # seconds of silence that outlast it


@dataclass(frozen=True, slots=True)
class Case:
    """A fault, the client that meets it, and the verdict it deserves."""

    name: str
    client: str
    causes: frozenset[str]
    peer: str | None = f"{SERVER}:80"
    server: tuple[Any, ...] = ()
    faults: tuple[tuple[str, dict[str, Any]], ...] = ()
    ended_after_s: float | None = None
    shell: str = ""  # runs before the client
    proof: str = ""  # that the log shows the fault at all, whatever the verdict


def case(name: str, client: str, causes: str, **more: Any) -> Any:
    """A row of the table."""
    return pytest.param(Case(name, client, frozenset(causes.split()), **more), id=name)


CASES = [
    case(
        "syn-dropped",
        ASK,
        "connect-timeout",
        faults=(("drop_syn", {"port": 80}), ("give_up_early", {})),
        proof="ETIMEDOUT",
    ),
    case("refused", ASK, "connect-refused", proof="ECONNREFUSED"),
    case("icmp-reject", ASK, "unreachable", faults=(("reject", {"port": 80}),), proof="EHOSTUNREACH"),
    case(
        "dns-dead",
        'import socket\nsocket.create_connection(("api.partner.example", 80))\n',
        "dns-timeout",
        peer=f"{DNS}:53",
        faults=(("dead_dns", {}),),
        proof="(Timeout)",
    ),
    case(
        "nat-forgets-while-waiting",
        ASK + ANSWER,
        "idle-timeout hung-read",
        server=("slow", SERVER, 80, PAUSE_S),
        faults=(("forgetful_nat", {"seconds": NAT_S}),),
        ended_after_s=PAUSE_S + 2.0,
        proof="SIGTERM",
    ),
    case(
        "nat-kept-awake-by-keepalive",
        CONNECT + KEEPALIVE + ASK.removeprefix(CONNECT) + ANSWER,
        "healthy",
        server=("slow", SERVER, 80, PAUSE_S),
        faults=(("forgetful_nat", {"seconds": NAT_S}),),
        proof="HTTP/1.1 200 OK",
    ),
    case(
        "nat-resets-after-pause",
        CONNECT + f's.sendall(b"A\\n"); s.recv(9); time.sleep({PAUSE_S}); s.sendall(b"B\\n"); s.recv(9)\n',
        "idle-timeout stale-connection reset-by-peer",  # 4 s of silence cannot tell them apart
        server=("echo", SERVER, 80),
        faults=(("forgetful_nat", {"seconds": NAT_S, "answer_reset": True}),),
        proof="ECONNRESET",
    ),
    case("reset", ASK + ANSWER, "reset-by-peer", server=("resetting", SERVER, 80), proof="ECONNRESET"),
    case(
        "read-timeout",
        ASK + "s.settimeout(2)\n" + ANSWER,
        "read-timeout",
        server=("silent", SERVER, 80),
        proof="(Timeout)",
    ),
    case(
        "zero-window",
        CONNECT + "s.settimeout(2)\ns.sendall(bytes(8_000_000))\n",
        "send-blocked",
        server=("not-reading", SERVER, 80),
        proof="POLLOUT",
    ),
    case(
        "backlog-full",
        CONNECT
        + f'more = [s] + [socket.create_connection(("{SERVER}", 80)) for _ in range(2)]\n'
        + 'for s in more: s.sendall(b"A\\n"); s.recv(9)\n',
        "slow-connect",
        server=("not-accepting", SERVER, 80, 2),
        proof="OK\\n",
    ),
    case(
        "descriptors-used-up",
        f'import socket\nkept = [socket.create_connection(("{SERVER}", 80)) for _ in range(40)]\n',
        "fd-exhaustion",
        peer=None,
        server=("silent", SERVER, 80),
        shell="ulimit -n 24",
        proof="EMFILE",
    ),
    case(
        "local-ports-used-up",
        f'import socket\nfor _ in range(20):\n s = socket.create_connection(("{SERVER}", 80)); s.close()\n',
        "port-exhaustion",
        server=("good", SERVER, 80),
        faults=(("few_ports", {}),),
        proof="EADDRNOTAVAIL",
    ),
    case(
        "html-for-json",
        ASK + 's.shutdown(socket.SHUT_WR); json.loads(s.makefile("rb").read().partition(b"\\r\\n\\r\\n")[2])\n',
        "html-instead-of-json",
        server=("html", SERVER, 80),
        proof="Maintenance",
    ),
]


def clock(seconds: float) -> Callable[[str], bool]:
    """True once `seconds` have passed since the log's first line."""
    began: list[float] = []

    def passed(text: str) -> bool:
        if text and not began:
            began.append(time.monotonic())
        return bool(began) and time.monotonic() - began[0] > seconds

    return passed


def play(wanted: Case, path: Path, options: Sequence[str] = FULL) -> Recording:
    """Record the case's client."""
    servers = (wanted.server,) if wanted.server else ()
    story = Story(servers=servers, faults=dict(wanted.faults), names=not wanted.faults)
    command = python(wanted.client)
    if wanted.shell:
        command = ["sh", "-c", f'{wanted.shell}; exec "$@"', "sh", *command]
    until = None if wanted.ended_after_s is None else clock(wanted.ended_after_s)
    fills = any(server[0] == "not-accepting" for server in servers)
    alone = one_full_queue(fills=fills) if fills or "connect-timeout" in wanted.causes else contextlib.nullcontext()
    with alone, playing(story) as lab:
        return record(lab.client, command, path, options=options, until=until)


def judge(path: Path) -> dict[str, Any]:
    """The report of `systrace parse --format json`."""
    argv = [sys.executable, "-m", "systrace", "parse", "--format", "json", str(path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.mark.parametrize("wanted", CASES)
def test_verdict(wanted: Case, tmp_path: Path) -> None:
    """The program names the fault that was set up, the socket to blame, and the lines that prove it."""
    recording = play(wanted, tmp_path / "job.strace")
    assert wanted.proof in recording.text, recording.output

    report = judge(recording.path)

    verdict = report["verdict"]
    assert verdict["cause"] in wanted.causes, verdict["headline"]
    if "healthy" not in wanted.causes:
        assert verdict["peer"] == wanted.peer
        lines = recording.text.splitlines()
        evidence = report["findings"][verdict["finding"]]["evidence"]
        assert evidence
        for proof in evidence:
            assert proof["raw"].split("(")[0] in lines[proof["line"] - 1]


def test_article_command_line(tmp_path: Path) -> None:
    """The options that people copy hide most calls; a refused connect must be found all the same."""
    refused: Case = CASES[1].values[0]
    report = judge(play(refused, tmp_path / "job.strace", ARTICLE).path)
    assert (report["verdict"]["cause"], report["verdict"]["peer"]) == ("connect-refused", refused.peer)


def test_retry_that_works_is_no_fault(tmp_path: Path) -> None:
    """A job that waits for its server to come up, and then does its work, is not called broken."""
    client = (
        "import socket, time\n"
        f'while (s := socket.socket()).connect_ex(("{SERVER}", 80)): s.close(); time.sleep(0.2)\n'
        's.sendall(b"A\\n"); print(s.recv(9))\n'
    )
    with Lab() as lab:
        network.reject(lab, 80, "port-unreachable")
        path = tmp_path / "job.strace"

        def healed(text: str) -> bool:
            if text.count("ECONNREFUSED") < 2:
                return False
            lab.heal()
            return "+++ exited" in text

        with running(lab.server, "echo", SERVER, 80):
            record(lab.client, python(client), path, until=healed)
    verdict = judge(path)["verdict"]
    assert verdict["cause"] in ("recovered-error", "healthy"), verdict["headline"]
    assert verdict["outcome"] in ("healthy", "degraded")
