"""Faults that need a network: dropped SYNs, a path that dies, a NAT gateway that forgets."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from systrace.kernel import pidfd, procfs, sock_diag
from systrace.kernel.snapshot import take
from systrace.look.nouns import SocketState
from systrace.rules.look import patience
from systrace.rules.look.diagnose import diagnose
from tests.kernel.conftest import VICTIM

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("ip") is None, reason="network namespaces need root and ip"),
]
_NFT = pytest.mark.skipif(shutil.which("nft") is None, reason="nft is not installed")
Hang = Callable[..., Any]
Until = Callable[..., None]
PORT = 7800


def socket_of(victim: Any) -> SocketState:
    """The one TCP socket of a victim."""
    return next(state for state in take(victim.pid).sockets if state.protocol == "tcp")


@_NFT
def test_an_unanswered_connect_tells_when_it_gives_up(hang: Hang, lab: Any, until: Until) -> None:
    lab.at(
        "router", "nft", "add table ip krn; add chain ip krn f { type filter hook forward priority 0; policy drop; }"
    )
    victim = hang("connect", lab.server, PORT, prefix=lab.inside("client"))
    victim.settle("connect")
    until(lambda: (socket_of(victim).retransmits or 0) >= 1)
    diagnosis = diagnose(take(victim.pid))
    first = diagnosis.findings[0]
    assert (first.cause, first.variant, first.severity) == ("connect-timeout", "pending", "error")
    assert first.peer == f"{lab.server}:{PORT}"
    assert f"{lab.server}:{PORT}, connecting: " in diagnosis.headline
    assert re.search(r"SYNs sent, none answered; the kernel gives up in about 1[0-3]\d s", diagnosis.headline)  # of 131


@_NFT
def test_a_path_that_died_is_seen_retransmitting(hang: Hang, lab: Any, until: Until) -> None:
    hang("serve", PORT, prefix=lab.inside("server"))
    victim = hang("ask_again", lab.server, PORT, prefix=lab.inside("client"))
    lab.at(
        "router", "nft", "add table ip krn; add chain ip krn f { type filter hook forward priority 0; policy drop; }"
    )
    victim.process.stdin.write("go\n")
    victim.process.stdin.flush()
    victim.settle("recvfrom")
    until(lambda: (info := socket_of(victim).tcp) is not None and info.backoff >= 3)
    diagnosis = diagnose(take(victim.pid))
    assert (diagnosis.findings[0].cause, diagnosis.findings[0].variant) == ("peer-vanished", "retransmitting")
    assert "6 bytes unacknowledged" in diagnosis.headline
    assert re.search(r"gives up in about (9\d\d s|1[5-7] min) \(tcp_retries2\)", diagnosis.headline)


def test_sockets_of_another_namespace_are_read_there(hang: Hang, lab: Any) -> None:
    hang("serve", PORT, prefix=lab.inside("server"))
    victim = hang("ask", lab.server, PORT, "silent", prefix=lab.inside("client"))
    victim.settle("recvfrom")
    lab.at("client", "sysctl", "-qw", "net.ipv4.tcp_retries2=7")
    snapshot = take(victim.pid)
    (state,) = snapshot.sockets
    assert str(state.peer) == f"{lab.server}:{PORT}"
    assert state.tcp is not None
    assert snapshot.sysctls["net.ipv4.tcp_retries2"] == 7
    assert not snapshot.limits
    (text,) = sock_diag.text_rows(victim.pid, {state.inode})  # what is left where setns is refused
    assert (text.local, text.peer, text.state, text.timer) == (state.local, state.peer, state.state, state.timer)
    finding = diagnose(snapshot).findings[0]
    assert f"systrace keepalive {victim.pid} --fd {state.fd}" in " ".join(finding.remedy)


def forgetful_nat(lab: Any) -> None:
    """A NAT gateway that drops what belongs to an entry idle for 5 s: those of clouds do so after 350 s."""
    lab.at("router", "sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_loose=0")
    lab.at("router", "sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_timeout_established=5")
    lab.at(
        "router",
        "nft",
        "add table ip krn; add chain ip krn n { type nat hook postrouting priority 100; }; "
        "add rule ip krn n oifname to-server masquerade; "
        "add chain ip krn f { type filter hook forward priority 0; }; "
        "add rule ip krn f ct state invalid drop; "
        "add rule ip krn f iifname to-server ct state new drop",
    )


@_NFT
def test_keepalive_saves_the_job_that_a_nat_gateway_would_hang(hang: Hang, lab: Any, until: Until) -> None:
    """The same job twice through the same NAT, its answer comes after the entry expires; one of them gets keepalive."""
    forgetful_nat(lab)
    hang("serve", PORT, prefix=lab.inside("server"))
    jobs = [hang("ask", lab.server, PORT, "8", prefix=lab.inside("client")) for _ in range(2)]
    for job in jobs:
        job.settle("recvfrom")
    hung, saved = jobs
    before = socket_of(saved)
    command = [sys.executable, "-m", "systrace", "keepalive", str(saved.pid), "--idle", "1", "--interval", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"fd {before.fd}  {before.local} -> {lab.server}:{PORT}  established  keepalive off" in done.stdout
    assert "=> after 1 s, every 1 s, 4 times" in done.stdout
    after = socket_of(saved)
    assert (after.keepalive.on, after.keepalive.idle_s, after.nonblock) == (True, 1, before.nonblock)
    assert saved.line() == "answer late answer\n"
    until(lambda: (info := socket_of(hung).tcp) is not None and info.last_data_sent_ms > 10_000, pause=0.2)
    assert hung.process.poll() is None  # its answer was sent two seconds ago and dropped
    assert "no keepalive, no timeout: it will wait for ever" in diagnose(take(hung.pid)).headline


@_NFT
@pytest.mark.parametrize("tracer", ["strace", "embedded"])
def test_run_with_keepalive_finishes_the_job_that_hangs_without(
    hang: Hang, lab: Any, until: Until, tracer: str
) -> None:
    """The same job under `systrace run` twice, through the same NAT; the option is all that differs."""
    if tracer == "strace" and shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    forgetful_nat(lab)
    hang("serve", PORT, prefix=lab.inside("server"))
    run = (*lab.inside("client"), sys.executable, "-m", "systrace", "run", "--tracer", tracer, "--quiet-if-healthy")
    hung = hang("ask", lab.server, PORT, "8", prefix=(*run, "--"))
    saved = hang("ask", lab.server, PORT, "8", prefix=(*run, "--keepalive", "1,1,4", "--"))
    assert saved.line() == "answer late answer\n"
    assert saved.process.wait(30) == 0
    (job,) = (p for p in procfs.tree(hung.pid) if procfs.argv_of(p)[1:2] == (str(VICTIM),))
    states = (state for state in take(job).sockets if state.protocol == "tcp")
    inode = next(state.inode for state in states)

    def silent_ms() -> int:
        state = next(state for state in take(job).sockets if state.inode == inode)
        return state.tcp.last_data_sent_ms if state.tcp is not None else 0

    until(lambda: silent_ms() > 10_000, pause=0.2)
    assert hung.process.poll() is None  # its answer was sent two seconds ago and dropped


@_NFT
def test_keepalive_ends_the_hang_of_a_connection_that_is_dead_already(hang: Hang, lab: Any, until: Until) -> None:
    hang("serve", PORT, prefix=lab.inside("server"))
    job = hang("ask", lab.server, PORT, "silent", prefix=lab.inside("client"))
    job.settle("recvfrom")
    lab.at(
        "router", "nft", "add table ip krn; add chain ip krn f { type filter hook forward priority 0; policy drop; }"
    )
    command = [sys.executable, "-m", "systrace", "keepalive", str(job.pid), "--fd", job.words[0]]
    dry = subprocess.run([*command, "--dry-run"], capture_output=True, text=True, check=True)
    assert "keepalive off (after 7200 s" in dry.stdout
    assert "=>" not in dry.stdout
    assert socket_of(job).keepalive.on is False
    subprocess.run([*command, "--idle", "1", "--interval", "1", "--count", "3"], capture_output=True, check=True)
    assert job.line() == "error TimeoutError 110\n"


@_NFT
@pytest.mark.parametrize("user_timeout_ms", [1000, 7000])
def test_when_a_user_timeout_ends_a_dead_connection_is_foretold(hang: Hang, lab: Any, user_timeout_ms: int) -> None:
    """TCP_USER_TIMEOUT takes the place of TCP_KEEPCNT, which alone would end it after 3 s or after 21 s."""
    hang("serve", PORT, prefix=lab.inside("server"))
    job = hang("ask", lab.server, PORT, "silent", prefix=lab.inside("client"))
    job.settle("recvfrom")
    drop = "add table ip krn; add chain ip krn f { type filter hook forward priority 0; policy drop; }"
    lab.at("router", "nft", drop)
    with pidfd.Target(job.pid) as target, target.duplicate(int(job.words[0])) as mine:
        pidfd.set_option(mine, socket.IPPROTO_TCP, 18, user_timeout_ms)
        pidfd.set_keepalive(mine, 1, 2, 1 if user_timeout_ms > 3000 else 10)
    foretold = patience.keepalive_gives_up_s(socket_of(job))
    began = time.monotonic()
    assert job.line() == "error TimeoutError 110\n"
    assert foretold == pytest.approx(time.monotonic() - began, abs=0.7)
