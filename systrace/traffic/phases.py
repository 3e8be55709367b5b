"""What a connection did when: look-up and connect, TLS, data, waits and silences, errors; for waterfalls and lanes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from systrace.dataclass import dataclass
from systrace.messages.tls import TlsHello
from systrace.model import Socket, Span
from systrace.traffic.activity import Block

KINDS = ("connect", "failed", "tls", "sent", "received", "both", "waiting", "silence", "error")


@dataclass(frozen=True, slots=True)
class Phase:
    """One thing for some time; an error has none."""

    kind: str  # see KINDS; `both`: exchanges too quick to be told apart; `waiting`: something is owed
    start_ns: int
    end_ns: int
    sent: int = 0  # bytes
    received: int = 0
    text: str = ""  # of an error or a failed connect: errno

    @property
    def duration_ns(self) -> int:
        """How long."""
        return self.end_ns - self.start_ns


def phases(socket: Socket, blocks: Sequence[Block], end_ns: int | None) -> list[Phase]:
    """The life of a connection as far as the log's clock tells.

    Args:
        socket: whose.
        blocks: when bytes went over it (`Activity.of`).
        end_ns: the log's last time: a connection without an end lasts until then.
    """
    found = [*_connects(socket, end_ns), *_errors(socket)]
    tls = _handshake(socket)
    waits = [*socket.waits, *([socket.waiting] if socket.waiting is not None else [])]
    last = _end(socket, end_ns)
    for at, block in enumerate(blocks):
        following = blocks[at + 1].start_ns if at + 1 < len(blocks) else last
        kind = "tls" if tls is not None and tls[0] <= block.start_ns <= tls[1] else _direction(block)
        found.append(Phase(kind, block.start_ns, block.end_ns, block.sent, block.received))
        if following is not None and following > block.end_ns:
            owed = block.received == 0 or _waited(waits, block.end_ns, following)
            gap = "tls" if tls is not None and following <= tls[1] else "waiting" if owed else "silence"
            found.append(Phase(gap, block.end_ns, following))
    found += _unused(socket, waits, blocks[0].start_ns if blocks else last)
    return sorted(found, key=lambda phase: (phase.start_ns, phase.end_ns))


def _direction(block: Block) -> str:
    return "both" if block.sent and block.received else "sent" if block.sent else "received"


def _connects(socket: Socket, end_ns: int | None) -> Iterator[Phase]:
    for attempt in socket.attempts:
        end = attempt.end_ns if attempt.end_ns is not None else socket.closed_ns or end_ns
        if attempt.start_ns is None or end is None or socket.type != "stream":
            continue
        good = attempt.outcome == "connected"
        text = "" if good else attempt.errno or attempt.outcome
        yield Phase("connect" if good else "failed", attempt.start_ns, max(end, attempt.start_ns), text=text)


def _errors(socket: Socket) -> Iterator[Phase]:
    for fault in socket.faults:
        record = fault.event.record
        if fault.kind == "error" and record.time_ns is not None:
            at = record.time_ns + (record.duration_ns or 0)
            yield Phase("error", at, at, text=fault.errno or "")


def _handshake(socket: Socket) -> tuple[int, int] | None:
    """From the first hello to the end of the server's."""
    hellos = [each for each in socket.messages if isinstance(each, TlsHello)]
    starts = [each.start_ns for each in hellos if each.start_ns is not None]
    ends = [each.end_ns for each in hellos if each.end_ns is not None]
    return (min(starts), max(ends)) if starts and ends else None


def _waited(waits: Sequence[Span], start: int, end: int) -> bool:
    """Whether the program waited for the other side most of that time."""
    spans = (
        (max(each.start_ns or start, start), min(each.end_ns or end, end)) for each in waits if each.direction == "r"
    )
    return 2 * sum(max(0, until - since) for since, until in spans) > end - start


def _end(socket: Socket, end_ns: int | None) -> int | None:
    return socket.closed_ns if socket.closed_ns is not None else end_ns


def _unused(socket: Socket, waits: Sequence[Span], until: int | None) -> Iterator[Phase]:
    """The time before anything went over it."""
    made = [each.end_ns for each in socket.attempts if each.outcome == "connected" and each.end_ns is not None]
    since = made[-1] if made else socket.opened_ns if not socket.attempts else None
    if since is not None and until is not None and until > since:
        yield Phase("waiting" if _waited(waits, since, until) else "silence", since, until)
