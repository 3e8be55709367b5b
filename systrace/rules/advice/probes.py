"""Commands that a person types next: ask again, or see whether a port answers. Never one that does something twice."""

from __future__ import annotations

import re
from collections.abc import Sequence

from systrace.messages.http import HttpRequest
from systrace.model import Endpoint, Process, Socket, Step
from systrace.rules.case.index import where
from systrace.shell import word

# Words of `where` and `number` for what the log does not tell, not those of an address or a path in it.
_HOLE = re.compile(r"(?:(?<![^\s:=])|(?<=/proc/))(?:HOST|PORT|PID)(?![^\s:;|/'])")
_URL = re.compile(r"\S*://\S*")
_REPEATABLE = ("GET", "HEAD", "OPTIONS")  # safe methods, RFC 9110 9.2.1


def number(process: Process | None) -> str:
    """The process id for a command: of one that has ended, that of the next of its name; PID where nothing is known."""
    if process is None or (process.exit_event is None and not process.pid):
        return "PID"
    if process.exit_event is None:
        return str(process.pid)
    return f"$(pgrep -nf {word(process.command)})" if process.command else "PID"


def watch(process: Process | None, why: str) -> Step:
    """A look at a process that waits, now or the next time."""
    if process is not None and process.exit_event is not None and process.command:
        return Step(f"systrace attach --passive --name {word(process.command)}", f"the next time it hangs: {why}")
    pid = number(process)
    if pid == "PID":
        return Step(why=f"the next time it hangs, systrace attach --passive with its process id: {why}")
    return Step(f"systrace attach --passive {pid}", f"while it hangs: {why}")


def complete(steps: Sequence[Step]) -> list[Step]:
    """Without those that somebody would have to fill in."""
    return [step for step in steps if not _HOLE.search(_URL.sub("", f"{step.command}\n{step.why}"))]


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
        return [Step(f"curl -so /dev/null{head} -w '{clock}\\n' {word(request.url)}")]
    return [Step(f"curl -sv{head} {word(request.url)} | head -c 600", "save what comes and look at it")]


def is_repeatable(socket: Socket) -> bool:
    """Whether what was asked last may be asked again without doing anything twice."""
    request = last_request(socket)
    return request is not None and request.method in _REPEATABLE


def last_request(socket: Socket) -> HttpRequest | None:
    """The last that was sent there, where that was one of HTTP."""
    sent = [message for message in socket.messages if message.direction == "sent"]
    return sent[-1] if sent and isinstance(sent[-1], HttpRequest) else None
