"""Real faults on a real network: three network namespaces joined by veth pairs.

    client 192.0.2.10 ── 192.0.2.1 router 203.0.113.1 ── 203.0.113.10 … .19 server
                                                          203.0.113.53 name server

`with Lab() as lab:` builds them, and takes them away again whatever happens. Names carry the process id and a counter,
so that several test workers do not meet. Each fault is a function that takes the lab: `drop_syn(lab, 80)`. Needs root,
`ip` and, for the faults on the path, `nft` (iproute2 and nftables).
"""

import contextlib
import itertools
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

CLIENT = "192.0.2.10"
ROUTER_IN = "192.0.2.1"
ROUTER_OUT = "203.0.113.1"
SERVERS = tuple(f"203.0.113.{n}" for n in range(10, 20))
SERVER = SERVERS[0]
DNS = "203.0.113.53"

_COUNTER = itertools.count()
_CHAINS = (
    "table inet lab {\n"
    " chain forward { type filter hook forward priority 0; }\n"
    " chain input { type filter hook input priority 0; }\n"
    " chain postrouting { type nat hook postrouting priority 100; }\n"
    "}\n"
)


class Namespace:
    """One network namespace with its own `/etc/resolv.conf` (see ip-netns(8))."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.etc = Path("/etc/netns") / name

    def create(self) -> None:
        """Add it, with its loopback up."""
        self.etc.mkdir(parents=True, exist_ok=True)
        ip("netns", "add", self.name)
        ip("-n", self.name, "link", "set", "lo", "up")

    def remove(self) -> None:
        """Take it away. Its devices go with it; that it never came to be is no error."""
        subprocess.run(["ip", "netns", "del", self.name], check=False, capture_output=True)
        shutil.rmtree(self.etc, ignore_errors=True)

    def command(self, *argv: str) -> list[str]:
        """The command line that runs `argv` in here."""
        return ["ip", "netns", "exec", self.name, *argv]

    def run(self, *argv: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run `argv` in here to its end. Raises CalledProcessError when it fails, unless check=False."""
        return subprocess.run(self.command(*argv), text=True, capture_output=True, **{"check": True, **options})

    def popen(self, *argv: str, **options: Any) -> "subprocess.Popen[Any]":
        """Start `argv` in here."""
        return subprocess.Popen(self.command(*argv), **options)

    def sysctl(self, **values: object) -> None:
        """Set kernel parameters, named with `__` for each dot: `net__ipv4__tcp_retries2=3`."""
        self.run("sysctl", "-qw", *(f"{name.replace('__', '.')}={value}" for name, value in values.items()))

    def address(self, device: str, *addresses: str) -> None:
        """Give `device` its addresses (with prefix length) and bring it up."""
        for one in addresses:
            ip("-n", self.name, "address", "add", one, "dev", device)
        ip("-n", self.name, "link", "set", device, "up")


class Lab:
    """Client, router and server. `lab.client.run("curl", ...)` runs a command on the client's side."""

    def __init__(self) -> None:
        tag = f"{os.getpid():x}-{next(_COUNTER)}"
        self.client = Namespace(f"stl-c{tag}")
        self.router = Namespace(f"stl-r{tag}")
        self.server = Namespace(f"stl-s{tag}")

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def _build(self) -> None:
        for namespace in (self.client, self.router, self.server):
            namespace.create()
        self._cable(self.client, "eth0", self.router, "in0")
        self._cable(self.server, "eth0", self.router, "out0")
        self.client.address("eth0", f"{CLIENT}/24")
        self.router.address("in0", f"{ROUTER_IN}/24")
        self.router.address("out0", f"{ROUTER_OUT}/24")
        self.server.address("eth0", *(f"{address}/24" for address in (*SERVERS, DNS)))
        ip("-n", self.client.name, "route", "add", "default", "via", ROUTER_IN)
        ip("-n", self.server.name, "route", "add", "default", "via", ROUTER_OUT)
        self.router.sysctl(net__ipv4__ip_forward=1, net__ipv4__icmp_ratelimit=0)
        self.resolver(DNS)
        for file, text in (("hosts", "127.0.0.1 localhost\n"), ("nsswitch.conf", "hosts: files dns\n")):
            (self.client.etc / file).write_text(text)  # bound over /etc, so that traces do not tell of this machine

    @staticmethod
    def _cable(one: Namespace, one_device: str, other: Namespace, other_device: str) -> None:
        far_end = ("peer", "name", other_device, "netns", other.name)
        ip("link", "add", one_device, "netns", one.name, "type", "veth", *far_end)

    def _remove(self) -> None:
        for namespace in (self.client, self.router, self.server):
            namespace.remove()

    def resolver(self, *servers: str, options: str = "timeout:1 attempts:2") -> None:
        """The client's name servers."""
        lines = [*(f"nameserver {server}" for server in servers), f"options {options}", ""]
        (self.client.etc / "resolv.conf").write_text("\n".join(lines))

    def firewall(self, *rules: str) -> None:
        """Rules of nft(8) on the router, each beginning with its chain: forward, input or postrouting."""
        text = _CHAINS + "".join(f"add rule inet lab {rule}\n" for rule in rules)
        self.router.run("nft", "-f", "-", input=text)

    def heal(self) -> None:
        """Take all of the router's rules away."""
        self.router.run("nft", "flush", "ruleset")


