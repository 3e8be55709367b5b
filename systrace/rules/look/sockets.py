"""What a wait on a socket means: a dead path, a silent peer, a closed window, or a deadline that will end it."""

from __future__ import annotations

from systrace.calls import EPOLLS
from systrace.idle_limits import nat_s
from systrace.keepalive import COUNT, IDLE_S, INTERVAL_S
from systrace.look.nouns import SocketState
from systrace.model import Step
from systrace.rules.case.index import where
from systrace.rules.look import patience
from systrace.rules.look.servers import accepting, anybody, awaits_anybody, resting, rests, serving
from systrace.rules.look.waits import Judgement, Wait, at, finish
from systrace.rules.look.wording import exchange, host_of, name_of, ss_host
from systrace.shell import word
from systrace.words import roughly

_DNS_PORTS = (53, 5353)


def judge(wait: Wait) -> Judgement:
    """Judge a wait on `wait.state`; exactly one judgement comes out."""
    state = wait.state
    assert state is not None
    if state.state == "listen" or wait.call.name in ("accept", "accept4"):
        return accepting(wait, state)
    if state.state == "syn-sent":
        return _connecting(wait, state)
    if wait.retransmitting:
        return _dead_path(wait, state)
    if state.family == "unix" and wait.call.name == "connect":
        return _queued(wait, state)
    if _sends(wait, state):
        return _send_blocked(wait, state)
    return _receiving(wait, state)


def _sends(wait: Wait, state: SocketState) -> bool:
    """It waits for room: on TCP, readiness to write is awaited in vain only where bytes are on their way."""
    if state.family == "unix":
        return wait.direction == "w"
    return state.protocol == "tcp" and "w" in wait.direction and (state.unsent or 0) > 0


def _receiving(wait: Wait, state: SocketState) -> Judgement:
    if wait.deadline_s is None and awaits_anybody(wait, state):
        return anybody(wait, state)
    if state.protocol == "udp":
        return _datagram(wait, state)
    if state.serves:
        return serving(wait, state)
    if rests(wait, state):
        return resting(wait, state)
    if wait.deadline_s is not None:
        return _limited(wait, state)
    return _silent(wait, state)


def _connecting(wait: Wait, state: SocketState) -> Judgement:
    times = patience.connect_gives_up_s(state, wait.snapshot.sysctls, wait.snapshot.kernel)
    peer = name_of(state)
    count = (state.retransmits or 0) + 1
    end = f"the kernel gives up in about {roughly(times[1])} with ETIMEDOUT" if times is not None else ""
    if wait.deadline_s is not None and (times is None or wait.deadline_s < times[1]):
        end = f"the program's own limit ({wait.call.limit_source}) ends it {wait.ends}"
    sent = f"{count} SYN{'s' if count > 1 else ''} sent, none answered"
    netcat = f"nc -vz -w5 {' '.join(where(state.peer))}"
    headline = f"{wait.subject} on fd {state.fd} to {peer}, connecting: {sent}; {end}".rstrip("; ")
    finding = wait.finding(
        "connect-timeout",
        "pending",
        f"{headline}. Packets are dropped without a word on the way there or back, or the target's queue is full.",
        severity="error" if count > 1 else "info",
        confidence="confirmed" if count > 1 else "possible",
        causes=[
            "a firewall or security group that drops silently (it does not let this source reach that port)",
            "no route there or back (NAT, peering, VPN down), or the address belongs to nobody now",
            "the target's accept queue overflows",
            "a DROP rule in this host's own output chain",
        ],
        next_steps=[Step(netcat), Step("ip route get ADDRESS; nft list ruleset"), Step("ss -tn state syn-sent")],
        remedy=["connect timeout of 5-10 s in the client, retries with growing pauses"],
        refuted_by="the connect succeeds: then only a first SYN was lost",
    )
    return finish(wait, finding, 85 if count > 1 else 66, headline)


def _queued(wait: Wait, state: SocketState) -> Judgement:
    """connect(2) to a UNIX socket waits for nothing but a place in the listener's queue (unix_stream_connect)."""
    name = wait.call.detail or "a UNIX socket"
    end = f"; limit {wait.call.limit_source} ends it {wait.ends}" if wait.ends else ", with no limit"
    headline = (
        f"{wait.subject} on fd {state.fd} to {name}: the listener's queue is full, its program does not accept{end}"
    )
    finding = wait.finding(
        "connect-timeout",
        "queue",
        f"{headline}.",
        severity=wait.severity(endless=wait.deadline_s is None),
        confidence="confirmed",
        causes=["the server is stuck, stopped or too busy to call accept", "its listen(2) backlog is too small"],
        next_steps=[Step(f"ss -xlp | grep {word(name.removeprefix('unix:'))}", "Recv-Q: waiting, Send-Q: the backlog")],
        remedy=["SO_SNDTIMEO in the client: it limits connect, too"],
        refuted_by="the connect succeeds",
    )
    return finish(wait, finding, 80, headline)


