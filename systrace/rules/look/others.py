"""What a wait means that is not on a socket: lock, child, pipe, keyboard, disk, clock."""

from __future__ import annotations

from typing import Any

from systrace import calls
from systrace.look.nouns import Call, Descriptor, End, ProcessState, Thread
from systrace.model import Step
from systrace.rules.look.waits import Judgement, Wait
from systrace.rules.look.wording import who
from systrace.shell import word
from systrace.words import roughly

_NONE = "not-network"
_OWNED = "mutex owned by thread "


def elsewhere(thread: Thread, call: Call) -> bool:
    """Whether the kernel function tells that it is not the socket of the call that is waited for."""
    return "seccomp" in thread.wchan or (call.name == "splice" and "pipe" in thread.wchan)


def watches_nothing(call: Call) -> bool:
    """poll or select of no descriptors for ever: that is how libc makes pause(3) where the kernel has no such call."""
    count = call.args[1] if call.name in calls.POLLS else call.args[0] if call.name in calls.SELECTS else 1
    return count & 0xFFFFFFFF == 0 and call.limit_ns is None


def judge_call(wait: Wait) -> Judgement:
    """Judge a wait whose descriptors hold no socket."""
    call = wait.call
    held = _held(wait)
    if held is not None:
        return held
    if call.name == "flock" or call.detail == "fcntl lock":
        return _file_lock(wait)
    for names, judge in (
        (calls.FUTEXES, _futex),
        (calls.CHILDREN, _child),
        (calls.SEMAPHORES | calls.QUEUES, _message),
    ):
        if call.name in names:
            return judge(wait)
    if call.name in calls.FORKS:  # vfork(2): until the child's execve or exit
        return _plain(wait, "child", 35, f"{wait.subject}: it waits until its new child has started its program")
    if call.name in calls.SIGNALS or watches_nothing(call):
        return _plain(wait, "signal", 14, f"{wait.subject}: it waits for a signal")
    if call.name in calls.SLEEPS or (not call.fds and call.limit_ns is not None):
        return _sleep(wait)
    return _on_descriptor(wait)


def _on_descriptor(wait: Wait) -> Judgement:
    call, descriptor = wait.call, _first(wait)
    if _loops(wait):
        return _events(wait)
    if descriptor is not None and descriptor.kind == "pipe":
        return _pipe(wait, descriptor)
    if descriptor is not None and descriptor.kind == "timerfd" and call.name in calls.READS:
        return _sleep(wait)
    if descriptor is not None and descriptor.kind == "tty":
        return _terminal(wait, descriptor)
    if call.name in calls.DISK | calls.PATHS or wait.thread.state == "D" or _is_file(descriptor):
        return _disk(wait, descriptor)
    if call.name in calls.LOOPS:
        return _events(wait)
    target = f" on {descriptor.target}" if descriptor is not None else f" of {call.detail}" if call.detail else ""
    return _plain(wait, "other", 40 if call.fd is not None else 20, f"{wait.subject}{target}")


def _kinds(wait: Wait) -> set[str]:
    return {d.kind for fd, _ in wait.call.fds if (d := wait.process.descriptor(fd)) is not None}


def _loops(wait: Wait) -> bool:
    """An event loop: among what it waits for are descriptors by which a process is woken for work of its own."""
    return wait.call.name in calls.LOOPS and bool(_kinds(wait) & {"eventfd", "signalfd", "timerfd", "inotify", "pidfd"})


def _events(wait: Wait) -> Judgement:
    what = ", ".join(sorted(_kinds(wait))) or "nothing that is open"
    return _plain(wait, "event", 10, f"{wait.subject}: it waits for events of {what}")


