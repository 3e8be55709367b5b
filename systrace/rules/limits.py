"""Idle limits of what may stand in the path: data in `limits.toml`, matched as a possibility, never as a fact."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from systrace.errors import UsageError
from systrace.model import Socket
from systrace.rules.case.index import SECOND, Case

_OWN = Path(__file__).with_name("limits.toml")
_TOLERANCE = 1.02  # timers run late by up to 2 %


@dataclass(frozen=True)
class Limit:
    """One product's limit on silence."""

    product: str
    idle_s: float
    after: str  # reset, silent, fin, http
    keepalive: bool
    source: str
    users: bool = False  # from the user's own file


@cache
def catalogue() -> tuple[Limit, ...]:
    """All known limits: the project's, then the user's from the usual places."""
    found = list(read(_OWN, users=False))
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    for path in (Path("/etc/systrace/limits.toml"), config / "systrace" / "limits.toml"):
        if path.is_file():
            found += read(path)
    return tuple(found)


def read(path: Path, *, users: bool = True) -> list[Limit]:
    """The limits in a file of the catalogue's shape.

    Raises:
        UsageError: it can't be read, or is of another shape.
    """
    try:
        items = tomllib.loads(path.read_text("utf-8")).get("limit", [])
        return [
            Limit(
                str(i["product"]), float(i["idle_s"]), str(i.get("after", "silent")), bool(i.get("keepalive", True)),
                str(i.get("source", path.name)), users,
            )
            for i in items
        ]  # fmt: skip
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path}: no list of limits ([[limit]] with product and idle_s): {error}") from None


def _silent(case: Case, socket: Socket) -> list[Limit]:
    """Those that keepalive probes do not keep from expiring."""
    probed_s = case.probed_after_s(socket)
    return [
        limit
        for limit in (*catalogue(), *case.limits)
        if limit.after in ("reset", "silent")
        and not (limit.keepalive and probed_s is not None and probed_s < limit.idle_s)
    ]


def silent_limit_ns(case: Case, socket: Socket) -> int | None:
    """The shortest silence after which a wait without any sign is put down to the path: 350 s, or a user's limit.

    The 240 s of one cloud alone would accuse too many slow answers; None when keepalive rules all limits out.
    """
    fitting = [limit.idle_s for limit in _silent(case, socket) if limit.users or limit.idle_s >= 350]
    return int(min(fitting) * SECOND) if fitting else None


def matching_limits(case: Case, silence_ns: int | None, socket: Socket) -> str:
    """A sentence that names what the silence fits: the longest limits not above it, `if one is in the path`."""
    if silence_ns is None:
        return ""
    silence = silence_ns / SECOND * _TOLERANCE
    fitting = [limit for limit in _silent(case, socket) if limit.idle_s <= silence]
    if not fitting:
        return ""
    own = [limit for limit in fitting if limit.users]
    longest = max(limit.idle_s for limit in own or fitting)
    names = [limit.product for limit in own or fitting if limit.idle_s == longest]
    others = sorted({limit.idle_s for limit in fitting if limit.idle_s != longest}, reverse=True)
    text = f"In the range of {_list(names[:3])} ({longest:g} s), if one is in the path"
    if others:
        text += f"; limits of {_list([f'{o:g} s' for o in others[:3]])} fit as well"
    return text + "."


def _list(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