def _dead_path(wait: Wait, state: SocketState) -> Judgement:
    assert state.tcp is not None
    ends = patience.retransmission_gives_up_s(state, wait.snapshot.sysctls)
    limit = "TCP_USER_TIMEOUT" if state.user_timeout_ns is not None else "tcp_retries2"
    end = f"; the kernel gives up in about {roughly(ends)} ({limit}) with ETIMEDOUT" if ends is not None else ""
    sent = f"{state.unsent} bytes unacknowledged, repeated {state.tcp.backoff} times"
    if state.timer_ms is not None:
        sent += f", again in {roughly(state.timer_ms / 1000)}"
    headline = f"{at(wait, state)}, retransmitting: {sent}{end}"
    finding = wait.finding(
        "peer-vanished",
        "retransmitting",
        f"{headline}. Nothing comes back, not even an acknowledgement: the path or the peer's host is dead now.",
        severity="error",
        confidence="likely",
        causes=[
            "the peer's host or the network between has gone (instance ended, VPN or NAT failover, rule changed)",
            "if a NAT gateway or firewall is in the path: it forgot the connection while it was idle "
            f"({nat_s()} s for a NAT gateway or NLB) and now drops its packets",
        ],
        next_steps=[
            Step(f"ss -tnoi dst {ss_host(state)}"),
            Step(f"ping -c3 {host_of(state)}; tracepath -n {host_of(state)}"),
        ],
        remedy=["TCP_USER_TIMEOUT of 60-180 s in the client, so that this takes minutes less"],
        refuted_by="an acknowledgement arrives (backoff returns to 0): the path was only interrupted",
    )
    return finish(wait, finding, 90, headline)


def _send_blocked(wait: Wait, state: SocketState) -> Judgement:
    if state.timer == "persist":
        why = "the peer's receive window is closed: its host answers, its program does not read; no limit to this"
        if state.user_timeout_ns is not None:
            why = why.removesuffix("no limit to this")
            why += f"TCP_USER_TIMEOUT ends it {roughly(state.user_timeout_ns / 1e9)} after the last acknowledgement"
        confidence = "confirmed"
    else:
        why = "the send buffer is full: the peer reads more slowly than we write, or not at all"
        confidence = "likely"
    queued = f"{state.unsent} bytes unread by the peer, " if state.unsent else ""
    ends = f", limit {wait.call.limit_source} ends it {wait.ends}" if wait.ends else ""
    headline = f"{at(wait, state)}, {queued}{why}{ends}"
    finding = wait.finding(
        "send-blocked",
        state.timer or "buffer",
        f"{headline}.{_other_end(wait, state)}",
        severity=wait.severity(endless=wait.deadline_s is None),
        confidence=confidence,
        causes=[
            "the peer's program is stuck or busy and does not read",
            "both sides write first and neither reads (deadlock)",
            "a proxy in between that buffers for a slow reader",
        ],
        next_steps=[
            Step(f"ss -xp | grep {state.inode}") if state.family == "unix" else Step(f"ss -tnoi dst {ss_host(state)}"),
            Step(why="look at the peer: what does its program wait for?"),
        ],
        remedy=["SO_SNDTIMEO or a write timeout in the client; read while writing"],
        refuted_by="Send-Q shrinks between two looks",
    )
    return finish(wait, finding, 80, headline)


def _datagram(wait: Wait, state: SocketState) -> Judgement:
    dns = state.peer is not None and state.peer.port in _DNS_PORTS
    limited = wait.deadline_s is not None
    end = f"own limit ({wait.call.limit_source}) {wait.ends}" if limited else ""
    headline = f"{at(wait, state)}, UDP, nothing has come{'; ' + end if end else ', no timeout: it may wait for ever'}"
    finding = wait.finding(
        "dns-timeout" if dns else "read-timeout" if limited else "hung-read",
        "pending",
        f"{headline}. A lost datagram is not repeated by the kernel: only the program can ask again.",
        severity=wait.severity(endless=not limited),
        confidence="possible" if limited else "likely",
        causes=["the resolver does not answer" if dns else "the question or the answer was lost or never sent"],
        next_steps=[
            Step(f"dig +time=2 +tries=1 @{host_of(state)} NAME")
            if dns
            else Step(f"tcpdump -ni any udp and host {host_of(state)}")
        ],
        remedy=["a working server first in resolv.conf; options timeout:1 attempts:3" if dns else "a receive timeout"],
        refuted_by="an answer arrives",
    )
    return finish(wait, finding, 72 if dns else 60, headline)


