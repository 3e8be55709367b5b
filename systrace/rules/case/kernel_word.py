"""What the kernel said of a connection while it was waited for: whose silence it is. Only recordings with readings tell.

tcp(7), Documentation/networking/ip-sysctl.rst: what is sent and not acknowledged is repeated (RTO, doubling), a closed
window is probed (persist), an idle connection with keepalive is probed; close(2) sends an end that the peer's kernel
acknowledges whatever its program does.
"""

from __future__ import annotations

from systrace.dataclass import dataclass
from systrace.look.nouns import Reading
from systrace.model import Attempt, Draft, Fact, Socket
from systrace.rules.case.index import SECOND
from systrace.rules.case.stalls import Stall

_FEW = 10  # segments
_REPEATED = 2  # times: one may be a lost packet
_LEFT_OPEN_NS = 60 * SECOND  # no path that is known forgets a connection sooner


@dataclass(frozen=True, slots=True)
class Word:
    """The last reading of a wait, and what it means.

    `kind`: "acknowledged" (the peer's host has all that was sent), "unasked" (nothing was sent), "unacknowledged"
    (repeated in vain), "window" (the peer's host answers, its program does not read), "unanswered probes", "connecting"
    (SYNs), "backlog" (the listener's queue is full).
    """

    kind: str
    reading: Reading
    events: tuple[Fact, ...]
    closed: Reading | None = None  # what became of the end that was sent at its close
    alive: bool = False  # the peer's host was heard of after the last data: by a probe's answer or that of the end
    waited_ns: int | None = None

    @property
    def lost(self) -> bool:
        """The path or the peer's host is dead."""
        return self.kind in ("unacknowledged", "unanswered probes")

    @property
    def network_clear(self) -> bool:
        """What was sent had arrived, and the path is not known to forget: heard of since, or too short a wait for that."""
        if self.alive:
            return self.kind in ("acknowledged", "unasked")
        return self.kind == "acknowledged" and self.waited_ns is not None and self.waited_ns < _LEFT_OPEN_NS

    @property
    def its_program(self) -> str:
        """What is to blame where the network is not."""
        if self.kind == "unasked":
            return "the peer's program is stuck or stopped, or waits to be asked first: its host answers"
        behind = "or what is behind it, if it is a proxy or balancer"
        return f"the peer's host has all of the request: its program ({behind}) is slow, stuck, or has lost it"

    @property
    def text(self) -> str:
        """The kernel's word as a sentence; the readings themselves are evidence."""
        state, end = self.reading.socket, self.closed or (self.reading if self.reading.closed else None)
        if self.kind == "unacknowledged":
            return f"The kernel: {self._lost}."
        if self.kind == "unanswered probes":
            probes = state.tcp.probes if state.tcp is not None else 0
            return f"The kernel: {probes} keepalive probes went unanswered."
        if self.kind in ("connecting", "backlog"):
            full = ": the listener's queue is full" if self.kind == "backlog" else ""
            count = (state.retransmits or 0) + 1
            return f"The kernel: {count} SYN{'s' * (count > 1)} sent, none answered{full}."
        if self.kind == "window":
            return f"The kernel: {state.unsent or 0} bytes wait, the peer's window is closed, and its host answers."
        later = ""
        if self.alive:
            later = ", the end (FIN) at the close too" if end is not None else ", keepalive probes too"
        if self.kind == "unasked":
            return f"The kernel: nothing had been sent; the peer's host answers{later.removesuffix(' too')}."
        return f"The kernel: the peer's host has acknowledged all that was sent{later}."

    @property
    def _lost(self) -> str:
        """What nobody acknowledged."""
        state, said = self.reading.socket, []
        if not self.reading.closed and state.timer == "persist":
            said.append(
                f"{state.tcp.probes if state.tcp is not None else 0} probes of its closed window went unanswered"
            )
        elif not self.reading.closed and state.retransmits:
            said.append(f"{state.unsent or 0} bytes were sent {state.retransmits + 1} times and never acknowledged")
        if self.closed is not None or self.reading.closed:
            said.append("the end (FIN) that was sent at the close was never acknowledged")
        return ", and ".join(said)