def ip(*argv: str) -> None:
    """ip(8). Raises CalledProcessError."""
    subprocess.run(["ip", *argv], check=True, capture_output=True)


def forbidden() -> str:
    """Why this machine has no lab, or an empty string. Tries, since root in a container may lack the right."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for tool in ("ip", "nft", "strace"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    probe = Namespace(f"stl-p{os.getpid():x}")
    try:
        probe.create()
        probe.run("nft", "list", "ruleset")
    except (subprocess.CalledProcessError, OSError) as error:
        return f"the machine allows no network namespaces: {error}"
    finally:
        with contextlib.suppress(OSError):
            probe.remove()
    return ""


# ------------------------------------------------------------------------------------------------------------- faults


def drop_syn(lab: Lab, port: int) -> None:
    """Packets to `port` vanish, as in a security group that does not know the client."""
    lab.firewall(f"forward tcp dport {port} drop")


def reject(lab: Lab, port: int, icmp: str = "admin-prohibited") -> None:
    """A firewall answers with an ICMP error (type names of nft: host-unreachable, net-unreachable, ...)."""
    lab.firewall(f"forward tcp dport {port} reject with icmp type {icmp}")


def dead_dns(lab: Lab) -> None:
    """Queries vanish. The server namespace's address is there, so it is not the route that fails."""
    lab.firewall("forward udp dport 53 drop", "forward tcp dport 53 drop")


def forgetful_nat(lab: Lab, seconds: int, *, answer_reset: bool = False) -> None:
    """Masquerading that forgets an idle connection after `seconds`, then drops its packets or answers them with RST.

    `tcp_loose=0` keeps conntrack from picking the connection up again (kernel: nf_conntrack-sysctl.rst).
    """
    late = "reject with tcp reset" if answer_reset else "drop"
    lab.firewall(
        'postrouting oifname "out0" masquerade',
        f"forward ct state invalid {late}",
        f"forward tcp flags & (syn|rst) == 0 ct state new {late}",
        'input iifname "out0" meta l4proto tcp drop',
    )
    lab.router.sysctl(
        net__netfilter__nf_conntrack_tcp_loose=0,
        net__netfilter__nf_conntrack_tcp_timeout_established=seconds,
        net__netfilter__nf_conntrack_tcp_timeout_unacknowledged=seconds,
        net__netfilter__nf_conntrack_tcp_timeout_max_retrans=seconds,
    )


def dead_path(lab: Lab) -> None:
    """From now on nothing passes, in either direction."""
    lab.firewall("forward drop")


def lost_syn_acks(lab: Lab, port: int) -> None:
    """The client's SYN arrives, the server's answer to it does not, as where the way back has a hole."""
    lab.firewall(f"forward tcp sport {port} tcp flags & (syn|ack) == (syn|ack) drop")


def narrow_path(lab: Lab, kbytes: int = 1000) -> None:
    """A policer on the way to the server lets this much through a second, so that an upload takes its time."""
    lab.firewall(f'forward oifname "out0" limit rate over {kbytes} kbytes/second burst 64 kbytes drop')


def few_ports(lab: Lab, first: int = 40000, last: int = 40007) -> None:
    """The client has only these local ports, and TIME_WAIT holds each for a minute."""
    lab.client.sysctl(net__ipv4__ip_local_port_range=f"{first} {last}", net__ipv4__tcp_tw_reuse=0)


def give_up_early(lab: Lab, *, syn_retries: int = 1, retries: int = 3) -> None:
    """The client's kernel gives up a connect after about 3 s, an unanswered send after 3 to 4 s (tcp(7))."""
    lab.client.sysctl(net__ipv4__tcp_syn_retries=syn_retries, net__ipv4__tcp_retries2=retries)


FAULTS: dict[str, Callable[..., None]] = {
    fault.__name__: fault
    for fault in (
        drop_syn,
        reject,
        dead_dns,
        forgetful_nat,
        dead_path,
        lost_syn_acks,
        narrow_path,
        few_ports,
        give_up_early,
    )
}
