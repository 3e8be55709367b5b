"""Programs that spin: calls that can make no progress, repeated as fast as it goes."""

from __future__ import annotations

from collections.abc import Iterator

from systrace.calls import LOOPS
from systrace.calls.errnos import WOULD_BLOCK
from systrace.model import Draft, Event, Process, Received, Repeat, Sent, Socket, Step, Waited
from systrace.rules.advice.probes import number
from systrace.rules.case.index import SECOND, Case
from systrace.rules.case.polling import pauses
from systrace.rules.rule import rule
from systrace.words import seconds

_ROUND_NS = SECOND // 100  # a loop that takes longer for a round pauses, or works
_NO_PAUSE_NS = SECOND // 5000  # no room for a sleep or poll that the log hides
_ENDS = 100  # reads of a connection's end: nothing comes after the first (recv(2)), however long it pauses in between
_ASKED = "9 1.0 poll([{fd=14, events=POLLIN}], 1, -1) = 1 ([{fd=14, revents=POLLIN|POLLHUP}]) <0.000010>\n"
_CAME = '9 1.0 recvfrom(4, "aaaa", 4, 0, NULL, NULL) = 4 <0.000010>\n'


@rule("busy-loop", endless=True, over=("send-blocked",), fires=_ASKED * 40, silent=_CAME * 40)
def busy_loop(case: Case) -> Iterator[Draft]:
    """The program repeats calls that can make no progress, and uses a processor for nothing.

    What it is: the same few calls with the same results, over and over, without a pause: variants `eof` (it reads the end
        that the peer gave it again and again; a hundred times prove it with pauses, too), `again` (told that there is
        something, it finds nothing; or it sends into a full buffer without waiting for room), `hang-up` (POLLHUP, POLLERR
        or POLLNVAL that nobody heeds), `broken-pipe`.
    Why it matters: the job hangs and costs a whole processor; the peer has long gone, or another thread has the data.
    What proves it: twenty rounds and more in which nothing differs, and no byte is moved.
    Not this: EAGAIN once after each drain of an edge-triggered socket; a loop that sleeps between its rounds (polling), as
        whoever follows a file that grows.
    What to do: repair the loop: close what has ended, take it out of poll or epoll, wait for POLLOUT before sending again.
    Source: poll(2), epoll(7), recv(2)
    """
    for repeat in case.evidence.repeats:
        variant = _futile(repeat)
        if not variant:
            continue
        process = case.owner_of(case.evidence.owners.get(repeat.tid, repeat.tid))
        numbers = _numbers(repeat, variant)
        socket = _socket(case, repeat, numbers)
        ended = variant == "eof" and repeat.rounds >= _ENDS and socket is not None and socket.type != "dgram"
        rests = any(pauses(event) for event in repeat.calls)
        if not ended and (rests or not _fast(repeat, _ROUND_NS if case.sees_waits else _NO_PAUSE_NS)):
            continue
        if case.fate(process) == "ok" or not (repeat.at_end or (ended and _until_killed(case, repeat, process))):
            continue
        finding = case.finding("busy-loop", socket, [repeat.first, *repeat.calls], process)
        finding.variant, finding.severity, finding.confidence = variant, "fatal", "confirmed"
        if len(numbers) != 1 or not any(client is socket for client in case.clients):
            finding.peer = None  # of which connection it is, or that it is a client's, nothing tells
        finding.duration_ns = repeat.duration_ns
        calls = ", ".join(dict.fromkeys(event.record.syscall for event in repeat.calls if not pauses(event)))
        lasted = f" in {seconds(repeat.duration_ns)}" if repeat.duration_ns is not None else ""
        what = case.label(socket) if socket is not None and socket.peer is not None else _descriptor(numbers)
        finding.summary = (
            f"{case.name_of(process)} spins: it repeats {calls} on {what} again and again ({repeat.rounds} times{lasted}), "
            f"and {_WHY[variant]}."
        )
        finding.causes = [
            "the loop does not handle this result",
            "another thread or process has already taken the data",
        ]
        pid = number(process)
        finding.next_steps = [
            Step(f"ls -l /proc/{pid}/fd", "what these descriptors are"),
            Step("py-spy dump, jstack or gdb -p", "the line of the program that loops"),
        ]
        finding.remedy = [
            "close a descriptor whose peer is gone, or take it out of poll/epoll",
            "upgrade the client library",
        ]
        finding.refuted_by = "bytes that these calls move"
        yield finding