def _held(wait: Wait) -> Judgement | None:
    """Calls that wait for something else than they usually do: close(2) with SO_LINGER, open(2) of a FIFO, any under
    seccomp_unotify(2)."""
    if wait.call.name == "close" and wait.thread.state == "S":
        text = f"{wait.subject}: it lingers until the peer has taken what was written, or SO_LINGER's time is over"
        return _plain(wait, "linger", 60, text, severity="warning", confidence="likely")
    if wait.thread.wchan.startswith("wait_for_partner"):
        text = f"{wait.subject} of the FIFO {wait.call.detail or '?'}: nobody has opened its other end"
        return _endless(wait, "pipe", 55, text)
    if "seccomp" not in wait.thread.wchan:
        return None
    headline = f"{wait.subject}: a seccomp filter has handed this call to its supervisor, which has not decided"
    causes = ["the supervisor (container runtime, sandbox) is stuck, stopped or overloaded"]
    steps = [
        Step(why="look at the container runtime or sandbox that started it"),
        Step(f"cat /proc/{wait.thread.tid}/stack", "as root"),
    ]
    return _endless(wait, "supervisor", 78, headline, causes=causes, next_steps=steps, refuted_by="the call returns")


def _is_file(descriptor: Descriptor | None) -> bool:
    """A file proper: whoever sleeps on one waits for its file system, for nothing else."""
    if descriptor is None or descriptor.kind != "file":
        return False
    return not descriptor.target.startswith(("/dev/", "/proc/", "/sys/"))


def _first(wait: Wait) -> Descriptor | None:
    numbers = [fd for fd, _ in wait.call.fds] or ([wait.call.fd] if wait.call.fd is not None else [])
    found = [d for fd in numbers if (d := wait.process.descriptor(fd)) is not None]
    ranked = sorted(found, key=lambda d: ("pipe", "tty").index(d.kind) if d.kind in ("pipe", "tty") else 2)
    return ranked[0] if ranked else None


def _plain(wait: Wait, variant: str, weight: int, headline: str, **more: Any) -> Judgement:
    fields = {"severity": "info", "confidence": "confirmed", "refuted_by": "the call returns by itself", **more}
    summary = str(fields.pop("summary", f"{headline}."))
    return Judgement(weight, wait.finding(_NONE, variant, summary, **fields), headline)


def _endless(wait: Wait, variant: str, weight: int, headline: str, **more: Any) -> Judgement:
    """A wait that nothing in the program will end."""
    return _plain(wait, variant, weight, headline, severity=wait.severity(endless=True), **more)


def _file_lock(wait: Wait) -> Judgement:
    lock = next((lock for lock in wait.snapshot.locks if lock.waiter == wait.process.pid), None)
    descriptor = wait.process.descriptor(wait.call.fd if wait.call.fd is not None else -1)
    path = descriptor.target if descriptor is not None else "a file"
    holder = lock.holder if lock is not None else 0
    inside = next((p for p in wait.snapshot.processes if p.pid == holder), None)
    name = who(inside) if inside is not None else f"process {holder}" if holder > 0 else "a process unknown to us"
    headline = f"{wait.subject} on fd {wait.call.fd}: the lock on {path} is held by {name}"
    look = f"systrace attach {holder} --passive" if holder > 0 else f"fuser -v {word(path)}"
    advice = {
        "causes": ["the holder is stuck itself, or an earlier run of the same job has not ended"],
        "next_steps": [Step(look), Step("cat /proc/locks")],
        "remedy": ["flock -w SECONDS (or LOCK_NB with a retry) so that a stuck holder is reported"],
    }
    return _endless(wait, "lock", 64, headline, refuted_by="the lock is granted", **advice)


def _message(wait: Wait) -> Judgement:
    """A semaphore or a queue of messages; a server's workers may wait at one for their turn, or for work."""
    call = wait.call
    end = f", limit {call.limit_source} ends it {wait.ends}" if wait.ends else ""
    if call.name in calls.SEMAPHORES:
        headline, tool = f"{wait.subject}: {call.detail} is not free{end}", "ipcs -s -i"
    else:
        full = call.name == "msgsnd" or call.name.startswith("mq_timedsend")
        descriptor = wait.process.descriptor(call.fd) if call.fd is not None else None
        name = call.detail or (f"queue {descriptor.target}" if descriptor is not None else "a queue")
        headline, tool = f"{wait.subject}: {name} is {'full' if full else 'empty'}{end}", "ipcs -q -i"
    if any(state.state == "listen" for state in wait.snapshot.sockets):
        return _plain(wait, "message", 12, headline)
    steps = [Step(f"{tool} {call.args[0] & 0xFFFFFFFF}", "who used it last")] if not call.name.startswith("mq_") else []
    causes = ["the process that has to release or fill it is stuck, or ended without doing so (SEM_UNDO releases)"]
    severity = wait.severity(endless=wait.deadline_s is None)
    return _plain(wait, "message", 57, headline, severity=severity, causes=causes, next_steps=steps)


