"""Two routers in a row, as a probe needs that says where packets die.

    client 192.0.2.10 ── 192.0.2.1 r1 198.51.100.1 ── 198.51.100.2 r2 (NAT) 203.0.113.1 ── 203.0.113.10 … .19, .53 … .55 server

All faults of a test are on one such network, each at an address of its own, so that checks run side by side.
"""

import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from tests.lab.network import CLIENT, DNS, ROUTER_IN, ROUTER_OUT, SERVERS, Lab, Namespace, ip

BETWEEN_1, BETWEEN_2 = "198.51.100.1", "198.51.100.2"
ROOT = Path(__file__).resolve().parents[2]
NAMESERVERS = (DNS, "203.0.113.54", "203.0.113.55")
_COUNTER = itertools.count()
_CHAINS = (
    "table inet lab {\n"
    " chain forward { type filter hook forward priority 0; }\n"
    " chain postrouting { type nat hook postrouting priority 100; }\n"
    "}\n"
)
# The interpreter and this repository may be where only root may look: an ordinary user sees them in a mount namespace.
_BECOME = """
cd "$1" && shift
for place in python site repository /etc/resolv.conf; do mount --bind "$1" $place && shift || exit 99; done
as=$1 && shift
[ $as = root ] && exec "$@"
exec setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs -- "$@"
"""


class Chain:
    """The network. `chain.check("host:port")` runs a check on the client's side."""

    def __init__(self) -> None:
        tag = f"{os.getpid():x}-{next(_COUNTER)}"
        self.client, self.r1, self.r2, self.server = (Namespace(f"stp-{name}{tag}") for name in ("c", "1", "2", "s"))
        self.folder = Path(tempfile.mkdtemp(prefix="chain-"))
        self._started: list[subprocess.Popen[str]] = []

    @property
    def all(self) -> tuple[Namespace, ...]:
        """From the client on."""
        return self.client, self.r1, self.r2, self.server

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._started:
            if process.poll() is None:  # a test has failed before it was waited for
                process.kill()
                process.communicate()
        for each in self.all:
            each.remove()
        subprocess.run(["rm", "-rf", str(self.folder)], check=False)

    def _build(self) -> None:
        for each in self.all:
            each.create()
        Lab._cable(self.client, "eth0", self.r1, "in0")
        Lab._cable(self.r1, "out0", self.r2, "in0")
        Lab._cable(self.r2, "out0", self.server, "eth0")
        self.client.address("eth0", f"{CLIENT}/24")
        self.r1.address("in0", f"{ROUTER_IN}/24")
        self.r1.address("out0", f"{BETWEEN_1}/24")
        self.r2.address("in0", f"{BETWEEN_2}/24")
        self.r2.address("out0", f"{ROUTER_OUT}/24")
        self.server.address("eth0", *(f"{one}/24" for one in (*SERVERS, *NAMESERVERS)))
        ip("-n", self.client.name, "route", "add", "default", "via", ROUTER_IN)
        ip("-n", self.r1.name, "route", "add", "default", "via", BETWEEN_2)
        ip("-n", self.r2.name, "route", "add", "192.0.2.0/24", "via", BETWEEN_1)
        ip("-n", self.server.name, "route", "add", "default", "via", ROUTER_OUT)
        for router in (self.r1, self.r2):
            router.sysctl(net__ipv4__ip_forward=1, net__ipv4__icmp_ratelimit=0)
        for end in (
            self.client,
            self.server,
        ):  # a rule by length must see packets, not the large ones that are cut later
            ip("-n", end.name, "link", "set", "eth0", "gso_max_segs", "1")
        self.folder.chmod(0o755)
        for name in ("python", "site", "repository"):
            (self.folder / name).mkdir()
        self.resolver(DNS)

    def firewall(self, router: Namespace, *rules: str) -> None:
        """Rules of nft(8), each beginning with its chain: forward or postrouting."""
        router.run("nft", "-f", "-", input=_CHAINS + "".join(f"add rule inet lab {rule}\n" for rule in rules))

    def resolver(self, *servers: str) -> Path:
        """A resolv.conf of that name."""
        path = self.folder / f"resolv-{'-'.join(servers)}"
        path.write_text("".join(f"nameserver {one}\n" for one in servers))
        return path

    def start(
        self, *words: object, user: str = "root", resolver: Path | None = None, before: tuple[str, ...] = (), **env: str
    ) -> "subprocess.Popen[str]":
        """systrace on the client, as root or nobody (without any right)."""
        program = self.folder / "python" / Path(sys.executable).resolve().relative_to(sys.base_prefix)
        site = Path(pytest.__file__).parents[1]
        places = [self.folder, sys.base_prefix, site, ROOT, resolver or self.resolver(DNS)]
        process = self.client.popen(
            *("unshare", "--mount", "--propagation=private", "sh", "-c", _BECOME, "sh"),
            *(*map(str, places), user, *before, str(program), "-m", "systrace", *map(str, words)),
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder),
                "PYTHONPATH": f"{self.folder}/repository:{self.folder}/site",
                "PYTHONDONTWRITEBYTECODE": "1",
                "LD_LIBRARY_PATH": f"{self.folder}/python/lib",
                "LC_ALL": "C.UTF-8",
                "COLUMNS": "200",
                **env,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process


@contextmanager
def serving(chain: Chain, *argv: str) -> Iterator[None]:
    """A Python program on the server's host, from its word `ready` on."""
    with chain.server.popen(sys.executable, "-I", *argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield
        finally:
            process.kill()


def answer(process: "subprocess.Popen[str]") -> tuple[int, dict[str, Any]]:
    """Exit status and the JSON of one target."""
    out, err = process.communicate(timeout=100)
    assert "Traceback" not in err, err
    assert out.count("\n") == 1, (out, err)
    return process.returncode, json.loads(out)


def texts(said: dict[str, Any]) -> str:
    """Everything that people would read."""
    return "\n".join([said["verdict"]["text"], *(each["value"]["text"] for each in said["observations"])])
