"""Faults that look alike to the job: the client is the same to the byte, what the kernel knows of the socket is not.

Each scene runs live under `systrace run`. Before the verdict is read, `ss` has seen in the middle of the wait that the
fault is there: a scene whose proof fails says something about the laboratory, not about systrace.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.lab import network
from tests.lab.network import SERVER, Lab, Namespace
from tests.lab.recording import ENVIRONMENT, LIMIT, python
from tests.lab.servers import filled, one_full_queue, running

FORBIDDEN = network.forbidden()
pytestmark = [pytest.mark.real, pytest.mark.skipif(bool(FORBIDDEN), reason=FORBIDDEN or "-")]

TRACERS = ("strace", "embedded")
PEER = f"{SERVER}:80"
NAT_S = 2  # seconds until the NAT forgets
NEVER_S = 600
LIMITS = f'[[limit]]\nproduct = "the test\'s NAT"\nidle_s = {NAT_S}\nafter = "silent"\nkeepalive = true\n'
LOOK_S = 0.4  # between two looks of ss
AFTER_S = 1.0  # how long it looks at what the job leaves behind

CONNECT = (
    f'import socket, time\ndef say(word): print(word, flush=True)\ns = socket.create_connection(("{SERVER}", 80))\n'
)
EXCHANGE = 's.sendall(b"A\\n"); s.recv(9); say("exchanged")\n'
ASK = 's.sendall(b"B\\n"); say("asked")\ns.recv(9)\n'
KEEPALIVE = (
    "s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)\n"
    "for name, value in (socket.TCP_KEEPIDLE, 1), (socket.TCP_KEEPINTVL, 1), (socket.TCP_KEEPCNT, 30):\n"
    "    s.setsockopt(socket.IPPROTO_TCP, name, value)\n"
)


def limited(client: str, seconds: int) -> list[str]:
    """A job that gives each of its calls so many seconds, and fails when they are over."""
    return python(client.replace(CONNECT, f"{CONNECT}s.settimeout({seconds})\n"))


def ended(client: str, seconds: int) -> list[str]:
    """A job that waits for ever, under a scheduler that ends it."""
    return ["timeout", "-s", "TERM", str(seconds), *python(client)]


TALK = CONNECT + EXCHANGE + "time.sleep(1.5)\n" + ASK
TALK_WITH_LIMIT = limited(TALK, 5)
TALK_WITHOUT = ended(TALK, 7)
IDLE = limited(CONNECT + EXCHANGE + f"time.sleep({NAT_S + 1.5})\n" + ASK, 5)
WAIT = limited(CONNECT + ASK, 3 * NAT_S)
REACH = python(f'import socket\nsocket.create_connection(("{SERVER}", 80), timeout=5)\n')
CURL = ["curl", "-sS", "--connect-timeout", "5", f"http://{SERVER}/rows"]
UPLOAD = limited(CONNECT + 'say("connected")\ns.sendall(bytes(8_000_000))\n', 5)
PROBE = ended(CONNECT + KEEPALIVE + ASK, 8)


@dataclass(frozen=True, slots=True)
class Stage:
    """What an act may lay hands on."""

    lab: Lab
    server: "subprocess.Popen[str]"

    def cut(self) -> None:
        """From now on nothing passes."""
        network.dead_path(self.lab)

    def stop(self) -> None:
        """The server's program stands still; its kernel does not."""
        self.server.send_signal(signal.SIGSTOP)


Act = Callable[[Stage], None]


@dataclass(frozen=True, slots=True)
class Proof:
    """What `ss` has to show: regular expressions for the client's socket in its last look at the wait, and after.

    `server` is searched in all that was seen on the server's side during the wait.
    """

    waiting: str
    without: str = "(?!)"
    after: str = ""
    server: str = ""


@dataclass(frozen=True, slots=True)
class Scene:
    """A job, the world it meets, and the verdict it deserves."""

    command: list[str]
    status: int
    cause: str
    proof: Proof
    server: tuple[Any, ...]
    before: Act | None = None
    cue: str = ""  # what the client prints when the act is due
    pause_s: float = 0.0  # from then
    act: Act | None = None
    queue: bool = False  # fill the server's queue first
    limits: str = ""
    variant: str = ""  # a pattern for the whole of it


ACKNOWLEDGED = Proof(r"ESTAB", r"unacked:|backoff:|timer:\((on|persist)", r"FIN-WAIT-2")
OUTSTANDING = Proof(r"ESTAB.* timer:\(on,.* backoff:[2-9].* unacked:", after=r"FIN-WAIT-1.* unacked:.* retrans:")
THEN_SILENT = Proof(ACKNOWLEDGED.waiting, ACKNOWLEDGED.without, r"FIN-WAIT-1.* unacked:.* retrans:")
SYN_SENT = r"SYN-SENT.* timer:\(on,[^,]*,[2-9]\).* retrans:"  # the first four come after 1 s each, without backoff
ECHO = ("echo", SERVER, 80)
SLOW = ("thinking", SERVER, 80, 30)
SILENT = ("silent", SERVER, 80)


