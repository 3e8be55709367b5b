"""Fields that access logs share."""

from __future__ import annotations

from datetime import datetime

_S = 1_000_000_000


def request(text: str) -> tuple[str, str]:
    """Method and target of `GET /path HTTP/1.1`.

    >>> request("GET /a b HTTP/1.1")
    ('GET', '/a b')
    """
    method, _space, rest = text.partition(" ")
    target, _space, version = rest.rpartition(" ")
    return method, target if version.startswith("HTTP/") and target else rest


def seconds_ns(text: str) -> int | None:
    """`0.123` in ns; None for `-`, `-1` and what is no number."""
    try:
        value = float(text)
    except ValueError:
        return None
    return int(value * _S) if 0 <= value < 1e9 else None


def status_of(text: str) -> int | None:
    """A status code, or None."""
    return _number(text, 3) if len(text) == 3 and text != "000" else None


def amount(text: str) -> int | None:
    """A number of bytes, or None."""
    return _number(text, 18)


def port_of(text: str) -> int | None:
    """A port, or None."""
    return _number(text, 5)


def host_of(target: str) -> str:
    """The host of a URL, "" of a path.

    >>> host_of("https://reports.example:443/nightly")
    'reports.example:443'
    """
    _scheme, found, rest = target.partition("://")
    return rest.partition("/")[0] if found else ""


def _number(text: str, digits: int) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= digits else None


def common_time(text: str) -> int:
    """`28/Nov/2026:10:06:03 +0000` as Unix time in ns; without a zone it is UTC.

    Raises:
        ValueError: it is none.
    """
    form = "%d/%b/%Y:%H:%M:%S"
    if "." in text:
        form += ".%f"
    moment = datetime.strptime(text, f"{form} %z") if " " in text else datetime.strptime(f"{text} +0000", f"{form} %z")
    return int(moment.timestamp()) * _S + moment.microsecond * 1000
