"""Connections that stood, and a wait that the program, or somebody, put an end to (verdicts 4.4)."""

from __future__ import annotations

from collections.abc import Iterator

from systrace.calls import LOOPS
from systrace.model import Draft, Step
from systrace.rules.advice.clients import client_note
from systrace.rules.advice.probes import ask_again, knock, last_request
from systrace.rules.advice.remedies import advise_local, lost_on_path, on_this_host, timeout_remedies
from systrace.rules.case.elsewhere import answer_lost, blames_server
from systrace.rules.case.index import SECOND, Case, where
from systrace.rules.case.kernel_word import heed, loss_on, word_on
from systrace.rules.case.sealed import is_sealed
from systrace.rules.case.stalls import Stall
from systrace.rules.case.unfinished import (
    died_of_limit,
    gave_up_on_stream,
    given_up_by,
    is_slow_transfer,
    last_moment,
    path_died,
)
from systrace.rules.case.waits import base, how_it_ended, stalls, what
from systrace.rules.examples import OPEN, REQUEST, exits, replies
from systrace.rules.limits import clears
from systrace.rules.look import looked
from systrace.rules.rule import rule
from systrace.words import seconds

_LOSSY = 0.01  # of the segments: TCP slows down to a crawl with such a share (RFC 5348 3.1)


@rule(
    "read-timeout",
    on_path=True,
    no_answer=True,
    fires=REQUEST + "9 1.2 poll([{fd=3, events=POLLIN}], 1, 5000) = 0 (Timeout) <5.005>\n9 6.3 close(3) = 0 <0.0001>\n"
    "9 6.4 +++ exited with 1 +++",
    silent=REQUEST
    + "9 1.2 poll([{fd=3, events=POLLIN}], 1, 5000) = 1 ([{fd=3, revents=POLLIN}]) <1.005>\n"
    + replies("2.2")
    + exits("6.4"),
)
def read_timeout(case: Case) -> Iterator[Draft]:
    """The connection stood, the request was out, and the answer did not come before the program's own limit.

    What it is: a wait (poll, select, epoll, SO_RCVTIMEO, SIGALRM; slices are summed) ended by the limit that the program
        had set. Variants: `no-answer`, `mid-answer` (it had begun), `greeting` (the server never said its first word).
        Of a running process (attach), `pending` (its own limit has not come yet) and `timer` (a timerfd will wake it).
    Why it matters: the network reported no error; the limit is the program's, the slowness is the other side's or the
        path's.
    What proves it: the wait's result `= 0 (Timeout)`, EAGAIN after the limit on a blocking socket, or SIGALRM in the
        wait; no byte since. Within TLS: no record but session tickets (two of one size, at once); else it is likely.
    Not this: poll ticks after which the data came; a keep-alive connection that idles without an open request.
    What to do: find out what the server did in that time; raise this one limit, by its name, only where the answer may
        rightly take that long.
    Source: poll(2), socket(7) SO_RCVTIMEO
    """
    yield from looked(case, "read-timeout")
    for stall in stalls(case, "r"):
        guessed = stall.phase == "idle" and (gave_up_on_stream(case, stall) or died_of_limit(case, stall))
        if guessed:
            stall.phase = "middle"
        if stall.phase == "idle" or is_slow_transfer(case, stall.socket):
            continue
        by, word = given_up_by(case, stall), word_on(stall)
        if not by or path_died(case, stall, word) or answer_lost(case, stall):
            continue
        finding = base(case, "read-timeout", stall)
        limit = stall.limit_ns or stall.waited_ns
        how = note = ""
        if by == "itself":
            finding.confidence = "likely" if stall.seen else "possible"
        else:
            finding.confidence, how = "confirmed", f", as set by the program ({stall.limit_source})"
        if guessed and is_sealed(stall.socket):
            finding.confidence = "likely"
        if by == "limit":
            note = client_note(case, stall.process, stall.socket, limit, "read")
        finding.summary = (
            f"{case.name_of(stall.process)} waited {seconds(stall.waited_ns)} for {what(stall)} from "
            f"{case.label(stall.socket)}; then it gave up{how}. The network reported no error.{f' {note}' if note else ''}"
        )
        lost = "the server or something on the path lost the connection without a word"
        if stall.socket.type == "dgram":
            lost = "the request or its answer was lost or filtered on the way: UDP repeats nothing by itself"
        clear, server = clears(case, stall, word), blames_server(case, stall)
        told = server or (word if clear else None)
        unsure = ["the server is slow for this request, or stuck", lost_on_path(stall.socket, lost)]
        finding.causes = [told.its_program] if told is not None else unsure
        finding.causes.append(f"the limit of {seconds(limit)} is too short for what was asked")
        finding.next_steps = [
            Step(why="the server's log from that second on: did the request arrive, was it answered, when?"),
            *ask_again(stall.socket, last_request(stall.socket), clock="first byte after %{time_starttransfer} s"),
        ]
        if not case.connected(stall.socket):
            datagrams = stall.socket.type == "dgram"
            finding.next_steps.append(knock(stall.socket.peer, datagrams=datagrams, port="0"))
        finding.remedy = timeout_remedies(case, stall.process, stall.socket)
        finding.refuted_by = "bytes of the answer in a packet capture of that time"
        heed(finding, word, proves=clear)
        yield finding