def _mutex_circle(wait: Wait) -> list[int]:
    """The threads of a circle of mutexes that leads back to this one, itself first; empty when there is none."""
    owners = {t.tid: t.call.detail for t in wait.process.threads if t.call is not None and t.call.limit_ns is None}
    circle = [wait.thread.tid]
    while len(circle) <= len(owners):
        _, found, owner = owners.get(circle[-1], "").partition(_OWNED)
        if not found:
            return []
        if int(owner) == wait.thread.tid:
            return circle
        circle.append(int(owner))
    return []


def _futex(wait: Wait) -> Judgement:
    detail = wait.call.detail
    circle = _mutex_circle(wait)
    if circle:
        chain = " -> ".join(map(str, [*circle, circle[0]])) if len(circle) > 1 else "itself"
        text = f"{wait.subject}: the mutex it waits for is held in a circle ({chain})"
        where = f"gdb -p {wait.thread.tid}, thread apply all bt shows where"
        return _deadlock(wait, text, f"take the locks in one order everywhere; {where}")
    known = detail.startswith(("mutex", "end of"))
    what = f"the {detail}" if known else "a lock, condition or another thread of the process"
    ends = f", at most {roughly(wait.deadline_s)} more" if wait.deadline_s is not None else ""
    headline = f"{wait.subject}: it waits for {what}{ends}"
    weight, severity = (45, "warning") if detail.startswith(_OWNED) else (11, "info")
    steps = [Step(why="the other threads' waits; py-spy dump, jstack or gdb -p show the source line")]
    sure = {"severity": severity, "confidence": "likely", "refuted_by": "the thread runs again"}
    return _plain(wait, "futex", weight, headline, next_steps=steps, **sure)


def _child(wait: Wait) -> Judgement:
    pid = int(wait.call.detail.removeprefix("child ")) if wait.call.detail.startswith("child ") else 0
    mine = [p for p in wait.snapshot.processes if p.ppid == wait.process.pid]
    children = [p for p in mine if pid in (0, p.number_in(wait.process))]
    names = ", ".join(who(child) for child in children[:3])
    which = names or (f"child {pid}" if pid else "any child, and has none in sight")
    headline = f"{wait.subject}: it waits for {which} to end"
    ours = pid and len(wait.process.ns_pids) < 2  # else the number is one of the process's own PID namespace
    look = f"systrace attach {pid} --passive" if ours else f"ps --ppid {wait.process.pid}"
    steps = [] if children else [Step(look)]
    return _plain(wait, "child", 15 if children else 50, headline, next_steps=steps)


def _sleep(wait: Wait) -> Judgement:
    most = "at most " if wait.call.resumed else ""
    left = f", {most}{roughly(wait.deadline_s)} left" if wait.deadline_s is not None else ""
    headline = f"{wait.subject}: it sleeps on purpose{left}"
    return _plain(wait, "sleep", 25, headline, refuted_by="it does something else when the time is over")


def _pipe(wait: Wait, descriptor: Descriptor) -> Judgement:
    reading = next((direction for fd, direction in wait.call.fds if fd == descriptor.fd), "r") != "w"
    ends = wait.snapshot.holders.get(descriptor.inode or 0, ())
    others = [end for end in ends if (end.writable if reading else end.readable)]
    outside = [end for end in others if end.pid != wait.process.pid]
    fifo = f" {descriptor.target}" if descriptor.target.startswith("/") else ""
    doing = f"{wait.subject} on fd {descriptor.fd}, a pipe{fifo}"
    stuck = _waiting_for_us(wait, outside)
    if stuck is not None:
        verb = "write" if reading else "read"
        text = f"{doing}: {who(stuck)} would have to {verb}, but it waits for this very process to end"
        return _deadlock(wait, text, "read the pipe before (or while) waiting for the child: subprocess.communicate()")
    if reading and others and not outside:
        return _own_pipe(wait, doing)
    return _pipe_of_others(wait, f"{doing}: {'no data yet from' if reading else 'full, not read by'}", outside)


