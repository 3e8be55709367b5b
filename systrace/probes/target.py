"""What is asked about: a service as the job, or the user, names it."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

from systrace.dataclass import dataclass
from systrace.errors import UsageError

TLS_PORTS = frozenset({443, 465, 636, 853, 989, 990, 992, 993, 995, 5061, 5671, 6443, 6697, 8443, 8883, 9443})
# Servers there count connections, or clients that say nothing: MaxStartups, max_connections, fail2ban.
PUNISHING = frozenset({21, 22, 23, 25, 110, 143, 389, 465, 587, 993, 995, 1433, 1521, 3306, 3389, 5432, 5900, 27017})
_SCHEMES = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_HOST = re.compile(r"[\w.-]{1,253}", re.ASCII)
MOST_CONNECTIONS, FEW_CONNECTIONS = 16, 6


@dataclass(frozen=True, slots=True)
class Target:
    """A host and a port, and what is known of them."""

    host: str  # a name, or an address
    port: int  # 0: only the name is asked for
    protocol: str = ""  # as the trace shows: tls, http, smtp, ...
    server_name: str = ""  # for TLS; "" where the job asked for none and no name is known
    used: tuple[str, ...] = ()  # addresses that the job connected to
    nameservers: tuple[str, ...] = ()  # of the job's resolv.conf
    search: tuple[str, ...] = ()  # the same
    url: str = ""  # for HEAD, without credentials
    proxy: tuple[str, int] | None = None  # that the job asked for a tunnel to this host
    controls: tuple[int, ...] = ()  # ports of the same host that are known to be open

    @property
    def is_name(self) -> bool:
        """The host is not an address."""
        return address_of(self.host) == ""

    @property
    def tls(self) -> bool:
        """TLS is spoken there: by the trace or the URL, by the port where these name no protocol."""
        if self.protocol or self.url:
            return self.protocol == "tls" or self.url.startswith(("https:", "wss:"))
        return self.port in TLS_PORTS

    @property
    def most_connections(self) -> int:
        """That may be made to it in all."""
        if not self.port:
            return 0
        return FEW_CONNECTIONS if self.port in PUNISHING else MOST_CONNECTIONS

    def __str__(self) -> str:
        if not self.port:
            return self.host
        return joined(self.host, self.port)


def joined(host: str, port: int) -> str:
    """host:port, with brackets around IPv6."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def address_of(text: str) -> str:
    """An IP address in its usual form, "" where it is none."""
    try:
        return str(ip_address(text.strip("[]")))
    except ValueError:
        return ""


def parsed(text: str) -> Target | None:
    """HOST:PORT, [ADDRESS]:PORT or a URL; None where it looks like none of these.

    Raises:
        UsageError: a port that is none, or a scheme that has none.
    """
    if "://" in text:
        return _of_url(text)
    host, colon, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not colon or not port.isascii() or not port.isdecimal() or (":" in host and not host.startswith("[")):
        return None
    if not (address_of(bare) or _HOST.fullmatch(bare)):
        return None
    return Target(address_of(bare) or bare, _port(text, int(port)))


def _of_url(text: str) -> Target:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise UsageError(f"{text}: {error}") from None
    if port is None and parts.scheme not in _SCHEMES:
        raise UsageError(f"{text}: name the port: HOST:PORT")
    if not (address_of(host) or _HOST.fullmatch(host)):
        raise UsageError(f"{text}: no host is named")
    number = _port(text, _SCHEMES[parts.scheme] if port is None else port)
    where = joined(host, number) if number != _SCHEMES.get(parts.scheme) else host
    path = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
    tls = "tls" if parts.scheme.endswith("s") and parts.scheme != "ws" else ""
    return Target(address_of(host) or host, number, protocol=tls, url=f"{parts.scheme}://{where}{path}")


def _port(text: str, port: int) -> int:
    if not 0 < port < 65536:
        raise UsageError(f"{text}: a port is 1 to 65535")
    return port
