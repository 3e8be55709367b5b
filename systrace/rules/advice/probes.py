"""Commands that a person types next: ask again, or see whether a port answers. Never one that does something twice."""

from __future__ import annotations

from systrace.messages.http import HttpRequest
from systrace.model import Endpoint, Socket, Step
from systrace.rules.case.index import where
from systrace.shell import word

_REPEATABLE = ("GET", "HEAD", "OPTIONS")  # safe methods, RFC 9110 9.2.1


def knock(peer: Endpoint | None, *, datagrams: bool = False, port: str = "PORT", why: str = "") -> Step:
    """Whether the port answers. Over UDP silence proves nothing: only an ICMP error says that it is closed."""
    host, number = where(peer, port)
    if datagrams:
        return Step(f"nc -vzu -w5 {host} {number}", why or "UDP: `refused` is proof, silence is none")
    return Step(f"nc -vz -w5 {host} {number}", why)


def ask_again(socket: Socket, request: HttpRequest | None, *, clock: str = "") -> list[Step]:
    """The request once more, with a clock (curl's --write-out) or to see what comes; where that does no harm."""
    if request is None or not request.url:
        return []
    if request.method == "CONNECT":
        host, port = where(socket.peer)
        return [
            Step(f"curl -sv -o /dev/null -x http://{host}:{port} {word(f'https://{request.target}/')}", "the same way")
        ]
    if request.method not in _REPEATABLE:
        return []
    head = " -I" if request.method == "HEAD" else ""
    if clock:
        return [Step(f"curl -so /dev/null{head} -w '{clock}\\n' {word(request.url)}", "the same with a clock")]
    return [Step(f"curl -sv{head} {word(request.url)} | head -c 600", "save what comes and look at it")]


def last_request(socket: Socket) -> HttpRequest | None:
    """The last that was sent there, where that was one of HTTP."""
    sent = [message for message in socket.messages if message.direction == "sent"]
    return sent[-1] if sent and isinstance(sent[-1], HttpRequest) else None