_WHY = {
    "eof": "reads nothing but the end: the peer has closed, and it doesn't notice",
    "again": "nothing can be moved (EAGAIN)",
    "hang-up": "the descriptor is hung up, in error or not open",
    "broken-pipe": "nobody reads the other end any more (EPIPE)",
}


def _futile(repeat: Repeat) -> str:
    """Why a round makes no progress; "" where it may make some, or pauses where something may come meanwhile."""
    kinds = [_kind(event) for event in repeat.calls]
    unclear = [event for event, kind in zip(repeat.calls, kinds, strict=True) if kind is None]
    if unclear and not ("eof" in kinds and all(pauses(event) for event in unclear)):
        return ""
    return next((kind for kind in ("broken-pipe", "eof", "again", "hang-up") if kind in kinds), "")


def _kind(event: Event) -> str | None:
    """What a call of a round stands for: a kind of futility, "" for one that changes nothing, None for progress or a pause."""
    record = event.record
    if isinstance(event, Waited):
        if not record.retval or record.errno is not None:
            return None  # it waited to the end of its limit
        return "hang-up" if any(_hung_up(text) for _fd, text in event.ready) else ""
    if isinstance(event, Sent | Received):
        if record.errno in WOULD_BLOCK:
            return "again"
        if record.errno == "EPIPE":
            return "broken-pipe"
        none = isinstance(event, Received) and record.retval == 0 and record.errno is None
        return "eof" if none and event.asked() != 0 else None
    return None


def _fast(repeat: Repeat, most_ns: int) -> bool:
    """Without a clock a log that shows pauses tells by not showing any."""
    lasted = repeat.duration_ns
    return most_ns == _ROUND_NS if lasted is None else lasted / repeat.rounds < most_ns


def _until_killed(case: Case, repeat: Repeat, process: Process | None) -> bool:
    """Only a signal ended it: what came after are the last calls of its handler."""
    last, end = repeat.calls[-1].record.time_ns, process.end_ns if process is not None else None
    if last is None or end is None or end - last > SECOND or case.fate(process) != "killed":
        return False
    mine = (s for s in case.evidence.sockets.values() if case.process(s) is process)
    return not any((s.last_progress_ns or 0) > last for s in mine)


def _numbers(repeat: Repeat, variant: str) -> list[int]:
    """The descriptors of the calls that are futile in this way."""
    found: dict[int, None] = {}
    for event in repeat.calls:
        if _kind(event) != variant:
            continue
        if isinstance(event, Sent | Received):
            found[event.fd] = None
        elif isinstance(event, Waited) and event.record.syscall in LOOPS and event.epoll_fd < 0:
            found |= {fd: None for fd, text in event.ready if _hung_up(text)}
    return list(found)


def _hung_up(text: str) -> bool:
    return any(word in text for word in ("HUP", "ERR", "NVAL"))


def _descriptor(numbers: list[int]) -> str:
    return f"descriptor {numbers[-1]}" if numbers else "its descriptors"


def _socket(case: Case, repeat: Repeat, numbers: list[int]) -> Socket | None:
    """The one that the calls are on, where the log knows it."""
    pid, last = case.evidence.owners.get(repeat.tid, repeat.tid), repeat.calls[-1].record.time_ns
    for socket in case.evidence.sockets.values():
        holders = (holder for holder in socket.holders if holder.pid == pid and holder.fd in numbers)
        if any(h.to_ns is None or (last is not None and (h.from_ns or 0) <= last <= h.to_ns) for h in holders):
            return socket
    return None