def scene(name: str, command: list[str], status: int, cause: str, proof: Proof, **more: Any) -> Any:
    """A row of the table."""
    return pytest.param(Scene(command, status, cause, proof, **more), id=name)


def nat(seconds: int) -> Act:
    """A NAT in the path that forgets after so long."""
    return lambda stage: network.forgetful_nat(stage.lab, seconds)


def narrow(stage: Stage) -> None:
    """An upload takes its time."""
    network.narrow_path(stage.lab)


def lose_syn_acks(stage: Stage) -> None:
    """Of every handshake the second packet is lost."""
    network.lost_syn_acks(stage.lab, 80)


def talks(name: str, command: list[str], status: int, stopped: str) -> list[Any]:
    """Three ways in which no answer comes."""
    return [
        scene(f"{name}-stopped", command, status, stopped, ACKNOWLEDGED, server=ECHO, cue="exchanged", act=Stage.stop),
        scene(
            f"{name}-cut-before",
            command,
            status,
            "peer-vanished",
            OUTSTANDING,
            server=ECHO,
            cue="exchanged",
            act=Stage.cut,
        ),
        scene(
            f"{name}-cut-after",
            command,
            status,
            "peer-vanished",
            THEN_SILENT,
            server=("thinking", SERVER, 80, 30),
            cue="asked",
            pause_s=1.0,
            act=Stage.cut,
        ),
    ]


def reaches(name: str, command: list[str], status: int) -> list[Any]:
    """Two ways in which a connect is not answered."""
    deaf = ("not-accepting", SERVER, 80, 3600)
    return [
        scene(
            f"{name}-syn-acks-lost",
            command,
            status,
            "connect-timeout",
            Proof(SYN_SENT, server=r"SYN-RECV"),
            server=("echo", SERVER, 80),
            before=lose_syn_acks,
            variant="(?!queue$).*",
        ),
        scene(
            f"{name}-queue-full",
            command,
            status,
            "connect-timeout",
            Proof(SYN_SENT, server=r"LISTEN +1 +0 "),
            server=deaf,
            queue=True,
            variant="queue",
        ),
    ]


SCENES = [
    *talks("limit", TALK_WITH_LIMIT, 1, "read-timeout"),
    *talks("no-limit", TALK_WITHOUT, 124, "hung-read"),
    scene("idle-nat-forgets", IDLE, 1, "idle-timeout", OUTSTANDING, server=SLOW, before=nat(NAT_S), limits=LIMITS),
    scene("idle-server-thinks", IDLE, 1, "read-timeout", ACKNOWLEDGED, server=SLOW, before=nat(NEVER_S), limits=LIMITS),
    scene(
        "wait-nat-forgets",
        WAIT,
        1,
        "idle-timeout",
        THEN_SILENT,
        server=("slow", SERVER, 80, 2 * NAT_S),
        before=nat(NAT_S),
        limits=LIMITS,
    ),
    scene(
        "wait-server-thinks",
        WAIT,
        1,
        "read-timeout",
        ACKNOWLEDGED,
        server=("slow", SERVER, 80, 30),
        before=nat(NEVER_S),
        limits=LIMITS,
    ),
    *reaches("python", REACH, 1),
    *reaches("curl", CURL, 28),
    scene(
        "upload-not-read",
        UPLOAD,
        1,
        "send-blocked",
        Proof(r"ESTAB.* timer:\(persist,.* backoff:[1-9]", r"timer:\(on,"),
        server=("not-reading", SERVER, 80),
        before=narrow,
    ),
    scene(
        "upload-cut",
        UPLOAD,
        1,
        "peer-vanished",
        Proof(
            r"ESTAB.* timer:\(on,.* backoff:[1-9].* unacked:", r"timer:\(persist,", r"FIN-WAIT-1.* unacked:.* retrans:"
        ),
        server=("reading", SERVER, 80),
        before=narrow,
        cue="connected",
        pause_s=1.0,
        act=Stage.cut,
    ),
    scene(
        "keepalive-cut",
        PROBE,
        124,
        "peer-vanished",
        Proof(r"ESTAB.* timer:\(keepalive,[^,]*,[2-9]\)", r"unacked:"),
        server=SILENT,
        cue="asked",
        pause_s=2.0,
        act=Stage.cut,
    ),
    scene(
        "keepalive-answered",
        PROBE,
        124,
        "hung-read",
        Proof(r"ESTAB.* timer:\(keepalive,[^,]*,0\)", r"unacked:", r"FIN-WAIT-2"),
        server=SILENT,
    ),
]


