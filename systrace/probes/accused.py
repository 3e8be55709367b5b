"""Whom a log accuses: the services to be asked about."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from systrace.messages.dns import DnsMessage
from systrace.messages.http import HttpRequest
from systrace.messages.tls import TlsHello
from systrace.model import Analysis, Evidence, Finding, Socket
from systrace.probes.target import Target, address_of, parsed
from systrace.probes.tcp import family_of

_MOST = 3
_DNS = 53
_WRONG = ("fatal", "error")
_TCP = ("stream", "unknown")  # unknown: open before the trace began


def accused(analysis: Analysis) -> list[Target]:
    """Of the verdict first, then of what else went wrong; empty where the log accuses nobody."""
    evidence = analysis.evidence
    targets: list[Target] = []
    for finding in _wrong(analysis):
        one = evidence.sockets.get(finding.socket or "")
        if one is None or one.role == "listener" or not one.is_network:
            continue
        targets += _of_names(one, evidence) if _is_resolver(one) else _of_peer(one, evidence)
    seen: dict[tuple[str, int], Target] = {}
    for target in targets:
        seen.setdefault((target.host, target.port), target)
    return [_with_resolvers(target, evidence) for target in list(seen.values())[:_MOST]]


def _wrong(analysis: Analysis) -> Iterable[Finding]:
    """What ended the job, or hangs it: a peer that was slow, or recovered, is no reason to load it with questions."""
    first = analysis.verdict.finding
    findings = [analysis.findings[first]] if first is not None else []
    yield from (each for each in [*findings, *analysis.findings] if each.severity in _WRONG and not each.recovered)


def _is_resolver(one: Socket) -> bool:
    return one.app_protocol == "dns" or (one.peer is not None and one.peer.port == _DNS)


def _of_names(one: Socket, evidence: Evidence) -> list[Target]:
    """The names that got no answer there, or a bad one."""
    said = [each for each in evidence.messages if isinstance(each, DnsMessage) and each.socket == one.uid]
    good = {each.question for each in said if each.is_response and each.addresses}
    asked = dict.fromkeys(each.question for each in said if each.question and each.question not in good)
    return [Target(name, 0) for name in asked]


def _of_peer(one: Socket, evidence: Evidence) -> list[Target]:
    """Questions go over TCP: of a service on UDP they tell nothing."""
    peer = one.peer
    if one.type not in _TCP or peer is None or not peer.port or not address_of(peer.host):
        return []
    said = [each for each in evidence.messages if each.socket == one.uid]
    hellos = [each for each in said if isinstance(each, TlsHello) and each.client]
    asked = [each for each in said if isinstance(each, HttpRequest)]
    name = one.name or next((each.sni for each in hellos if each.sni), "")
    tunnel = next((each.target for each in asked if each.method == "CONNECT"), "")
    if tunnel and (through := parsed(tunnel)) is not None:
        return [replace(through, proxy=(peer.host, peer.port))]
    protocol = "tls" if hellos or one.app_protocol == "tls" else one.app_protocol or ""
    target = Target(
        name or peer.host,
        peer.port,
        protocol=protocol,
        server_name=next((each.sni for each in hellos if each.sni), ""),
        used=(peer.host,),
        url=_url(asked, name or peer.host, peer.port),
        controls=_open_ports(peer.host, peer.port, evidence),
    )
    return [target]


def _url(asked: Sequence[HttpRequest], host: str, port: int) -> str:
    """Of the last request, without its query, which may hold secrets."""
    if not asked:
        return ""
    path = asked[-1].path.partition("?")[0]
    where = f"[{host}]" if ":" in host else host
    return f"http://{where}{'' if port == 80 else f':{port}'}{path if path.startswith('/') else '/'}"


def _open_ports(host: str, port: int, evidence: Evidence) -> tuple[int, ...]:
    made = (each for each in evidence.sockets.values() if each.peer is not None and each.peer.host == host)
    ports = {
        each.peer.port
        for each in made
        if each.peer and each.type == "stream" and _connected(each) and each.role == "client"
    }
    return tuple(sorted(ports - {port}))


def _connected(one: Socket) -> bool:
    return bool(one.received.original_len) or any(each.outcome == "connected" for each in one.attempts)


def _with_resolvers(target: Target, evidence: Evidence) -> Target:
    """The nameservers of the recording's header, else those that the job was seen to ask."""
    told: Any = evidence.source.facts.get("resolv_conf")
    conf = told if isinstance(told, dict) else {}
    servers = [str(each) for each in conf.get("nameservers", ())] or [
        each.peer.host for each in evidence.sockets.values() if _is_resolver(each) and each.peer is not None
    ]
    search = tuple(str(each) for each in conf.get("search", ()))
    return replace(target, nameservers=tuple(dict.fromkeys(servers)), search=search)


def foreign_addresses(evidence: Evidence) -> list[str]:
    """Addresses of the log's host that this host does not have: the check runs elsewhere."""
    own = {
        each.local.host
        for each in evidence.sockets.values()
        if each.local is not None and each.role == "client" and not each.local.is_local and address_of(each.local.host)
    }
    return sorted(address for address in own if not _is_ours(address))


def _is_ours(address: str) -> bool:
    try:
        with socket.socket(family_of(address), socket.SOCK_DGRAM) as one:
            one.bind((address, 0))
    except OSError as error:
        return error.errno != errno.EADDRNOTAVAIL
    return True
