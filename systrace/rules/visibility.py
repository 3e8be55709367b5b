"""What a log's options hide, and therefore which questions it cannot answer."""

from __future__ import annotations

from systrace.model import Evidence

_MOVES = {"read", "recvfrom", "recv", "recvmsg", "readv"}
_PLAIN = {"read", "write", "readv", "writev"}
_WAITS = {"poll", "ppoll", "select", "pselect6", "_newselect", "epoll_wait", "epoll_pwait", "epoll_pwait2"}


def hidden_by_options(evidence: Evidence) -> list[str]:
    """One sentence for each kind of call or column that the log lacks."""
    style = evidence.source.style
    seen = style.syscalls
    hidden = []
    network = bool(seen & {"socket", "connect", "sendto", "recvfrom", "sendmsg", "recvmsg"})
    if network and not seen & _PLAIN:
        hidden.append("no read/write in this log (-e trace=network hides them): bytes moved by them are unknown")
    elif network and "read" not in seen and "write" in seen:
        hidden.append("no read in this log: what was received by read(2) is unknown")
    if network and not seen & _WAITS:
        hidden.append("no poll/select/epoll in this log (-e trace=network hides them): waits are unknown")
    if network and "close" not in seen:
        hidden.append("no close in this log: when sockets were closed is unknown")
    if style.clock == "none":
        hidden.append("no time stamps in this log (-ttt): durations are unknown")
    elif not style.duration:
        hidden.append("no durations in this log (-T): they are taken from the thread's next line")
    if seen & {"clone", "clone3", "fork", "vfork"} and not any(
        p.traced and p.parent is not None for p in evidence.processes.values()
    ):
        hidden.append("children were not traced (-f): what they did is unknown")
    return hidden


def clipped(evidence: Evidence) -> int:
    """How many transfers moved bytes that `-s` cut."""
    return sum(s.sent.original_len > s.sent.captured_len for s in evidence.sockets.values())
