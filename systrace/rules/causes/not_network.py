"""What is not the network: waits on locks, children, pipes, the keyboard; loops that look for something; local plumbing."""

from __future__ import annotations

from collections.abc import Iterator

from systrace.calls import LOOPS, WRITES
from systrace.model import Draft, Process, Span, Step
from systrace.rules.advice.probes import number, watch
from systrace.rules.case.index import SECOND, Case
from systrace.rules.case.local_waits import descriptors_of, wait_in_words, waited_for
from systrace.rules.case.pipelines import another_says_more
from systrace.rules.case.plumbing import broken_plumbing
from systrace.rules.case.polling import polled
from systrace.rules.case.stalls import at_entry, awaits_clients, beside_accept, exit_of, rests_in_loop, torn_apart
from systrace.rules.examples import FINE
from systrace.rules.look import looked
from systrace.rules.rule import Harm, rule
from systrace.words import seconds

_RESTS = ("accept", "futex", "sleep", "unknown")  # of a server and its workers; unknown: an event loop without sockets
_PASSING = ("futex", "sleep")  # how idle threads and loops pass their time: that it lasts only a clock can show
_FEW = 3  # lines: all that strace saw of a process which it was attached to
_HANG_NS = 2 * SECOND  # shorter waits at the end of a log are how any log ends


@rule("not-network", judges=True, apart=True, endless=True, harm=Harm.REST, ends=("stdio", "helper", "disk-full", "unopened"),
      fires="9 1.0 flock(3, LOCK_EX <unfinished ...>\n9 60.0 --- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=1} ---\n"
      "9 60.1 +++ killed by SIGTERM +++",
      silent="9 1.0 nanosleep({tv_sec=3, tv_nsec=0}, NULL) = 0 <3.0>\n" + FINE)  # fmt: skip
