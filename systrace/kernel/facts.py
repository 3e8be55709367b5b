"""What the host says about itself, for the `#` header lines of a recording."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import Any

from systrace.kernel.netns import call_in
from systrace.kernel.procfs import read
from systrace.words import clean

# Those that decide when a connection gives up or is probed (ip-sysctl.rst), and how many may wait or be opened.
SYSCTLS = (
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_syn_retries",
    "net.ipv4.tcp_syn_linear_timeouts",
    "net.ipv4.tcp_synack_retries",
    "net.ipv4.tcp_retries2",
    "net.ipv4.tcp_orphan_retries",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_tw_reuse",
    "net.ipv4.tcp_rto_min_us",
    "net.ipv4.tcp_rto_max_ms",
    "net.ipv4.tcp_mtu_probing",
    "net.core.somaxconn",
)
_PORT_RANGE = "net.ipv4.ip_local_port_range"
_RTF_GATEWAY = 0x2
_MOST_LINKS = 8


def host_facts(pid: int | None = None) -> dict[str, Any]:
    """`{"host", "kernel", "machine", "sysctls": {name: int}, "resolv_conf": {...}, "default_routes": [...]}`.

    `resolv_conf` has the lists `nameservers`, `search`, `options`; a route is `{"via", "device", "metric"}`. With
    `pid`, all are those of that process (its network and mount namespaces), where we may enter them.
    """
    name = os.uname()
    return {
        "host": clean(name.nodename),
        "kernel": clean(name.release),
        "machine": clean(name.machine),
        "sysctls": sysctls(pid),
        "resolv_conf": resolv_conf(pid),
        "default_routes": default_routes(pid),
    }


def sysctls(pid: int | None = None) -> dict[str, int]:
    """The settings of `SYSCTLS` that this kernel has, and the local port range, in the network namespace of `pid`."""
    if pid is None:
        return _sysctls()
    try:
        return call_in(pid, _sysctls)
    except OSError:
        return _sysctls()


def _sysctls() -> dict[str, int]:
    found: dict[str, int] = {}
    for name in SYSCTLS:
        raw = read("/proc/sys/" + name.replace(".", "/"))
        if raw is not None and raw.strip().lstrip(b"-").isdigit():
            found[name] = int(raw)
    ports = (read("/proc/sys/" + _PORT_RANGE.replace(".", "/")) or b"").split()
    if len(ports) == 2:
        found[f"{_PORT_RANGE}.low"], found[f"{_PORT_RANGE}.high"] = int(ports[0]), int(ports[1])
    return found


def resolv_conf(pid: int | None = None) -> dict[str, list[str]]:
    """/etc/resolv.conf as the process sees it: an absolute link in its root is followed in its root."""
    root, path = Path(f"/proc/{pid}/root" if pid is not None else "/"), PurePosixPath("etc/resolv.conf")
    for _ in range(_MOST_LINKS):
        try:
            path = path.parent / (root / path).readlink()
        except OSError:
            break
        path = path.relative_to("/") if path.is_absolute() else path
    return parse_resolv_conf(read(str(root / path), 1 << 16) or b"")


def parse_resolv_conf(raw: bytes) -> dict[str, list[str]]:
    """resolv.conf(5): the last `search` (or `domain`) line counts, the others add up."""
    found: dict[str, list[str]] = {"nameservers": [], "search": [], "options": []}
    for line in raw.split(b"\n"):
        words = [clean(word, 256) for word in line.split(b"#")[0].split(b";")[0].split()]
        if len(words) < 2:
            continue
        if words[0] == "nameserver":
            found["nameservers"].append(words[1])
        elif words[0] in ("search", "domain"):
            found["search"] = words[1:]
        elif words[0] == "options":
            found["options"] += words[1:]
    return found


def default_routes(pid: int | None = None) -> list[dict[str, Any]]:
    """Default routes of IPv4, from the text table of the process's network namespace."""
    return parse_routes(read(f"/proc/{pid if pid is not None else 'self'}/net/route") or b"")


def parse_routes(raw: bytes) -> list[dict[str, Any]]:
    """/proc/net/route: addresses are hexadecimal in the host's byte order."""
    import socket
    import struct

    found = []
    for line in raw.split(b"\n")[1:]:
        words = line.split()
        if len(words) < 8 or words[1] != b"00000000" or words[7] != b"00000000":
            continue
        try:
            gateway, flags, metric = int(words[2], 16), int(words[3], 16), int(words[6])
            via = socket.inet_ntoa(struct.pack("=I", gateway)) if flags & _RTF_GATEWAY else ""
        except (ValueError, struct.error):
            continue
        found.append({"via": via, "device": clean(words[0], 64), "metric": metric})
    return found