def _limited(wait: Wait, state: SocketState) -> Judgement:
    if wait.call.limit_source == "timerfd":
        return _timed(wait, state)
    own = f"its own limit of {roughly((wait.call.limit_ns or 0) / 1e9)} ({wait.call.limit_source})"
    headline = f"{at(wait, state)}, {exchange(state)}; {own} ends it {wait.ends}"
    kept = wait.call.name in EPOLLS and not state.asked  # the limit is the event loop's, for its next timer
    told = "whether anything was asked these tables do not tell" if kept else "the peer has not answered yet"
    finding = wait.finding(
        "read-timeout",
        "pending",
        f"{headline}. The connection stands and nothing is outstanding on the wire: {told}.",
        severity="info" if kept or wait.has_only_begun else "warning",
        confidence="likely",
        causes=["the server is slow or stuck on this request", "the answer was lost after the server sent it"],
        next_steps=[
            Step(why="time the same request on its own (curl -w '%{time_starttransfer}')"),
            Step(why="the server's access log"),
        ],
        remedy=["raise this one limit if the answer takes that long, or make the call asynchronous"],
        refuted_by="data arrive before the limit",
    )
    return finish(wait, finding, 56, headline)


def _timed(wait: Wait, state: SocketState) -> Judgement:
    """A timer in the set wakes the program: what it does then, give up or wait again, is its own business."""
    headline = f"{at(wait, state)}, {exchange(state)}; a timer of its own (timerfd) wakes it {wait.ends}"
    finding = wait.finding(
        "read-timeout",
        "timer",
        f"{headline}. Whether it then gives up or goes on waiting cannot be seen.",
        severity="warning",
        confidence="possible",
        causes=["the server is slow or stuck on this request", "nothing was asked: the program waits for what comes"],
        next_steps=[
            Step(f"ss -tnoi dst {ss_host(state)}"),
            Step(why="look again after the timer: is it the same wait?"),
        ],
        refuted_by="data arrive",
    )
    return finish(wait, finding, 55, headline)


def _silent(wait: Wait, state: SocketState) -> Judgement:
    """The peer says nothing, and the program has set no limit to that."""
    seconds = wait.seconds or 0.0
    local = _without_path(state)
    idle = not local and seconds >= nat_s() and _keepalive_came_too_late(state)
    answered = _keepalive_answered(state, seconds)
    ends = patience.keepalive_gives_up_s(state) if not answered else None
    spoke = _request_is_out(wait, state)
    headline = f"{at(wait, state)}, {exchange(state)}, {_guards(wait, state)}{_prospect(wait, ends)}"
    refuted_by = "the answer arrives: then the server was only slow"
    finding = wait.finding(
        "idle-timeout" if idle else "hung-read",
        "waiting" if idle else "peer-silent" if answered else "no-deadline" if ends is None else "keepalive",
        f"{headline}. {_inference(state, seconds, local=local, idle=idle)}{_other_end(wait, state)}",
        severity="info" if wait.has_only_begun else wait.severity(endless=ends is None and spoke),
        confidence="likely" if ends is None and spoke and not wait.process.alarms else "possible",
        causes=_silent_causes(seconds, local=local, idle=idle),
        next_steps=_silent_steps(state, local=local),
        remedy=_silent_remedy(state, local=local),
        refuted_by=f"{refuted_by}; or an exchange after a longer silence on the same path" if idle else refuted_by,
    )
    return finish(wait, finding, 68 if local else 75 if spoke else 50, headline)


def _without_path(state: SocketState) -> bool:
    """No IP network is between the two ends: they are on one host, or speak vsock, Bluetooth or the like."""
    other = state.family not in ("inet", "inet6", "unix")
    return other or state.peer is None or state.peer.is_local or state.peer_inode is not None


def _prospect(wait: Wait, ends: float | None) -> str:
    """What will end the wait if the peer stays silent; `ends`: the seconds until keepalive does, None: it never will."""
    if ends is not None:
        return f"; if the peer is gone that shows in {roughly(ends)}"
    unless = f", unless a timer of its own breaks it ({wait.process.alarms})" if wait.process.alarms else ""
    return f": it will wait for ever{unless}"


def _request_is_out(wait: Wait, state: SocketState) -> bool:
    """The program spoke last, or waits for nothing else: one of a pool may rest after its answer."""
    return state.asked or len(wait.call.fds) == 1


