"""What is seen only over several findings or without a socket: retries, recoveries, waits that are not the network."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from systrace.calls import LOOPS
from systrace.model import Draft, Process, Span, Step
from systrace.rules.case.index import SECOND, Case
from systrace.rules.case.stalls import awaits_clients, exit_of, torn_apart
from systrace.rules.examples import FAIL, FINE, connects
from systrace.rules.look import looked
from systrace.rules.rule import Harm, rule
from systrace.words import seconds

_REFUSED = "-1 ECONNREFUSED (Connection refused) <0.0001>"
_ONCE_REFUSED = connects(_REFUSED)
_STORM = 5  # attempts; below, a handful of tries is what careful programs do
_STORM_SPACING_NS = SECOND
_RESTS = ("accept", "futex", "sleep", "unknown")  # of a server and its workers; unknown: an event loop without sockets
_HANG_NS = 2 * SECOND  # shorter waits at the end of a log are how any log ends
_UNDONE = "another thread or process has not done its part"
# Kind of wait: what it is in words, and why it lasts.
_WAITS = {
    "lock": ("it waited for a file lock", "another process holds the lock"),
    "sleep": ("it slept", "the program pauses on purpose"),
    "child": ("it waited for a child process", "the child does not end: it was not traced (-f), or waits itself"),
    "stdin": (
        "it waited for input from the keyboard or its standard input",
        "the program asks a question (password, yes/no) and nobody is there to answer",
    ),
    "pipe": ("it waited for a pipe", "the process at the other end of the pipe neither writes nor closes"),
    "futex": ("it waited for a lock or another thread", _UNDONE),
    "message": ("it waited for a semaphore or message queue", _UNDONE),
    "file": ("it waited for a file or device", _UNDONE),
    "accept": ("it waited for a client to connect", _UNDONE),
}


@rule("retry-storm", judges=True, harm=Harm.DELAY, fires="".join(
          f'9 1.{n}0 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.0001>\n'
          + connects(_REFUSED, time=f"1.{n}1") + f"9 1.{n}2 close(3) = 0 <0.0001>\n" for n in range(9)) + FAIL,
      silent=_ONCE_REFUSED + connects("0 <0.0001>", time="3.0") + FINE)  # fmt: skip
def retry_storm(case: Case) -> Iterator[Draft]:
    """Many failing attempts at the same service, one right after the other.

    What it is: five or more attempts at one address with the same failing result, less than a second apart, without
        growing pauses.
    Why it matters: it loads the ailing server, fills logs and port tables, and gives up before the server can recover.
    What proves it: the attempts with their times.
    Not this: attempts with growing pauses; a handful of tries; many connections that all work.
    What to do: exponential back-off with jitter and an upper bound.
    Source: RFC 1122 4.2.3.5 in spirit; AWS builders' library, timeouts and retries with jitter
    """
    by_peer: dict[tuple[str, str, int | None], list[Draft]] = {}
    for finding in case.findings:
        if finding.peer is not None and finding.severity in ("fatal", "error") and finding.socket is not None:
            by_peer.setdefault((finding.cause, finding.peer, finding.pid), []).append(finding)
    for (cause, peer, _), group in by_peer.items():
        times = [f.time_ns for f in group if f.time_ns is not None]
        if len(group) < _STORM or len(times) != len(group):
            continue
        times.sort()
        gaps = [later - earlier for earlier, later in pairwise(times)]
        if sorted(gaps)[len(gaps) // 2] >= _STORM_SPACING_NS:
            continue
        last = group[-1]
        finding = case.finding("retry-storm", case.evidence.sockets.get(last.socket or ""), [
            *group[0].evidence, *last.evidence], case.owner_of(last.pid))  # fmt: skip
        span = times[-1] - times[0]
        finding.variant, finding.peer, finding.severity = cause, peer, "warning"
        finding.confidence, finding.count, finding.duration_ns = "confirmed", sum(f.count for f in group), span
        finding.summary = (
            f"{case.name_of(case.owner_of(last.pid))} tried {peer} {finding.count} times in {seconds(span)}, each time with "
            f"the same result ({cause}) and without back-off."
        )
        finding.causes = ["a retry loop without pause"]
        finding.next_steps = [Step(why="find the loop in the program or its client library's retry settings")]
        finding.remedy = ["exponential back-off with jitter and an upper bound"]
        finding.refuted_by = "growing pauses between the attempts"
        yield finding


@rule("fallback-ok", judges=True, harm=Harm.COPED,
      fires=_ONCE_REFUSED + connects("0 <0.0001>", time="2.0", host="192.0.2.8") + FINE,
      silent=_ONCE_REFUSED + FAIL)  # fmt: skip
def fallback_ok(case: Case) -> Iterator[Draft]:
    """One address failed, another of the same service worked: no harm done.

    What it is: a connect failed or was given up, and the same program reached the same port at another address.
    Why it matters: as a rule it does not; it costs time when the first address fails slowly on every start.
    What proves it: the failed and the successful connect.
    Not this: the same address failing first and working later (recovered-error).
    What to do: nothing; if each start loses a second or more, repair or drop the dead address.
    Source: RFC 8305 (happy eyeballs), RFC 6724
    """
    yield from _benign(case, "fallback-ok", ("fallback",), "another address of the same service worked")


@rule("recovered-error", judges=True, harm=Harm.COPED,
      fires=_ONCE_REFUSED + connects("0 <0.0001>", time="3.0") + FINE,
      silent=_ONCE_REFUSED + FAIL)  # fmt: skip
def recovered_error(case: Case) -> Iterator[Draft]:
    """An error on a socket, and a retry that worked, or a job that did without.

    What it is: a failure on one connection, followed by success with the same service, or by a good end of the program
        with other work done after it; or a child that failed of it, while whoever began it ended with status 0.
    Why it matters: the job is well; the error shows what may fail next time.
    What proves it: the failure and the later success.
    Not this: a failure after which nothing worked any more.
    What to do: nothing now; where a script lets the failure of a child pass unnoticed, `set -e` or a check of its status.
    Source: the log itself
    """
    yield from _benign(case, "recovered-error", ("retry", "survived"), "a later try, or the rest of the job, worked")
    yield from _benign(case, "recovered-error", ("let pass",), "the job let it pass and ended with status 0")


def _benign(case: Case, cause: str, kinds: tuple[str, ...], why: str) -> Iterator[Draft]:
    group = [f for f in case.findings if f.recovered in kinds]
    if not group:
        return
    first = group[0]
    socket = case.evidence.sockets.get(first.socket or "")
    finding = case.finding(cause, socket, first.evidence, case.owner_of(first.pid))
    finding.variant, finding.severity, finding.confidence = first.cause, "info", "confirmed"
    finding.peer, finding.duration_ns = first.peer, first.duration_ns
    finding.count = sum(f.count for f in group)
    finding.summary = f"{first.cause} at {first.peer}, but {why}."
    finding.refuted_by = "the job having failed because of it all the same"
    yield finding


@rule("not-network", judges=True, endless=True, harm=Harm.REST,
      fires="9 1.0 flock(3, LOCK_EX <unfinished ...>\n9 60.0 --- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=1} ---\n"
      "9 60.1 +++ killed by SIGTERM +++",
      silent="9 1.0 nanosleep({tv_sec=3, tv_nsec=0}, NULL) = 0 <3.0>\n" + FINE)  # fmt: skip
def not_network(case: Case) -> Iterator[Draft]:
    """The job hangs, but not on a socket: on a lock, a child, keyboard input, a pipe, a sleep.

    What it is: when the log ends or the job is stopped, its last call waits for something that is no connection. Variants
        say for what: `lock`, `child`, `stdin`, `pipe`, `sleep`, `futex`, `signal`, `disk`, `event` (its own loop),
        `linger` (SO_LINGER), `supervisor` (a seccomp filter's), `deadlock` (a circle, or both ends of one pipe). Of a
        running process (attach) also how it stands: `stopped`, `frozen`, `traced`, `cpu`, `running`, `zombie`, `ended`,
        `kernel`, `hidden`, `other`; and `unread-data`.
    Why it matters: the network is not to blame; look at the holder of the lock, the child, the terminal.
    What proves it: the unfinished call and how long it had lasted.
    Not this: a parent that waits for a child which itself hangs on a socket: then the child's wait is the cause.
    What to do: see the kind: who holds the lock, what the child does, why a cron job reads the keyboard.
    Source: wait4(2), flock(2), futex(2), read(2)
    """
    told = list(looked(case, "not-network"))
    if told:
        yield from told
        return
    leaf = _deepest_wait(case)
    if leaf is None or case.only_failures:  # what succeeded before, a connect for one, may be what it waits for
        return
    process, span = leaf
    rests = _sleeps_on_purpose(case, process, span)
    if rests and any(case.answered(socket) for socket in case.clients):
        return  # between two rounds of its work
    finding = case.finding("not-network", None, span.events, process)
    finding.evidence += exit_of(process)
    over = process.end_ns or case.last_ns
    waited = span.duration_ns
    if waited is None and span.start_ns is not None and over is not None:
        waited = over - span.start_ns
    finding.variant, finding.severity, finding.confidence = span.kind, "fatal", "likely"
    finding.duration_ns, finding.end_ns = waited, over
    who = case.name_of(process)
    words, why = _WAITS.get(span.kind, ("what it waited for is not in the log", _UNDONE))
    if span.detail and span.kind in ("lock", "file", "accept"):
        words += f" ({span.detail})"
    finding.summary = f"{who} hung {seconds(waited)} in {span.limit_source}: {words}. No socket was involved."
    finding.causes = [why]
    finding.next_steps = [_look(span, process)]
    finding.remedy = ["free what it waits for; let the job wait with a limit (flock -w, timeout(1), </dev/null)"]
    if rests:
        left = seconds(span.limit_ns - waited if span.limit_ns is not None and waited is not None else None)
        finding.severity, finding.remedy = "info", []
        finding.summary = (
            f"{who} sleeps on purpose ({span.limit_source}): {seconds(waited)} so far, at most {left} more."
        )
    finding.refuted_by = "the wait ending by itself shortly after"
    yield finding


def _deepest_wait(case: Case) -> tuple[Process, Span] | None:
    """The wait at the bottom of the chain of parents waiting for children, where the job was stuck at its end."""
    if case.job_fate() in ("ok", "failed") or any(f.severity == "fatal" for f in case.findings):
        return None
    stuck = [
        (process, span)
        for process in case.evidence.processes.values()
        if case.fate(process) not in ("ok", "failed") and not case.cut_at_work(process)
        for span in process.spans
        if _still(case, process, span) and _is_stuck(case, process, span)
    ]

    def weight(wait: tuple[Process, Span]) -> tuple[bool, int]:
        return wait[1].kind not in ("child", "futex", "unknown"), _length(case, *wait)

    return max(stuck, key=weight, default=None)


def _is_stuck(case: Case, process: Process, span: Span) -> bool:
    """What is waited for is known and is no socket, no client, and no child that is still seen at work."""
    if span.kind == "signal" or span.limit_source == "restart_syscall":
        return False  # what restart_syscall(2) goes on with the log does not tell: it may wait for a socket
    if span.kind == "unknown" and span.limit_source in LOOPS and "attached" in case.evidence.source.facts:
        return False  # an event loop that was idle when somebody came to look: for what, the log does not tell
    if span.kind in _RESTS and awaits_clients(case, process):
        return False
    return span.kind != "child" or not any(case.fate(c) == "open" and c.traced for c in case.descendants(process))


def _sleeps_on_purpose(case: Case, process: Process, span: Span) -> bool:
    """Attached to: its time is not over, and nobody ended it. It may be a daemon between two rounds."""
    own = span.limit_ns is not None and _length(case, process, span) < span.limit_ns
    attached = "attached" in case.evidence.source.facts
    return attached and span.kind == "sleep" and own and case.fate(process) == "open"


def _length(case: Case, process: Process, span: Span) -> int:
    if span.start_ns is None:
        return 0
    return (span.end_ns or process.end_ns or case.last_ns or span.start_ns) - span.start_ns


def _still(case: Case, process: Process, span: Span) -> bool:
    """The wait had not ended when the process did, or the log."""
    if span.ended_by not in ("", "signal"):
        return False
    if span.ended_by == "" and case.stops_early and process.exit_event is None:
        return False
    if span.start_ns is None:
        torn = case.evidence.health.torn or torn_apart(span.events[-1])  # no clock: any log may end within a short wait
        return (span.ended_by == "" and not torn) or process.signal is not None
    if span.ended_by == "signal" and (process.signal is None or (process.end_ns or 0) - (span.end_ns or 0) > SECOND):
        return False
    return _length(case, process, span) >= _HANG_NS


def _look(span: Span, process: Process) -> Step:
    pid = process.pid or "PID"
    return {
        "lock": Step("cat /proc/locks; fuser -v FILE"),
        "stdin": Step(f"ls -l /proc/{pid}/fd/0", "then run the job with </dev/null"),
        "child": Step(f"pstree -p {pid}; systrace attach CHILD --passive"),
        "pipe": Step(f"ls -l /proc/{pid}/fd; lsof -p {pid} | grep FIFO"),
    }.get(span.kind, Step(f"systrace attach {pid} --passive; cat /proc/{pid}/stack"))
