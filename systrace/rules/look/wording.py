"""Pieces of sentences about processes and sockets."""

from __future__ import annotations

from systrace.look.nouns import ProcessState, SocketState, Thread
from systrace.model import Line
from systrace.words import roughly


def who(process: ProcessState, thread: Thread | None = None) -> str:
    """ "python3[4242]", with the thread where it is not the first."""
    text = f"{process.command}[{process.pid}]"
    if thread is not None and thread.tid != process.pid:
        name = f" {thread.name}" if thread.name != process.name else ""
        text += f" thread {thread.tid}{name}"
    return text


def name_of(state: SocketState) -> str:
    """What a socket is connected to (or bound to), for people."""
    if state.peer is not None and (state.peer.host or state.peer.path):
        return str(state.peer)
    if state.local is not None and (state.local.port or state.local.path):
        return str(state.local)
    return f"a {state.family} socket" if state.family != "other" else "a socket"


def thread_line(thread: Thread) -> Line:
    """What /proc said about a thread, as evidence."""
    call = thread.call
    if call is None:
        asleep = thread.state in ("S", "D")  # then it is in one
        text = f"{'its call may not be read' if asleep else 'not in a system call'}; state {thread.state}"
    else:
        text = f"{call.number} {call.name}({', '.join(hex(arg) for arg in call.args)}); state {thread.state}"
    wchan = f", wchan {thread.wchan}" if thread.wchan else ""
    return Line(f"/proc/{thread.pid}/task/{thread.tid}/syscall", 1, text + wchan)


def socket_line(state: SocketState) -> Line:
    """What the kernel said about a socket, as evidence, in the words of ss(8)."""
    words = [state.protocol or state.family, state.state, f"{state.local or '-'} -> {state.peer or '-'}"]
    words += [f"unread {state.unread}", f"unsent {state.unsent}"]
    words.append(f"timer {state.timer} {state.timer_ms} ms" if state.timer else "no timer")
    if state.tcp is not None:
        info = state.tcp
        words.append(f"last data sent {info.last_data_sent_ms} ms, received {info.last_data_received_ms} ms ago")
        words.append(f"unacked {info.unacked}, backoff {info.backoff}, retransmits {info.retransmits}")
    if state.options_known:
        alive = state.keepalive
        words.append(f"keepalive {'on' if alive.on else 'off'} {alive.idle_s}/{alive.interval_s}/{alive.count}")
    return Line(f"/proc/{state.pid}/fd/{state.fd}", 1, ", ".join(word for word in words if word))


def exchange(state: SocketState) -> str:
    """What last went over the connection, and whether anything is on its way."""
    if state.unread:
        return f"{state.unread} bytes are there, fewer than it waits for (MSG_WAITALL, SO_RCVLOWAT)"
    if state.tcp is None:
        return "nothing to read"
    outstanding = "nothing outstanding" if not state.unsent else f"{state.unsent} bytes on their way"
    if state.tcp.bytes_received == 0:
        return f"{outstanding}, not one byte received on this connection"
    if state.last_word == "both":
        return f"{outstanding}, last data went both ways {roughly(state.tcp.last_data_sent_ms / 1000)} ago"
    if state.asked:
        return f"{outstanding}, last sent {roughly(state.tcp.last_data_sent_ms / 1000)} ago and no answer since"
    return f"{outstanding}, last data came {roughly(state.tcp.last_data_received_ms / 1000)} ago"


def host_of(state: SocketState) -> str:
    """The peer's host as ss(8) and ping(8) take it."""
    return state.peer.host if state.peer is not None and state.peer.host else "ADDRESS"


def ss_host(state: SocketState) -> str:
    """The same as ss(8) filters take it: IPv6 in brackets."""
    host = host_of(state)
    return f"[{host}]" if ":" in host else host
