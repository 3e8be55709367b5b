"""The jobs of `bench_tracers`: what batch servers do at night, in small."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PYTHON = ["/usr/bin/python3" if Path("/usr/bin/python3").exists() else "python3", "-I", "-S", "-c"]
PLAIN = """
import os, socket
for _ in range({times}):
    talker = socket.create_connection(("127.0.0.1", {port}))
    n = talker.fileno()
    os.write(n, b"GET / HTTP/1.1\\r\\n\\r\\n")
    got = 0
    while got < 2900: got += len(os.read(n, 4096))
    talker.close()
"""
CONNECT = """
import socket
for _ in range({times}): socket.create_connection(("127.0.0.1", {port})).close()
"""
PROCESSES = """
import subprocess
for _ in range({times}): subprocess.run(["/bin/true"], check=True)
"""
HTTPS = """
import http.client, ssl
context = ssl._create_unverified_context()
for n in range({times}):
    if not n % 10: connection = http.client.HTTPSConnection("127.0.0.1", {port}, context=context)
    connection.request("GET", "/")
    assert len(connection.getresponse().read()) == 2900
"""
NODE = """
const http = require("http");
let left = {times}, failed = error => {{ console.error(error); process.exit(1) }};
const ask = () => left-- > 0 && http.get("http://127.0.0.1:{port}/", {{agent: false}}, answer => {{
  answer.resume().on("end", ask);
}}).on("error", failed);
for (let n = 0; n < 8; n++) ask();
"""
FILES = "find {tree} -type f | wc -l; grep -r needle {tree} | wc -l; tar cf {folder}/tar -C {folder} tree"


class Skip(Exception):
    """The job can't run here; the text says why."""


@dataclass(frozen=True, slots=True)
class World:
    """What jobs find: a scratch folder, a server, and how much they shall do."""

    folder: Path
    port: int
    tls_port: int
    scale: float

    def times(self, count: int) -> int:
        """So often, in proportion."""
        return max(1, int(count * self.scale))

    @property
    def tree(self) -> Path:
        """Many small files."""
        tree = self.folder / "tree"
        if not tree.exists():
            for number in range(self.times(3000)):
                place = tree / str(number // 100)
                place.mkdir(parents=True, exist_ok=True)
                (place / str(number)).write_text(f"{number} " * 500)
        return tree


def needs(program: str) -> None:
    """Raises Skip where it is not installed."""
    if shutil.which(program) is None:
        raise Skip(f"{program} is not installed")


def files(world: World) -> list[str]:
    """find, grep, tar over a tree."""
    needs("tar")
    return ["sh", "-c", FILES.format(tree=world.tree, folder=world.folder)]


def mixed(world: World) -> list[str]:
    """The same, and three processes with 100 HTTP exchanges each by plain read and write."""
    plain = PLAIN.format(times=world.times(100), port=world.port)
    return ["sh", "-c", f'{files(world)[2]}; for n in 1 2 3; do "$@" & done; wait', "sh", *PYTHON, plain]


def conn(world: World) -> list[str]:
    """4,000 connects."""
    return [*PYTHON, CONNECT.format(times=world.times(4000), port=world.port)]


def procs_sh(world: World) -> list[str]:
    """1,000 short processes of a shell."""
    return ["sh", "-c", f"n={world.times(1000)}; while [ $n -gt 0 ]; do /bin/true; n=$((n - 1)); done"]


def procs_py(world: World) -> list[str]:
    """1,000 short processes of Python's subprocess."""
    return [*PYTHON, PROCESSES.format(times=world.times(1000))]


def https(world: World) -> list[str]:
    """1,000 requests of Python over TLS, ten a connection."""
    if not world.tls_port:
        raise Skip("openssl, which makes the server's certificate, is not installed")
    return [*PYTHON, HTTPS.format(times=world.times(1000), port=world.tls_port)]


def java(world: World) -> list[str]:
    """Eight threads with 100 requests each."""
    needs("javac")
    source = Path(__file__).with_name("Requests.java")
    subprocess.run(["javac", "-d", str(world.folder), str(source)], check=True, capture_output=True)
    url = f"http://127.0.0.1:{world.port}/"
    return ["java", "-Xshare:auto", "-cp", str(world.folder), "Requests", url, str(world.times(100)), "8"]


def node(world: World) -> list[str]:
    """1,000 requests, eight at a time, a connection each."""
    needs("node")
    return ["node", "-e", NODE.format(times=world.times(1000), port=world.port)]


def pipes(world: World) -> list[str]:
    """Lines through a pipeline of five."""
    return ["sh", "-c", f"seq {world.times(1_500_000)} | sed s/1/2/ | tr 3 4 | grep -v 77 | wc -l"]


JOBS: dict[str, Callable[[World], list[str]]] = {
    "files": files,
    "mixed": mixed,
    "conn": conn,
    "procs-sh": procs_sh,
    "procs-py": procs_py,
    "https": https,
    "java": java,
    "node": node,
    "pipes": pipes,
}
