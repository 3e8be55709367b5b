"""Questions from a recording: the peers that it accuses, else all of them, with the job's own ports, silences, keepalive."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from systrace.cloud.aws.ports import EPHEMERAL, Ports
from systrace.cloud.aws.questions import Question
from systrace.cloud.aws.records import address
from systrace.keepalive import KEEPALIVE_IDLE_S
from systrace.model import Analysis, Evidence, Received, Socket

_WRONG = ("fatal", "error")
_SECOND = 1_000_000_000
_MOST = 16
_RANGE = "net.ipv4.ip_local_port_range"
_PROTOCOLS = {"stream": "tcp", "unknown": "tcp", "dgram": "udp"}


def questions(analysis: Analysis) -> list[Question]:
    """One for each address, port and protocol; those that the verdict is about first."""
    evidence = analysis.evidence
    accused = [each for each in _accused(analysis) if _goes_out(each)]
    sockets = accused or [each for each in evidence.sockets.values() if _goes_out(each)]
    grouped: dict[tuple[str, int, str], list[Socket]] = {}
    for each in sockets:
        if each.peer is not None:
            host = str(address(each.peer.host))
            grouped.setdefault((host, each.peer.port, _PROTOCOLS[each.type]), []).append(each)
    for key, members in grouped.items():  # others to the same peer tell its name, and the job's ports, as well
        known = {one.uid for one in members}
        members += [each for each in evidence.sockets.values() if each.uid not in known and _is_to(each, key)]
    return [_question(key, members, evidence) for key, members in list(grouped.items())[:_MOST]]


def _accused(analysis: Analysis) -> Iterable[Socket]:
    first = analysis.verdict.finding
    findings = [analysis.findings[first]] if first is not None else []
    seen: set[str] = set()
    for finding in [*findings, *analysis.findings]:
        one = analysis.evidence.sockets.get(finding.socket or "")
        if one is not None and one.uid not in seen and finding.severity in _WRONG and not finding.recovered:
            seen.add(one.uid)
            yield one


def _goes_out(one: Socket) -> bool:
    """A client's connection, or datagrams, to another host."""
    if one.peer is None or one.role == "listener" or not one.is_network or not one.peer.port or one.peer.is_local:
        return False
    return one.type in _PROTOCOLS and address(one.peer.host) is not None


def _is_to(one: Socket, key: tuple[str, int, str]) -> bool:
    host, port, protocol = key
    if one.peer is None or not _goes_out(one):
        return False
    return (str(address(one.peer.host)), one.peer.port, _PROTOCOLS[one.type]) == (host, port, protocol)


def _question(key: tuple[str, int, str], sockets: list[Socket], evidence: Evidence) -> Question:
    host, port, protocol = key
    name = next((one.name for one in sockets if one.name), "") or ""
    asked = Question(host, port, name, protocol, answers=_range(evidence))
    local = [one.local for one in sockets if one.local is not None and one.local.port and address(one.local.host)]
    usual = [each for each in local if not each.is_local]
    if usual:
        ports = Ports.of((each.port, each.port) for each in usual)
        asked = replace(asked, local=str(address(usual[0].host)), answers=ports, seen=True)
    silent = max(sockets, key=_silence_ns)
    silence = _silence_ns(silent) / _SECOND
    survived = max((_survived_ns(one) for one in sockets), default=0) / _SECOND
    return replace(asked, silence_s=silence or None, survived_s=survived, keepalive_s=_probed_s(silent, evidence))


def _silence_ns(one: Socket) -> int:
    """The longest time without a byte: between two, before an error, while it waits."""
    waits = [each.duration_ns or 0 for each in one.waits]
    faults = [max(each.idle_ns or 0, each.since_request_ns or 0) for each in one.faults]
    return max([one.longest_silence_ns, *waits, *faults])


def _survived_ns(one: Socket) -> int:
    """The longest silence that ended with bytes of the peer."""
    return max((ns for ns, _, after in one.idle if isinstance(after, Received) and after.size > 0), default=0)


def _probed_s(one: Socket, evidence: Evidence) -> float | None:
    if not one.keepalive.on:
        return None
    own = _sysctls(evidence).get("net.ipv4.tcp_keepalive_time")
    return one.keepalive.idle_s or (own if isinstance(own, int) and own > 0 else KEEPALIVE_IDLE_S)


def _range(evidence: Evidence) -> Ports:
    """The ports that the job's host chooses from."""
    low, high = (_sysctls(evidence).get(f"{_RANGE}.{end}") for end in ("low", "high"))
    if isinstance(low, int) and isinstance(high, int) and 0 < low <= high < 65536:
        return Ports(((low, high),))
    return EPHEMERAL


def _sysctls(evidence: Evidence) -> dict[str, Any]:
    told = evidence.source.facts.get("sysctls")
    return told if isinstance(told, dict) else {}


def own_addresses(analysis: Analysis) -> tuple[str, ...]:
    """The job's own, as its connections to other hosts show them."""
    found = [
        str(address(one.local.host))
        for one in analysis.evidence.sockets.values()
        if _goes_out(one) and one.local is not None and not one.local.is_local and address(one.local.host)
    ]
    return tuple(dict.fromkeys(found))
