"""A reading in words."""

from __future__ import annotations

from systrace.look.nouns import Reading, SocketState
from systrace.words import seconds

_MS = 1_000_000


def tells(reading: Reading) -> str:
    """One reading in words."""
    state, tcp = reading.socket, reading.socket.tcp
    if reading.closed:
        if state.retransmits:
            return f"closed, and the end (FIN) sent {state.retransmits + 1} times without an acknowledgement"
        return "closed, and the peer's host acknowledged the end (FIN)"
    words = [f"after {seconds(reading.waited_ns)} of waiting: {state.state or 'state unknown'}"]
    if state.state == "syn-sent":
        words.append(f"{_times((state.retransmits or 0) + 1, 'SYN')} sent, none answered")
    elif state.timer == "on" and state.retransmits:
        repeated = f"repeated {_times(state.retransmits, 'time')}"
        words.append(f"{state.unsent or 0} bytes not acknowledged, {repeated}{_heard(state)}")
    elif state.timer == "persist":
        probes = f", {tcp.probes} probes unanswered" if tcp is not None and tcp.probes else ""
        words.append(f"{state.unsent or 0} bytes wait: the peer's window is closed{probes}")
    elif tcp is not None and tcp.probes:
        words.append(f"{_times(tcp.probes, 'keepalive probe')} unanswered{_heard(state)}")
    elif state.unsent:
        words.append(f"{state.unsent} bytes on their way")
    elif tcp is not None:
        words.append(f"all that was sent is acknowledged, nothing is outstanding{_heard(state)}")
    if tcp is not None and tcp.out_of_order:
        words.append(f"{tcp.out_of_order} of {tcp.data_segments_in} segments came out of order")
    if state.unread:
        words.append(f"{state.unread} bytes unread here")
    if reading.listener is not None:
        words.append(f"the listener's queue holds {reading.listener.waiting} of at most {reading.listener.most + 1}")
    return ", ".join(words)


def _heard(state: SocketState) -> str:
    return (
        f"; the peer's host was last heard of {seconds(state.tcp.last_ack_received_ms * _MS)} before"
        if state.tcp
        else ""
    )


def _times(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
