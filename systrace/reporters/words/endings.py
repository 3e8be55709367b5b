"""In a few words: who used a socket, how it ended, what is remarkable about it."""

from __future__ import annotations

from systrace.model import Evidence, Fault, Socket, Source, Span
from systrace.words import clean, duration

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


def ended_by(source: Source) -> str | None:
    """What of systrace itself ended the job: `--stall-kill, SIGTERM`."""
    name = source.facts.get("stall_kill")
    return f"--stall-kill, {clean(name, 20)}" if isinstance(name, str) else None


def errno_words(errno: str | None) -> str:
    """`refused` for ECONNREFUSED; the name itself where it says as much."""
    return _ERRNO_WORDS.get(errno, errno) if errno is not None else "error"


def first_error(socket: Socket) -> Fault | None:
    """The first error on an established connection."""
    return next((fault for fault in socket.faults if fault.kind == "error"), None)


def ending(socket: Socket) -> str:
    """How the socket ended, or what it does when the log ends."""
    span = unended(socket)
    if span is not None:
        return f"still waiting to {'write' if span.direction == 'w' else 'read'}"
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
    """How long the connect took; without a successful one, what the last took to fail."""
    attempt = next((a for a in socket.attempts if a.outcome == "connected"), None)
    if attempt is None and socket.attempts:
        attempt = socket.attempts[-1]
    return duration(attempt.duration_ns) if attempt is not None else "-"


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
    return max([socket.longest_silence_ns, *(wait.duration_ns or 0 for wait in socket.waits)])


def unended(socket: Socket) -> Span | None:
    """The wait under way when the log ends."""
    last = socket.waits[-1] if socket.waits else None
    return last if last is not None and last.ended_by == "end of log" and not socket.closed_by else None


def is_remarkable(socket: Socket) -> bool:
    """A failed connect, an error, or a wait that nothing came of."""
    if unended(socket) is not None and socket.role == "client":
        return True
    failed = any(a.outcome in ("failed", "abandoned") and not a.superseded for a in socket.attempts)
    pending = bool(socket.attempts) and socket.attempts[-1].outcome == "pending"
    return failed or pending or first_error(socket) is not None or any(w.timed_out for w in socket.waits)
