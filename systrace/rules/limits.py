"""Idle limits of what may stand in the path: data in `idle_limits.toml`, matched as a possibility, never as a fact."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from systrace.idle_limits import Limit, known, nat_s, read
from systrace.model import Socket
from systrace.rules.case.elsewhere import bracket, path_limit
from systrace.rules.case.index import SECOND, Case
from systrace.rules.case.kernel_word import Word
from systrace.rules.case.stalls import Stall

_GROUPS = 3
# Names and kernels of clouds, by a word of their products.
_CLOUDS = {
    "AWS": ("amazonaws.com", "aws", "amzn"),
    "EC2": ("amazonaws.com", "aws", "amzn"),
    "VPC": ("amazonaws.com", "aws", "amzn"),
    "Azure": ("azure", ".windows.net"),
    "Google": ("googleapis.com", "-gcp", "-gke"),
}
_TOLERANCE = 1.02  # timers run late by up to 2 %


@cache
def catalogue() -> tuple[Limit, ...]:
    """All known limits: the project's, then the user's from the usual places."""
    found = list(known())
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    for path in (Path("/etc/systrace/limits.toml"), config / "systrace" / "limits.toml"):
        if path.is_file():
            found += read(path, users=True)
    return tuple(found)


def _silent(case: Case, socket: Socket) -> list[Limit]:
    """Those that keepalive probes do not keep from expiring."""
    probed_s = case.probed_after_s(socket)
    return [
        limit
        for limit in (*catalogue(), *case.limits)
        if limit.unseen and not (limit.keepalive and probed_s is not None and probed_s < limit.idle_s)
    ]


def silent_limit_ns(case: Case, socket: Socket) -> int | None:
    """The shortest silence after which a wait without any sign is put down to the path: 350 s, or a user's limit.

    The 240 s of one cloud alone would accuse too many slow answers; None when keepalive rules all limits out.
    """
    measured = path_limit(case, socket)
    survived_s, below_s = bracket(measured) if measured is not None else (0.0, None)
    if measured is not None and below_s is not None:  # what is known of this very path
        probed_s = case.probed_after_s(socket)
        cured = measured.value.get("keepalive") is True and probed_s is not None and probed_s < survived_s
        return None if cured else int(below_s * SECOND)
    fitting = [limit.idle_s for limit in _silent(case, socket) if limit.users or limit.idle_s >= nat_s()]
    fitting = [idle_s for idle_s in fitting if idle_s > survived_s]
    return int(min(fitting) * SECOND) if fitting else None


def goes_far(socket: Socket) -> bool:
    """A connection to another host."""
    return socket.type == "stream" and socket.peer is not None and not socket.peer.is_local


def limit_passed(case: Case, socket: Socket, silence_ns: int | None) -> bool:
    """Whether something on the path may have forgotten the connection in that time."""
    limit = silent_limit_ns(case, socket) if goes_far(socket) else None
    return limit is not None and silence_ns is not None and silence_ns >= limit


def forgotten(case: Case, stall: Stall) -> bool:
    """Such a silence came before what was never acknowledged: the last request, or the end that was sent after the wait."""
    before = stall.socket.turn.idle_before_ns if stall.socket.turn is not None else None
    return limit_passed(case, stall.socket, before) or limit_passed(case, stall.socket, stall.waited_ns)


def clears(case: Case, stall: Stall, word: Word | None) -> bool:
    """Whether the kernel's word clears the network: and nothing on the path may have forgotten the connection since."""
    if word is None or not word.network_clear:
        return False
    return word.alive or not limit_passed(case, stall.socket, stall.waited_ns)


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


def limits_below(case: Case, silence_ns: int | None, socket: Socket) -> str:
    """A sentence on what forgets a connection within that silence, which is an upper bound: the shortest limits first, those
    of the peer's surroundings before others.
    """
    if silence_ns is None:
        return ""
    measured = path_limit(case, socket)
    if measured is not None and (below := bracket(measured)[1]) is not None:
        source = measured.source or "measured"
        if measured.value.get("configured") is True:
            return f"What is on this path forgets a connection after {below:g} s of silence ({source})."
        return f"On this path a silence of {bracket(measured)[0]:g} s was survived and one of {below:g} s was not ({source})."
    silence = silence_ns / SECOND * _TOLERANCE
    fitting = [limit for limit in _silent(case, socket) if limit.idle_s <= silence]
    groups: dict[float, list[str]] = {}
    for limit in sorted(fitting, key=lambda each: (not each.users, not _is_near(each, case, socket), each.idle_s)):
        groups.setdefault(limit.idle_s, []).append(limit.product)
    if not groups:
        return ""
    told = [
        f"{idle_s:g} s ({_list(names[:2])}{', and others' if len(names) > 2 else ''})"
        for idle_s, names in groups.items()
    ]
    more = f", and {len(told) - _GROUPS} longer" if len(told) > _GROUPS else ""
    return f"Of what may be in the path, these forget it sooner: {', '.join(told[:_GROUPS])}{more}."


def _is_near(limit: Limit, case: Case, socket: Socket) -> bool:
    """Whether the peer's name, or this host's kernel, is of the cloud whose product it is."""
    about = f"{socket.name or ''} {case.evidence.source.facts.get('kernel', '')}".lower()
    return any(cloud in limit.product and any(sign in about for sign in signs) for cloud, signs in _CLOUDS.items())


def _list(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