def _own_pipe(wait: Wait, doing: str) -> Judgement:
    """It reads from a pipe that nobody else can write to."""
    if len(wait.process.threads) == 1 and wait.call.name in calls.READS:  # no other thread, no loop that signals wake
        text = f"{doing}: this process holds the only write end itself, so no data and no end of file will ever come"
        return _deadlock(wait, text, "close the unused write end after fork")
    return _plain(wait, "event", 10, f"{doing} of its own: it waits until another thread or a signal handler wakes it")


def _pipe_of_others(wait: Wait, doing: str, outside: list[End]) -> Judgement:
    names = ", ".join(f"{end.command}[{end.pid}]{' (stopped)' if end.stopped else ''}" for end in outside[:3])
    headline = f"{doing} {names or 'anybody in sight'}"
    if any(end.pid == p.pid for end in outside for p in wait.snapshot.processes):  # that one's wait says more
        return _plain(wait, "pipe", 20, headline, refuted_by="data arrive")
    severity = wait.severity(endless=wait.deadline_s is None)
    steps = [Step(f"systrace attach {outside[0].pid} --passive")] if outside else []
    return _plain(wait, "pipe", 55, headline, severity=severity, next_steps=steps, refuted_by="data arrive")


def _waiting_for_us(wait: Wait, ends: list[End]) -> ProcessState | None:
    """A process at the other end that waits for this process to exit: its parent, or one above that waits for the parent."""
    below = wait.process
    known = {process.pid: process for process in wait.snapshot.processes}
    while (parent := known.pop(below.ppid, None)) is not None and _waits_for(parent, below):
        if any(end.pid == parent.pid for end in ends):
            return parent
        below = parent
    return None


def _waits_for(parent: ProcessState, child: ProcessState) -> bool:
    """The only thread of a process waits for this child, or for any."""
    wanted = (f"child {child.number_in(parent)}", "any child")
    blocked = [t.call for t in parent.threads if t.call is not None and t.call.name in calls.CHILDREN]
    return len(parent.threads) == 1 and any(call.detail in wanted for call in blocked)


def _deadlock(wait: Wait, text: str, remedy: str) -> Judgement:
    sure = {"severity": "fatal", "confidence": "likely", "refuted_by": "another thread or process takes the other end"}
    return _plain(wait, "deadlock", 92, f"{text}: deadlock", remedy=[remedy], **sure)


def _terminal(wait: Wait, descriptor: Descriptor) -> Judgement:
    headline = f"{wait.subject} on fd {descriptor.fd}, {descriptor.target}: it waits for keyboard input"
    fields = {
        "summary": f"{headline} (a password or confirmation prompt?).",
        "severity": wait.severity(endless=wait.deadline_s is None),
        "refuted_by": "it goes on without input",
    }
    remedy = ["give the answer as an option, or run with standard input from /dev/null so that it fails at once"]
    return _plain(wait, "stdin", 65, headline, remedy=remedy, **fields)


def _disk(wait: Wait, descriptor: Descriptor | None) -> Judgement:
    what = descriptor.target if descriptor is not None else wait.call.detail or "a file system or device"
    headline = f"{wait.subject}: it waits for {what} (disk, NFS or another device), state {wait.thread.state}"
    causes = ["an NFS or EBS volume that does not answer, a full I/O queue"]
    where = f"findmnt -T {word(descriptor.target)}; " if descriptor is not None else ""
    steps = [Step(f"dmesg | tail; iostat -x 1 3; {where}cat /proc/{wait.thread.tid}/stack", "as root")]
    return _endless(wait, "disk", 62, headline, causes=causes, next_steps=steps, refuted_by="the call returns")
