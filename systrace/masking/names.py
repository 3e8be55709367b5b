"""Names that tell whose recording it is, replaced by others of their kind: the same one everywhere."""

from __future__ import annotations

import ipaddress
import re

_ADDRESS = re.compile(
    rb"(?<![\w.:])(?:\d{1,3}\.){3}\d{1,3}(?![\w.])|(?<![\w:.])(?:[0-9a-fA-F]{0,4}:){2,7}[0-9a-fA-F]{0,4}(?![\w:])"
)
_HOST = re.compile(rb"(?<![\w.@/-])(?:[A-Za-z0-9](?:[\w-]{0,62})\.){1,8}([A-Za-z]{2,24})(?![\w(-]|\.\w)")
_HOME = re.compile(rb"(/(?:home|Users|var/spool/cron/crontabs|run/user)/)([\w.-]{1,64})")
_MAIL = re.compile(rb"(?<![\w.+-])([\w.+-]{1,64})@(?=[\w-]{1,63}(?:\.[\w-]{1,63}){0,8})")
_SUFFIXES = frozenset(  # words with a dot in them that name files, not hosts
    b"so py pyc sh js ts rb pl php jar log gz xz bz zst tar zip txt json jsonl xml yaml yml toml conf cfg ini cnf csv db sqlite"
    b" lock pid sock socket service timer tmp cache strace pem crt key cer html htm css md c h go rs java class dat bin mo d"
    b" sql part old bak pth whl egg".split()
)
_KEPT_HOSTS = (b"localhost.localdomain",)


class Names:
    """The names of one recording."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, bytes], bytes] = {}

    def __call__(self, line: bytes) -> bytes:
        """A line with other names."""
        line = _MAIL.sub(lambda m: self._other("user", m[1]) + b"@", line)
        line = _HOME.sub(lambda m: m[1] + self._other("user", m[2]), line)
        line = _HOST.sub(self._host, line)
        return _ADDRESS.sub(self._address, line)

    def _other(self, kind: str, name: bytes) -> bytes:
        """As long as the name, where that leaves room to tell it from others: the lengths of strings stay true."""
        known = self._known.get((kind, name))
        if known is None:
            number = b"%d" % (1 + sum(1 for each, _ in self._known if each == kind))
            known = self._known[kind, name] = (kind.encode()[: max(1, len(name) - len(number))] + number).ljust(
                len(name), b"x"
            )
        return known

    def _host(self, match: re.Match[bytes]) -> bytes:
        name = match[0]
        if match[1].lower() in _SUFFIXES or name.lower() in _KEPT_HOSTS or name.count(b".") == 0:
            return name
        stem = name.lower().rsplit(b".", 1)
        if len(stem[0]) < 4 or not stem[0].strip(b"0123456789."):
            return name
        return self._other("host", stem[0].replace(b".", b"-")) + b"." + stem[1][:0] + b"example"[: len(stem[1])]

    def _address(self, match: re.Match[bytes]) -> bytes:
        text = match[0]
        try:
            address = ipaddress.ip_address(text.decode())
        except ValueError:
            return text
        if address.is_loopback or address.is_unspecified or address.is_multicast or address.is_link_local:
            return text
        known = self._known.get(("address", text))
        if known is None:
            number = sum(1 for kind, _ in self._known if kind == "address")
            ranges = (b"192.0.2.%d", b"198.51.100.%d", b"203.0.113.%d")  # RFC 5737, RFC 3849
            if address.version == 6:  # noqa: SIM108
                known = b"2001:db8::%x" % (number + 1)
            else:
                known = ranges[number // 250 % 3] % (number % 250 + 1)
            self._known["address", text] = known
        return known
