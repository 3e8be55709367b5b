"""`systrace check --idle` against paths that forget: a limit of four seconds instead of 350."""

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.lab import network
from tests.lab.network import SERVER
from tests.lab.servers import running
from tests.probes.chain import Chain, answer

FORBIDDEN = network.forbidden()
pytestmark = [pytest.mark.real, pytest.mark.skipif(bool(FORBIDDEN), reason=FORBIDDEN or "-")]

LIMIT_S, LONGEST_S, CLOSES_S = 4, 8, 5
CLOSING = """
import socket, sys, threading
listener = socket.create_server((sys.argv[1], 80))
print("ready", flush=True)
while True:
    one, _ = listener.accept()
    threading.Timer(float(sys.argv[2]), one.close).start()
"""


def forgetful(late: str) -> Callable[[Chain], None]:
    """The second router forgets after `LIMIT_S`, then answers `late`."""

    def set_up(chain: Chain) -> None:
        chain.firewall(
            chain.r2, 'postrouting oifname "out0" masquerade', f"forward ct state invalid {late}",
            f"forward tcp flags & (syn|rst) == 0 ct state new {late}",
        )  # fmt: skip
        names = ("established", "unacknowledged", "max_retrans")
        chain.r2.sysctl(
            net__netfilter__nf_conntrack_tcp_loose=0,
            **{f"net__netfilter__nf_conntrack_tcp_timeout_{name}": LIMIT_S for name in names},
        )

    return set_up


def nothing(_: Chain) -> None:
    """The path is as it should be."""


def cut_later(chain: Chain) -> None:
    """After three seconds nothing passes any more."""

    def cut() -> None:
        time.sleep(4.5)  # systrace needs some of that to start
        chain.firewall(chain.r1, "forward drop")

    threading.Thread(target=cut, daemon=True).start()


@contextmanager
def closing(chain: Chain) -> Iterator[None]:
    """A server that closes silent connections after `CLOSES_S`."""
    argv = [sys.executable, "-I", "-c", CLOSING, SERVER, str(CLOSES_S)]
    with chain.server.popen(*argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield
        finally:
            process.kill()


SET_UPS = {
    "reset": forgetful("reject with tcp reset"),
    "silence": forgetful("drop"),
    "server": nothing,
    "none": nothing,
    "cut": cut_later,
}
USERS = ("nobody", "root")


@pytest.fixture(scope="module")
def answers() -> Iterator[dict[tuple[str, str], tuple[int, dict[str, Any]]]]:
    """What is said of each set-up to each user: all tests wait together."""
    with ExitStack() as stack:
        chains = {name: stack.enter_context(Chain()) for name in SET_UPS}
        for name, chain in chains.items():
            stack.enter_context(closing(chain) if name == "server" else running(chain.server, "reading", SERVER, 80))
        started = {}
        for name, chain in chains.items():
            SET_UPS[name](chain)
            words = ("check", "--idle", LONGEST_S, f"{SERVER}:80", "--format", "json")
            for user in USERS:
                started[name, user] = chain.start(*words, user=user)
        yield {key: answer(process) for key, process in started.items()}


def the_observation(said: dict[str, Any]) -> dict[str, Any]:
    """The only one."""
    (one,) = said["observations"]
    return dict(one)


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("how", ["reset", "silence"])
def test_a_limit_is_bracketed(answers: dict[tuple[str, str], tuple[int, dict[str, Any]]], how: str, user: str) -> None:
    status, said = answers[how, user]
    found = the_observation(said)
    value = found["value"]
    assert (status, said["verdict"]["cause"], found["kind"]) == (1, "idle-timeout", "path-limit"), said
    assert value["how"] == {"reset": "reset", "silence": "silent"}[how]
    assert LIMIT_S - 0.3 <= value["limit_above_s"] < value["limit_below_s"] <= LIMIT_S + 0.3, value
    assert value["keepalive"] is True
    assert "tcp_keepalive_time=1 " in "".join(said["advice"])


@pytest.mark.parametrize("user", USERS)
def test_a_server_that_closes_is_no_limit_of_the_path(
    answers: dict[tuple[str, str], tuple[int, dict[str, Any]]], user: str
) -> None:
    status, said = answers["server", user]
    found = the_observation(said)
    assert (status, found["kind"], found["value"]["how"]) == (0, "peer-listens", "fin"), said
    assert CLOSES_S - 0.3 <= found["value"]["after_s"] <= CLOSES_S + 0.5
    assert "systrace sink --listen" in "".join(said["advice"])


@pytest.mark.parametrize("user", USERS)
def test_no_limit_is_none(answers: dict[tuple[str, str], tuple[int, dict[str, Any]]], user: str) -> None:
    status, said = answers["none", user]
    value = the_observation(said)["value"]
    assert (status, said["verdict"]["cause"], value["how"]) == (0, "healthy", "no limit"), said
    assert (value["limit_above_s"], value["limit_below_s"]) == (pytest.approx(LONGEST_S, abs=0.2), None)


@pytest.mark.parametrize("user", USERS)
def test_a_path_that_is_cut_is_never_called_a_limit(
    answers: dict[tuple[str, str], tuple[int, dict[str, Any]]], user: str
) -> None:
    """The control group died, too."""
    status, said = answers["cut", user]
    found = the_observation(said)
    assert (status, said["verdict"]["cause"]) == (1, "peer-vanished"), said
    assert found["kind"] != "path-limit"
    assert "no idle limit" in found["value"]["text"]


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_silence_is_silent_and_cheap() -> None:
    """By strace no byte is sent; by getrusage(2) the test costs next to nothing."""
    with Chain() as chain, running(chain.server, "reading", SERVER, 80):
        log = chain.folder / "check.strace"
        calls = "trace=write,writev,sendto,sendmsg,sendmmsg,connect"
        before = ("strace", "-f", "-yy", "-e", calls, "-o", str(log))
        status, _ = answer(chain.start("check", "--idle", 2, f"{SERVER}:80", "--format", "json", before=before))
        text = log.read_text()
    assert status == 0
    assert f"->{SERVER}:80" not in "".join(line for line in text.splitlines() if "connect(" not in line)
    assert text.count(f'inet_addr("{SERVER}")') <= 16
