"""The connections of an idle test: one thread, one poll(2), a heap of times."""

from __future__ import annotations

import errno
import heapq
import math
import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

from systrace.dataclass import dataclass
from systrace.probes.tcp import Dial, TcpInfo, dial

ALIVE, RESET, SILENT, CLOSED, UNTRIED = "alive", "reset", "silent", "closed", "untried"
_LOOKS = (0.3, 1.3, 2.3, 3.4, 4.5, 6.0)  # seconds after the probe was asked for: it is repeated every second, 3 times
_CONNECT_S = 4.0
_TICK_S = 1.0  # between two reports of progress


@dataclass(slots=True)
class Silent:
    """One connection over which nothing goes."""

    wait_s: float
    control: bool = False  # the kernel probes it from the start
    outcome: str = UNTRIED
    asked: bool = False  # its silence was ended by our probe
    after_s: float = 0.0  # of silence when it was asked, or ended by itself
    since: float = 0.0  # monotonic: the last that was heard of the peer
    socket: socket.socket | None = None
    asked_at: float = 0.0

    @property
    def dead(self) -> bool:
        """Its silence was too long: nothing answered, or a reset did."""
        return self.outcome in (RESET, SILENT)

    @property
    def over(self) -> bool:
        """Nothing more will be learned from it."""
        return self.socket is None


@dataclass(slots=True)
class Refused(Exception):
    """No connection can be made: what became of the first."""

    dial: Dial


class Silences:
    """Silences side by side at one address."""

    def __init__(self, address: str, port: int, waits: Sequence[float], controls: int, keepalive_s: int) -> None:
        self.silents = [Silent(wait) for wait in waits]
        self.controls = [Silent(max(waits), control=True) for _ in range(controls)]
        self._keepalive_s = keepalive_s
        self._to = address, port
        self._timers: list[tuple[float, int, Silent, int]] = []
        self._order = 0
        self._poll = select.poll()
        self._by_fd: dict[int, Silent] = {}
        self._enough = False
        self._until = 0.0

    @property
    def all(self) -> list[Silent]:
        """Both groups."""
        return [*self.silents, *self.controls]

    def run(self, tick: Callable[[float], None] | None = None) -> None:
        """To the end of the longest silence; `tick` is called every second with the seconds gone.

        Raises:
            Refused: not one connection could be made.
        """
        try:
            self._open()
            began = time.monotonic()
            for now in self._moments():
                if tick is not None:
                    tick(now - began)
        finally:
            for each in self.all:
                self._close(each)

    def _open(self) -> None:
        dials = [Dial(*self._to) for _ in self.all]
        dial(dials, _CONNECT_S, keep=True)
        now = time.monotonic()
        self._until = now + 1.5 * max(each.wait_s for each in self.all)
        for each, made in zip(self.all, dials, strict=True):
            if made.socket is None:
                continue
            each.socket, each.since = made.socket, now
            self._by_fd[made.socket.fileno()] = each
            self._poll.register(made.socket, select.POLLIN)
            if each.control:
                keep_alive(made.socket, self._keepalive_s)
            else:
                self._at(now + each.wait_s, each, 0)
        if not self._by_fd:
            raise Refused(dials[0])

    def _at(self, when: float, each: Silent, step: int) -> None:
        self._order += 1
        heapq.heappush(self._timers, (when, self._order, each, step))

    def _moments(self) -> Iterator[float]:
        """Run the clock; comes back at least every second."""
        while self._timers and self._by_fd:
            now = time.monotonic()
            left = min(self._timers[0][0] - now, _TICK_S)
            for fd, _ in self._poll.poll(max(left, 0) * 1000 + 1):
                if (stirred := self._by_fd.get(fd)) is not None:  # what came before it may have ended all
                    self._stirred(stirred)
            now = time.monotonic()
            while self._timers and self._timers[0][0] <= now:
                _, _, each, step = heapq.heappop(self._timers)
                if not each.over:
                    self._due(each, step, now)
            yield now

    def _due(self, each: Silent, step: int, now: float) -> None:
        """Its silence is long enough: ask; or look for the answer."""
        assert each.socket is not None
        if step == 0 and each.asked:  # a member of the control group, at the end of all
            return
        if step == 0:
            if not each.control and each.since + each.wait_s > now + 0.001:  # the peer spoke meanwhile
                self._again(each)
                return
            each.asked, each.asked_at, each.after_s = True, now, now - each.since
            probe_now(each.socket)
        elif TcpInfo.of(each.socket).last_ack_ms < (now - each.asked_at) * 1000 + 5:
            self._end(each, ALIVE)
            return
        if step < len(_LOOKS):
            self._at(each.asked_at + _LOOKS[step], each, step + 1)
        else:
            self._end(each, SILENT)

    def _again(self, each: Silent) -> None:
        """Its silence begins anew; a peer that speaks all the time leaves none."""
        if each.since + each.wait_s > self._until:
            self._end(each, UNTRIED)
        else:
            self._at(each.since + each.wait_s, each, 0)

    def _stirred(self, each: Silent) -> None:
        """Bytes, the end, or an error."""
        assert each.socket is not None
        now = time.monotonic()
        try:
            came = each.socket.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError as error:
            if not each.asked:
                each.after_s = now - each.since
            self._end(
                each, SILENT if error.errno in (errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH) else RESET
            )
            return
        if came:
            each.since = now
        else:
            each.after_s = now - each.since
            self._end(each, CLOSED)

    def _end(self, each: Silent, outcome: str) -> None:
        each.outcome = outcome
        self._close(each)
        shortest = min((one.wait_s for one in self.silents if one.dead), default=math.inf)
        if not self._enough and all(one.over for one in self.silents if one.wait_s < shortest):
            self._enough = True
            self._ask_controls()

    def _ask_controls(self) -> None:
        """Longer silences would tell nothing more: the control group has the last word."""
        for each in self.silents:
            self._close(each)
        for each in self.controls:
            if not each.over:
                self._at(time.monotonic(), each, 0)

    def _close(self, each: Silent) -> None:
        if each.socket is not None:
            self._poll.unregister(each.socket)
            del self._by_fd[each.socket.fileno()]
            with closing(each.socket):
                each.socket = None


def keep_alive(one: socket.socket, idle_s: int) -> None:
    """The kernel probes it whenever it was silent for so long."""
    for option, value in ((socket.TCP_KEEPINTVL, 1), (socket.TCP_KEEPCNT, 3), (socket.TCP_KEEPIDLE, idle_s)):
        one.setsockopt(socket.IPPROTO_TCP, option, value)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def probe_now(one: socket.socket) -> None:
    """One probe at once, for it has been silent for longer than a second (tcp_sock_set_keepidle in the kernel)."""
    one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option in (socket.TCP_KEEPINTVL, socket.TCP_KEEPIDLE):
        one.setsockopt(socket.IPPROTO_TCP, option, 1)
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
