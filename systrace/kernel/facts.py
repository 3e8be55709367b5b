"""What the host says about itself, for the `#` header lines of a recording."""

from __future__ import annotations

from typing import Any


def host_facts(pid: int | None = None) -> dict[str, Any]:
    """`{"host", "kernel", "machine", "sysctls": {name: int}, "resolv_conf": {...}, "default_routes": [...]}`.

    `resolv_conf` has the lists `nameservers`, `search`, `options`; a route is `{"via", "device", "metric"}`.

    With `pid`, sysctls, routes and resolv.conf are those of that process (its network and mount namespaces).
    """
    raise NotImplementedError