def word_on(stall: Stall) -> Word | None:
    """What the kernel said in this wait; None without readings, or where they decide nothing."""
    since = stall.span.start_ns if stall.span is not None else stall.socket.last_progress_ns
    return _word(stall.socket, since, stall.waited_ns)


def word_on_attempt(socket: Socket, attempt: Attempt) -> Word | None:
    """The same of a connect."""
    word = _word(socket, attempt.start_ns, attempt.duration_ns)
    return word if word is not None and word.kind in ("connecting", "backlog") else None


def loss_on(socket: Socket) -> tuple[int, int, Fact] | None:
    """Of the data segments that had come: how many out of order, as after a loss, and how many in all; the reading that says
    so. None where none does, or too few had come to tell.
    """
    for reading, event in reversed(socket.readings):
        tcp = reading.socket.tcp
        if tcp is not None and tcp.out_of_order is not None and (tcp.data_segments_in or 0) >= _FEW:
            return tcp.out_of_order, tcp.data_segments_in or 0, event
    return None


def heed(finding: Draft, word: Word | None, *, proves: bool = True) -> None:
    """Add the kernel's word to a finding: as a sentence, as evidence, and as its proof."""
    if word is None:
        return
    finding.summary = f"{finding.summary} {word.text}"
    finding.evidence = [*finding.evidence, *word.events]
    if proves:
        finding.confidence = "confirmed"


def _word(socket: Socket, since_ns: int | None, waited_ns: int | None) -> Word | None:
    found = [each for each in socket.readings if since_ns is None or each[0].time_ns >= since_ns]
    waiting = next((each for each in reversed(found) if not each[0].closed), None)
    end = next((each for each in reversed(found) if each[0].closed), None)
    last = waiting or end
    if last is None:
        return None
    reading, events = last[0], tuple(each[1] for each in (waiting, end) if each is not None)
    after = end[0] if end is not None and waiting is not None else None
    if end is not None and (end[0].socket.retransmits or 0) >= _REPEATED:
        return Word("unacknowledged", reading, events, after)
    sent = "acknowledged" if socket.sent.calls else "unasked"
    kind = _kind(reading) if waiting is not None else sent
    if end is not None and kind in ("unacknowledged", "unanswered probes", ""):
        kind = sent  # it came through in the end
    return Word(kind, reading, events, after, end is not None or _answers_probes(reading), waited_ns) if kind else None


def _kind(reading: Reading) -> str:
    state, tcp = reading.socket, reading.socket.tcp
    if state.state == "syn-sent":
        return "backlog" if reading.listener is not None and reading.listener.full else "connecting"
    probes = tcp.probes if tcp is not None else 0
    if state.timer == "on" and (state.retransmits or 0) >= _REPEATED:
        return "unacknowledged"
    if state.timer == "persist":
        return "unacknowledged" if probes >= _REPEATED else "window"
    if probes >= _REPEATED:
        return "unanswered probes"
    if tcp is None or state.unsent or tcp.unacked or state.state not in ("established", "close-wait", "fin-wait-2"):
        return ""
    return "unasked" if tcp.bytes_acked is not None and tcp.bytes_acked <= 1 else "acknowledged"  # 1: the SYN


def _answers_probes(reading: Reading) -> bool:
    """An acknowledgement came after the last data in either direction: to a keepalive probe, which the peer's host answers."""
    tcp = reading.socket.tcp
    if tcp is None or reading.socket.timer != "keepalive" or tcp.probes:
        return False
    return tcp.last_ack_received_ms + 500 < min(tcp.last_data_sent_ms, tcp.last_data_received_ms)