@rule(
    "slow-transfer",
    fires=REQUEST
    + '9 1.3 recvfrom(3, "HTTP/1.1 200 OK\\r\\nContent-Length: 9\\r\\n\\r\\na", 99, 0, NULL, NULL) = 39 <0.01>\n'
    '9 2.3 recvfrom(3, "b", 99, 0, NULL, NULL) = 1 <0.01>\n9 3.3 recvfrom(3, "c", 99, 0, NULL, NULL) = 1 <0.01>\n'
    "9 4.0 close(3) = 0 <0.0001>\n9 4.0 +++ exited with 28 +++",
    silent=REQUEST + replies("2.2") + exits("4.0"),
)
def slow_transfer(case: Case) -> Iterator[Draft]:
    """The answer was coming, but too slowly for the program's limit on the whole transfer.

    What it is: bytes kept arriving in small portions until the program closed the connection before the declared end.
    Why it matters: the path works and the server is alive: it is throughput (or a trickling server) that is short.
    What proves it: several receives spread over the time, the answer incomplete, no end or error from the peer.
    Not this: an answer that stops (read-timeout, mid-answer), or that the peer cut short (truncated-response).
    What to do: measure the rate, find the throttle; raise the limit on the whole transfer, or page the request.
    Source: curl(1) --max-time
    """
    for socket in case.clients:
        process = case.process(socket)
        if not is_slow_transfer(case, socket) or case.fate(process) not in ("failed", "killed"):
            continue
        turn = socket.turn
        if turn is None or turn.first_answer_ns is None or turn.last_answer_ns is None:
            continue
        events = [*turn.events, *socket.timeline[-3:]]
        finding = case.finding("slow-transfer", socket, events, process)
        spread = turn.last_answer_ns - turn.first_answer_ns
        finding.severity, finding.duration_ns, finding.end_ns = "fatal", spread, last_moment(case, socket)
        rate = turn.answer_bytes * SECOND / max(spread, 1)
        finding.summary = (
            f"{case.name_of(process)} received {turn.answer_bytes} bytes from {case.label(socket)} in {seconds(spread)} "
            f"({rate:.0f} bytes/s) and then gave up before the answer was complete."
        )
        finding.causes = ["the server produces or sends slowly", "the path is throttled or loses packets"]
        loss = loss_on(socket)
        if loss is not None:
            late, all_, reading = loss
            finding.summary += f" The kernel: {late or 'none'} of {all_} segments came out of order, as after a loss."
            finding.evidence = [*finding.evidence, reading]
            if late >= all_ * _LOSSY:
                finding.causes = ["the path loses packets"]
        finding.next_steps = [
            *ask_again(socket, last_request(socket), clock="%{speed_download} bytes/s, %{time_total} s"),
            Step(f"ss -tnoi dst {where(socket.peer)[0]}", "while it transfers: retrans, cwnd"),
        ]
        finding.remedy = ["raise the limit on the whole transfer (curl --max-time), or fetch in smaller parts"]
        finding.refuted_by = "an end or reset from the peer before the program closed"
        yield finding