def not_network(case: Case) -> Iterator[Draft]:
    """The job hangs, but not on a socket: on a lock, a child, keyboard input, a pipe, a sleep.

    What it is: when the log ends or the job is stopped, its last call waits for something that is no connection. Variants
        say for what: `lock`, `child`, `stdin`, `pipe`, `sleep`, `futex`, `signal`, `disk`, `file` (open(2), a device),
        `message` (a semaphore or queue), `event` (its own loop), `linger` (SO_LINGER), `supervisor` (a seccomp filter's),
        `deadlock` (a circle, or both ends of one pipe), `polling` (it looks again and again, and sleeps in between). Or it
        failed of local plumbing: `stdio` (nobody reads its output any more), `helper` (at the other end of its pipe or
        socketpair: gone), `disk-full`, `unopened` (a file, as its last words say). Of a running process (attach) also how it
        stands: `stopped`, `frozen`, `traced`, `cpu`, `running`, `zombie`, `ended`, `kernel`, `hidden`, `other`; and
        `unread-data`.
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
    if leaf is None:
        yield from polled(case, "not-network")
        yield from broken_plumbing(case, "not-network")
    if leaf is None or case.only_failures or leaf[1].kind == "unknown":
        return  # what succeeded before, a connect for one, may be what it waits for; or blocked-unknown
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
    kind = "pipe" if span.kind == "stdio" else span.kind  # as a variant, `stdio` is a reader that has gone
    finding.variant, finding.severity, finding.confidence = kind, "fatal", "likely"
    finding.duration_ns, finding.end_ns = waited, over
    who = case.name_of(process)
    settled_before = span.kind == "stdin" and case.attached  # what descriptor 0 is the log does not tell
    sure = "" if settled_before or span.kind in ("child", "accept") else " No socket was involved."
    finding.summary = f"{who} hung {seconds(waited)} in {span.limit_source}: {waited_for(span)}.{sure}"
    finding.causes = [wait_in_words(span)[1]]
    finding.next_steps = [_look(span, process)]
    finding.remedy = ["free what it waits for; let the job wait with a limit (flock -w, timeout(1), </dev/null)"]
    if rests:
        left = (
            f", at most {seconds(span.limit_ns - waited)} more"
            if span.limit_ns is not None and waited is not None
            else ""
        )
        finding.severity, finding.remedy = "info", []
        finding.summary = f"{who} sleeps on purpose ({span.limit_source}): {seconds(waited)} so far{left}."
    finding.refuted_by = "the wait ending by itself shortly after"
    yield finding


@rule("blocked-unknown", judges=True, endless=True,
      fires="9 1.0 read(5,  <unfinished ...>\n8 60.0 +++ exited with 0 +++",
      silent="9 1.0 nanosleep({tv_sec=3, tv_nsec=0}, NULL) = 0 <3.0>\n" + FINE)  # fmt: skip
def blocked_unknown(case: Case) -> Iterator[Draft]:
    """The process is blocked in a call on a descriptor that the log never saw opened: what it is can't be told from the log.

    What it is: strace was attached to a running process, or the log is an excerpt; the last call waits, and its number was
        given out before. Variants: `read`, `write`, `wait` (poll, select, epoll), `restart` (restart_syscall: a wait that
        went on when strace came, of which not even the kind is known).
    Why it matters: a socket, a pipe, a terminal and a lock look alike here, and what to do differs.
    What proves it: the call without a result, and no socket, open, accept or pipe that gave out this number.
    Not this: a descriptor that -y or -yy annotates, or that a look at the process (attach) has named.
    What to do: look at the process: `systrace attach PID --passive` names what it waits for without stopping it.
    Source: strace(1) -p, proc_pid_fd(5)
    """
    leaf = _deepest_wait(case)
    if leaf is None or leaf[1].kind != "unknown" or case.only_failures or list(looked(case, "not-network")):
        return
    process, span = leaf
    finding = case.finding("blocked-unknown", None, span.events, process)
    finding.evidence += exit_of(process)
    over = process.end_ns or case.last_ns
    finding.variant, finding.severity, finding.confidence = _way(span), "fatal", "possible"
    finding.duration_ns = over - span.start_ns if span.start_ns is not None and over is not None else None
    numbers = descriptors_of(span.events[-1])
    lasted = f" for {seconds(finding.duration_ns)}" if finding.duration_ns else ""
    which = (
        f"{span.limit_source} on descriptor{'s' if ',' in numbers else ''} {numbers}" if numbers else span.limit_source
    )
    finding.summary = (
        f"{case.name_of(process)} was blocked in {which}{lasted} when the log ended. What that is was settled before the log "
        "begins: a socket, a pipe, a terminal or a file."
    )
    pid = number(process)
    finding.causes = ["a peer that does not answer, a pipe whose other end is idle, or a lock: the log cannot tell"]
    finding.next_steps = [
        watch(process, "names what it waits for, and stops nothing"),
        Step(f"ls -l /proc/{pid}/fd; ss -tnp | grep pid={pid}"),
    ]
    finding.remedy = ["record from the start (systrace run), or with -yy, which names descriptors"]
    finding.refuted_by = "the call returning shortly after"
    yield finding


def _way(span: Span) -> str:
    if span.limit_source == "restart_syscall":
        return "restart"
    return "wait" if span.limit_source in LOOPS else "write" if span.limit_source in WRITES else "read"


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
    told = (
        bool(case.evidence.looks) or "attached" in case.evidence.source.facts
    )  # a recording of ours, which knows more
    if span.kind == "signal" or (span.limit_source == "restart_syscall" and told):
        return False  # what restart_syscall(2) goes on with the log does not tell: it may wait for a socket
    if span.kind == "unknown" and span.limit_source in LOOPS and told:
        return False  # an event loop that was idle when somebody came to look: for what, the log does not tell
    rests = span.kind in _RESTS or _to_be_woken(span)
    if (rests and awaits_clients(case, process)) or beside_accept(case, span):
        return False
    if another_says_more(case, process, span):
        return False
    if span.kind == "futex" and (_moves_on(case, process, span) or rests_in_loop(case, process)):
        return False
    return span.kind != "child" or not any(case.fate(c) == "open" and c.traced for c in case.descendants(process))


def _to_be_woken(span: Span) -> bool:
    """An eventfd, a timer, a watch on files: whoever wakes it is a thread of the same process, or the kernel."""
    return span.kind == "other" and span.limit_ns is None and b"<anon_inode:" in span.events[-1].record.raw


def _moves_on(case: Case, process: Process, span: Span) -> bool:
    """Another thread of it moved bytes since, and still did when the log ended: this one is a helper that has nothing to do."""
    last, since = case.last_ns, span.start_ns
    moved = [s.last_progress_ns for s in case.evidence.sockets.values() if s.pid == process.pid and s.last_progress_ns]
    return last is not None and since is not None and any(at > since and last - at < SECOND for at in moved)


def _sleeps_on_purpose(case: Case, process: Process, span: Span) -> bool:
    """Attached to: its time is not over, and nobody ended it. It may be a daemon between two rounds."""
    own = span.limit_ns is None or _length(case, process, span) < span.limit_ns  # None: until a moment of another clock
    return case.attached and span.kind == "sleep" and own and case.fate(process) == "open"


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
        last = span.events[-1]  # no clock: any log may end within a short wait
        if span.kind in _PASSING and process.signal is None and case.evidence.health.records > _FEW:
            return False
        torn = torn_apart(last) or (case.evidence.health.torn and not at_entry(last))
        return (span.ended_by == "" and not torn) or process.signal is not None
    if span.ended_by == "signal" and (process.signal is None or (process.end_ns or 0) - (span.end_ns or 0) > SECOND):
        return False
    return _length(case, process, span) >= _HANG_NS


def _look(span: Span, process: Process) -> Step:
    pid = number(process)
    return {
        "lock": Step("cat /proc/locks", "the holder's process id is in the fifth column"),
        "stdin": Step(f"ls -l /proc/{pid}/fd/0", "then run the job with </dev/null"),
        "child": Step(f"pstree -p {pid}; cat /proc/{pid}/stack"),
        "pipe": Step(f"ls -l /proc/{pid}/fd; lsof -p {pid} | grep FIFO"),
    }.get(span.kind, watch(process, "what it waits for"))