@dataclass(slots=True)
class Watch:
    """What `ss` sees of port 80 on both sides, each socket on one line, look by look."""

    lab: Lab
    client: list[str] = field(default_factory=list)
    server: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        """One look."""
        self.client += _sockets(self.lab.client, "dport = :80")
        self.server += _sockets(self.lab.server, "sport = :80")

    def run(self) -> None:
        """Look until it is over."""
        while not self._over.wait(LOOK_S):
            self.look()

    @contextmanager
    def looking(self) -> Iterator[None]:
        """For the time of the block, and a second longer."""
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield
            time.sleep(AFTER_S)
        finally:
            self._over.set()
            thread.join()

    def check(self, proof: Proof) -> None:
        """The fault was there."""
        waiting = [line for line in self.client if line.startswith(("ESTAB", "SYN-SENT"))]
        seen = "\n".join(self.client)
        assert waiting, f"the laboratory: no wait was seen\n{seen}"
        assert re.search(proof.waiting, waiting[-1]), f"the laboratory: not {proof.waiting}\n{seen}"
        assert not re.search(proof.without, waiting[-1]), f"the laboratory: {proof.without}\n{seen}"
        assert re.search(proof.after, seen), f"the laboratory: never {proof.after}\n{seen}"
        others = "\n".join(self.server)
        assert re.search(proof.server, others), f"the laboratory: the server never {proof.server}\n{others}"


def _sockets(namespace: Namespace, which: str) -> list[str]:
    return namespace.run("ss", "-tanoiOH", which).stdout.splitlines()


@dataclass(frozen=True, slots=True)
class Played:
    """How it ended."""

    status: int
    stderr: str
    watch: Watch


def play(wanted: Scene, words: list[str], folder: Path) -> Played:
    """Run `words` and the scene's job in the client's namespace, with the scene's act when the client gives the cue."""
    with ExitStack() as stack:
        lab = stack.enter_context(Lab())
        server = stack.enter_context(running(lab.server, *wanted.server))
        stage = Stage(lab, server)
        if wanted.queue:
            stack.enter_context(filled(lab.server, SERVER, 80))
        if wanted.before is not None:
            wanted.before(stage)
        errors = stack.enter_context((folder / "stderr").open("w+"))
        process = lab.client.popen(
            *words,
            *wanted.command,
            cwd=folder,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
        stack.callback(_end, process)
        alarm = threading.Timer(LIMIT, _end, [process])
        alarm.start()
        stack.callback(alarm.cancel)
        watch = Watch(lab)
        with watch.looking():
            assert process.stdout is not None
            if wanted.act is not None:
                while (line := process.stdout.readline()) and line != f"{wanted.cue}\n":
                    pass
                time.sleep(wanted.pause_s)
                wanted.act(stage)
            process.communicate()
        return Played(process.returncode, (folder / "stderr").read_text(), watch)


def _end(process: "subprocess.Popen[str]") -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it has ended, as it should


def again(recording: Path, options: list[str]) -> dict[str, Any]:
    """The report of `systrace parse` on what was saved."""
    words = [sys.executable, "-m", "systrace", "parse", "--format", "json", *options, str(recording)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=ENVIRONMENT, timeout=LIMIT)
    assert done.returncode in (0, 1), done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def told(report: dict[str, Any]) -> tuple[str, ...]:
    """The verdict, and how sure it is."""
    verdict, first = report["verdict"], report["findings"][0]
    return verdict["outcome"], verdict["cause"], verdict["peer"], verdict["headline"], *map(first.get, FIRST)


FIRST = ("cause", "variant", "confidence", "summary")


@pytest.mark.parametrize("tracer", TRACERS)
@pytest.mark.parametrize("wanted", SCENES)
def test_the_one_to_blame(wanted: Scene, tracer: str, tmp_path: Path) -> None:
    """The cause, as sure as what the kernel said makes it; and the recording tells the same story afterwards."""
    path, recording = tmp_path / "report.json", tmp_path / "job.strace"
    options = []
    if wanted.limits:
        (tmp_path / "limits.toml").write_text(wanted.limits)
        options = ["--limits", str(tmp_path / "limits.toml")]
    words = [sys.executable, "-m", "systrace", "run", "--tracer", tracer, "--format", "json", *options]

    with one_full_queue(fills=wanted.queue) if wanted.cause == "connect-timeout" else nullcontext():
        played = play(wanted, [*words, "--report", str(path), "--save", str(recording), "--"], tmp_path)

    assert played.status == wanted.status, played.stderr
    played.watch.check(wanted.proof)
    report = json.loads(path.read_text())
    verdict, first = report["verdict"], report["findings"][0]
    text = recording.read_text(errors="replace")
    assert (verdict["cause"], verdict["peer"]) == (wanted.cause, PEER), verdict["headline"]
    assert (first["cause"], first["confidence"]) == (wanted.cause, "confirmed"), first["summary"]
    if wanted.variant:
        assert re.fullmatch(wanted.variant, first["variant"]), first["summary"]
    assert re.search(r'^# systrace: \{"reading": ?', text, re.MULTILINE)
    assert told(again(recording, options)) == told(report)