def _guards(wait: Wait, state: SocketState) -> str:
    """Which mechanisms could end the wait: keepalive and timeouts."""
    if state.protocol != "tcp":
        return "no timeout"
    alive = state.keepalive
    ticks = f", asks again every {roughly((wait.call.limit_ns or 0) / 1e9)} ({wait.call.name})" if wait.ticking else ""
    if not state.options_known:
        return "keepalive " + ("on" if state.timer == "keepalive" else "not known") + ticks
    if not alive.on:
        return "no keepalive, no timeout" + ticks
    probes = f", {state.tcp.probes} probes unanswered" if state.tcp is not None and state.tcp.probes else ""
    ends = f", TCP_USER_TIMEOUT {roughly(state.user_timeout_ns / 1e9)}" if state.user_timeout_ns is not None else ""
    return (
        f"keepalive after {alive.idle_s} s every {alive.interval_s} s ×{alive.count}{ends}{probes}, no timeout{ticks}"
    )


def _keepalive_came_too_late(state: SocketState) -> bool:
    alive = state.keepalive
    if not state.options_known:
        return state.timer != "keepalive"
    return not alive.on or (alive.idle_s or 0) >= nat_s()


def _keepalive_answered(state: SocketState, seconds: float) -> bool:
    """A whole round of probes has passed since the last data and none is unanswered: the peer's host is there."""
    alive, info = state.keepalive, state.tcp
    if not alive.on or info is None or info.probes or alive.idle_s is None:
        return False
    return seconds > alive.idle_s + (alive.interval_s or 0) and info.last_ack_received_ms < seconds * 1000


def _inference(state: SocketState, seconds: float, *, local: bool, idle: bool) -> str:
    if _keepalive_answered(state, seconds):
        return "The peer's host answers keepalive probes, so the path works: its program does not answer."
    if idle:
        return (
            f"Longer than {nat_s()} s without a byte and no keepalive to hold the flow: if a NAT gateway or NLB "
            "is in the path, it has forgotten the connection and the answer cannot arrive any more."
        )
    if state.timer == "keepalive" and state.tcp is not None and state.tcp.probes:
        return "Keepalive probes go unanswered: the path or the peer's host is probably gone."
    if state.family not in ("inet", "inet6", "unix"):
        return f"What is at the other end of a {state.family} socket these tables do not tell."
    if local:
        return "The other end is on this host: look at what that process does."
    if seconds < 60:
        return "So far it may just be slow."
    return "The connection stands as far as this host knows; whether the peer still works on it only the peer can tell."


def _silent_causes(seconds: float, *, local: bool, idle: bool) -> list[str]:
    if local:
        return ["the process at the other end is stuck, stopped or waits itself"]
    causes = ["the server is still working, or stuck, on this request", "the server or its host died without a packet"]
    middlebox = (
        f"if a NAT gateway or NLB is in the path: its idle limit of {nat_s()} s "
        f"({'passed' if seconds >= nat_s() else 'not yet reached'}); other firewalls 60-3600 s"
    )
    return [middlebox, *causes] if idle else [*causes, middlebox]


def _silent_steps(state: SocketState, *, local: bool) -> list[Step]:
    if local:
        return [Step(f"ss -xp | grep {state.inode}" if state.family == "unix" else f"ss -tnp src {state.peer}")]
    return [
        Step(f"ss -tnoi dst {ss_host(state)}"),
        Step(why="the server's log at the time of the request: did it answer?"),
        Step(why="CloudWatch IdleTimeoutCount (NAT gateway), TCP_ELB_Reset_Count (NLB)"),
    ]


def _silent_remedy(state: SocketState, *, local: bool) -> list[str]:
    remedy = ["a read timeout in the client: a batch job should never wait without one"]
    if state.protocol == "tcp" and not local:
        remedy.append(f"SO_KEEPALIVE with TCP_KEEPIDLE {IDLE_S}, TCP_KEEPINTVL {INTERVAL_S}, TCP_KEEPCNT {COUNT}")
        remedy.append(
            f"now, without stopping it: systrace keepalive {state.pid} --fd {state.fd} (if the peer is alive nothing "
            f"happens; if not, the program gets ETIMEDOUT within {IDLE_S + INTERVAL_S * COUNT} s)"
        )
    return remedy


def _other_end(wait: Wait, state: SocketState) -> str:
    ends = wait.snapshot.holders.get(state.peer_inode or 0, ())
    names = [f"{end.command}[{end.pid}]{', which is stopped' if end.stopped else ''}" for end in ends[:3]]
    return f" Other end: {', '.join(names)}." if names else ""