def _may_still_connect(stall: Stall) -> bool:
    """It waits until it may write, on a connection that was begun before the log and moved no byte: that is how the end of a
    connect is awaited, too.
    """
    socket, span = stall.socket, stall.span
    unknown = socket.inherited and not (socket.attempts or socket.sent.calls or socket.received.calls)
    return unknown and span is not None and span.events[-1].record.syscall in LOOPS


_ENDS_ITSELF = {"limit": "limit", "close": "itself", "exit": "itself"}  # however short it was: no hang


@rule(
    "send-blocked",
    endless=True,
    hung=("hung",),
    fires=OPEN + '9 1.1 sendto(3, "xxxx", 4, 0, NULL, 0) = 4 <0.0001>\n'
    "9 1.2 poll([{fd=3, events=POLLOUT}], 1, 5000) = 0 (Timeout) <5.005>\n9 6.4 +++ exited with 1 +++",
    silent=REQUEST + replies("2.2") + exits("4.0"),
)
def send_blocked(case: Case) -> Iterator[Draft]:
    """The program wants to send, and the peer takes nothing: its window is full.

    What it is: a blocking send, or a wait for POLLOUT, that lasts; ended by the program's limit, by force, or not at all.
        Of a running process (attach), the kernel's timer: `persist` (the peer's window is closed), `on` (repeated), or
        `buffer` (no timer runs).
    Why it matters: the peer's program does not read (stuck, or itself waiting for us to read: a deadlock), or the path
        lost the packets.
    What proves it: the wait is for writing on a connection that stood and took bytes before.
    Not this: a connect that is still under way (connect-timeout).
    What to do: look at the peer's process; ss -tno shows a persist timer (peer not reading) or retransmissions (path).
    Source: tcp(7), send(2), RFC 9293 3.8.6.1
    """
    yield from looked(case, "send-blocked")
    for stall in stalls(case, "w"):
        if stall.phase == "greeting" and not stall.socket.sent.calls and stall.ended == "close":
            continue
        if _may_still_connect(stall):
            continue
        if stall.waited_ns is not None and stall.waited_ns < SECOND // 2 and stall.ended != "limit" and not stall.cut:
            continue  # a call that was under way at attach and at detach has lasted longer than the log
        word = word_on(stall)
        if (stall.ended in ("close", "exit") and case.fate(stall.process) == "ok") or path_died(case, stall, word):
            continue
        finding = base(case, "send-blocked", stall)
        by = given_up_by(case, stall) or _ENDS_ITSELF.get(stall.ended, "")
        finding.variant, finding.confidence = "limit" if by else "hung", "likely"
        if by == "itself":
            ended = "; then it gave up."
        elif by:
            finding.confidence = "confirmed"
            limit = f" of {seconds(stall.limit_ns)}" if stall.limit_ns else ""
            ended = f"; its own limit{limit} ended the wait ({stall.limit_source})."
        else:
            ended = f" ({how_it_ended(stall)})."
        finding.summary = (
            f"{case.name_of(stall.process)} could not send to {case.label(stall.socket)} for "
            f"{seconds(None if stall.cut else stall.waited_ns)} after {stall.socket.sent.original_len} bytes: the peer took "
            f"no more{ended}"
        )
        host, _ = where(stall.socket.peer)
        finding.causes = [
            "the peer's program does not read (stuck, overloaded)",
            "both sides write first and nobody reads: a deadlock",
        ]
        if not on_this_host(stall.socket) and (word is None or word.kind != "window"):
            lost = "packets are lost on the path (then ss shows retransmissions, not a persist timer)"
            finding.causes.append(lost)
        finding.next_steps = [
            Step(f"ss -tnoi dst {host}", "Send-Q > 0; timer:(persist) = peer not reading, timer:(on) = path")
        ]
        finding.remedy = ["repair the reader; send in smaller parts; set TCP_USER_TIMEOUT to notice a dead path"]
        finding.refuted_by = "an open window of the peer in a packet capture of that time"
        if word is not None and word.kind == "window":
            heed(finding, word)
        advise_local(case, finding, stall.socket)
        yield finding
