"""`systrace check --idle` against paths that forget: a limit of four seconds instead of 350."""

import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from systrace.probes.target import MOST_CONNECTIONS
from tests.lab import network
from tests.lab.network import SERVER
from tests.lab.servers import running
from tests.probes.chain import Chain, answer, serving

FORBIDDEN = network.forbidden()
pytestmark = [pytest.mark.real, pytest.mark.skipif(bool(FORBIDDEN), reason=FORBIDDEN or "-")]

LIMIT_S, LONGEST_S, CLOSES_S = 4, 8, 5
SLACK_S = 0.6  # 0.05 on a machine that has nothing else to do
Said = dict[str, Any]
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
    """Once both users' connections have stood for two seconds nothing passes any more."""

    def cut() -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until and standing(chain) < 2 * MOST_CONNECTIONS:
            time.sleep(0.1)
        time.sleep(2)
        chain.firewall(chain.r1, "forward drop")

    threading.Thread(target=cut, daemon=True).start()


def standing(chain: Chain) -> int:
    """Connections to the server."""
    return len(chain.server.run("ss", "-Htn", "state", "established").stdout.splitlines())


@contextmanager
def closing(chain: Chain) -> Iterator[None]:
    """A server that closes silent connections after `CLOSES_S`."""
    with serving(chain, "-c", CLOSING, SERVER, str(CLOSES_S)):
        yield


def limit(said: Said, how: str) -> None:
    """Bracketed, of the right kind, and cured by keepalive."""
    found = the_observation(said)
    value = found["value"]
    assert (said["verdict"]["cause"], found["kind"], value["how"]) == ("idle-timeout", "path-limit", how)
    assert LIMIT_S - SLACK_S <= value["limit_above_s"] < value["limit_below_s"] <= LIMIT_S + SLACK_S
    assert value["keepalive"] is True
    assert "tcp_keepalive_time=1 " in "".join(said["advice"])


def server(said: Said) -> None:
    """Its own close is no limit of the path."""
    found = the_observation(said)
    assert (said["verdict"]["cause"], found["kind"], found["value"]["how"]) == ("healthy", "peer-listens", "fin")
    assert CLOSES_S - 0.3 <= found["value"]["after_s"] <= CLOSES_S + 0.5
    assert "systrace sink --listen" in "".join(said["advice"])


def none(said: Said) -> None:
    """Up to what was asked for."""
    value = the_observation(said)["value"]
    assert (said["verdict"]["cause"], value["how"]) == ("healthy", "no limit")
    assert (value["limit_above_s"], value["limit_below_s"]) == (pytest.approx(LONGEST_S, abs=0.2), None)


def no_limit_at_all(said: Said) -> None:
    """The control group died, too: never called a limit."""
    found = the_observation(said)
    assert said["verdict"]["cause"] == "peer-vanished"
    assert found["kind"] != "path-limit"
    assert "no idle limit" in found["value"]["text"]


def the_observation(said: Said) -> Said:
    """The only one."""
    (one,) = said["observations"]
    return dict(one)


SET_UPS: dict[str, tuple[Callable[[Chain], None], int, Callable[[Said], None]]] = {
    "reset": (forgetful("reject with tcp reset"), 1, lambda said: limit(said, "reset")),
    "silence": (forgetful("drop"), 1, lambda said: limit(said, "silent")),
    "server": (nothing, 0, server),
    "none": (nothing, 0, none),
    "cut": (cut_later, 1, no_limit_at_all),
}


def test_paths_and_servers_are_told_apart() -> None:
    """To root and to an ordinary user; all at once, for nearly all of the time is waiting."""
    started: dict[tuple[str, str], subprocess.Popen[str]] = {}
    with ExitStack() as stack:
        chains = {name: stack.enter_context(Chain()) for name in SET_UPS}
        for name, chain in chains.items():
            stack.enter_context(closing(chain) if name == "server" else running(chain.server, "reading", SERVER, 80))
        for name, chain in chains.items():
            SET_UPS[name][0](chain)
            words = ("check", "--idle", LONGEST_S, f"{SERVER}:80", "--format", "json")
            started |= {(name, user): chain.start(*words, user=user) for user in ("nobody", "root")}
        answers = {key: answer(process) for key, process in started.items()}
    wrong = []
    for (name, user), (status, said) in answers.items():
        try:
            assert status == SET_UPS[name][1]
            SET_UPS[name][2](said)
        except AssertionError as error:
            wrong.append(f"{name}, {user}: {error}\n{said}")
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_silence_is_silent() -> None:
    """By strace no byte is sent, and no more than 16 connections are made."""
    with Chain() as chain, running(chain.server, "reading", SERVER, 80):
        log = chain.folder / "check.strace"
        calls = "trace=write,writev,sendto,sendmsg,sendmmsg,connect"
        before = ("strace", "-f", "--seccomp-bpf", "-yy", "-e", calls, "-o", str(log))
        status, _ = answer(chain.start("check", "--idle", 2, f"{SERVER}:80", "--format", "json", before=before))
        text = log.read_text()
    assert status == 0
    assert f"->{SERVER}:80" not in "".join(line for line in text.splitlines() if "connect(" not in line)
    assert text.count(f'inet_addr("{SERVER}")') <= 16
