"""In a few words: who used a socket, how it ended, what is remarkable about it."""

from __future__ import annotations

from systrace.model import Attempt, Evidence, Fault, Socket
from systrace.reporters.text import duration

_ERRNO_WORDS = {
    "ECONNREFUSED": "refused",
    "ETIMEDOUT": "timed out",
    "EHOSTUNREACH": "host unreachable",
    "ENETUNREACH": "network unreachable",
    "ECONNRESET": "reset by the peer",
    "EPIPE": "write after the peer's close",
    "EADDRNOTAVAIL": "no free local port",
    "ENOENT": "no such socket",
    "EACCES": "not permitted",
    "EPERM": "not permitted",
}
_STATE_WORDS = {
    "new": "never connected",
    "bound": "bound",
    "listening": "listening",
    "connecting": "connect pending",
    "established": "open",
    "peer-closed": "closed by the peer",
    "half-closed": "half closed",
    "finished": "closed by the peer",
    "abandoned": "connect given up",
    "failed": "connect failed",
    "broken": "broken",
    "closed": "closed",
}
_CLOSED_BY = {"exit": "open until exit", "exec": "closed by exec"}


def errno_words(errno: str | None) -> str:
    """`refused (ECONNREFUSED)`."""
    if errno is None:
        return "error"
    return f"{_ERRNO_WORDS[errno]} ({errno})" if errno in _ERRNO_WORDS else errno


def first_error(socket: Socket) -> Fault | None:
    """The first error on an established connection."""
    return next((fault for fault in socket.faults if fault.kind == "error"), None)


def ending(socket: Socket) -> str:
    """How the socket ended, or what it does when the log ends."""
    if socket.waiting is not None and not socket.closed_by:
        return f"still waiting to {'write' if socket.waiting.direction == 'w' else 'read'}"
    last = socket.attempts[-1] if socket.attempts else None
    if last is not None and last.outcome == "failed":
        return errno_words(last.errno)
    if last is not None and last.outcome == "abandoned":
        return "connect given up"
    fault = first_error(socket)
    if fault is not None:
        return errno_words(fault.errno)
    if socket.waits and socket.waits[-1].ended_by.startswith("signal "):
        return f"waiting until {socket.waits[-1].ended_by.removeprefix('signal ')}"
    if socket.waits and socket.waits[-1].timed_out:
        return "timed out, then closed" if socket.closed_by else "timed out"
    if socket.state == "closed":
        return _CLOSED_BY.get(socket.closed_by, "closed")
    return _STATE_WORDS.get(socket.state, socket.state)


def connecting(socket: Socket) -> str:
    """How long the connect took; for a failed one, what it took to fail."""
    connected = next((a for a in socket.attempts if a.outcome == "connected"), None)
    if connected is not None:
        return _took(connected)
    return f"{_took(socket.attempts[-1])}, failed" if socket.attempts else "-"


def _took(attempt: Attempt) -> str:
    return duration(attempt.duration_ns) if attempt.duration_ns is not None else "?"


def user(socket: Socket, evidence: Evidence) -> str:
    """`python3[13010] fd 3` of the process that used it last, unsafe text."""
    owners = evidence.owners
    pid = next((owners[e.record.tid] for e in reversed(socket.timeline) if e.record.tid in owners), socket.pid)
    holder = next((h for h in reversed(socket.holders) if h.pid == pid), None)
    process = evidence.processes.get(pid) if pid is not None else None
    name = process.command if process is not None else ""
    number = f"[{pid}]" if pid else ""
    return f"{name}{number} fd {holder.fd}".strip() if holder is not None else f"{name}{number}" or "-"


def silence_ns(socket: Socket) -> int:
    """The longest time without a byte, waits that nothing came of included."""
    waits = [*socket.waits, socket.waiting] if socket.waiting is not None else socket.waits
    return max([socket.longest_silence_ns, *(wait.duration_ns or 0 for wait in waits)])


def is_remarkable(socket: Socket) -> bool:
    """A failed connect, an error, or a wait that nothing came of."""
    if socket.waiting is not None and socket.type != "dgram" and not socket.closed_by:
        return socket.role != "listener"
    failed = any(a.outcome in ("failed", "abandoned") and not a.superseded for a in socket.attempts)
    pending = bool(socket.attempts) and socket.attempts[-1].outcome == "pending"
    return failed or pending or first_error(socket) is not None or any(w.timed_out for w in socket.waits)
