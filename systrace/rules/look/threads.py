"""What it means that a thread is in no call that can be read: it runs, is dead, is held by somebody, or is hidden."""

from __future__ import annotations

from typing import Any

from systrace.look.nouns import ProcessState, Thread
from systrace.model import Draft, Step
from systrace.rules.look.waits import Judgement
from systrace.rules.look.wording import thread_line, who

_BUSY = 0.5  # of a CPU: below this a thread seen running was just caught awake
# Where a task sleeps, for kernels or permissions that hide the call; names drift, so prefixes. Seen on Linux 6.18.
_KERNEL_FUNCTIONS = (
    ("wait_woken", "TCP or a terminal"),
    ("poll_schedule_timeout", "poll or select"),
    ("do_epoll_wait", "epoll"),
    ("ep_poll", "epoll"),
    ("inet_csk_accept", "a client to connect"),
    ("__skb_wait_for_more_packets", "a datagram"),
    ("unix_stream", "a UNIX socket"),
    ("futex", "a lock or another thread"),
    ("do_wait", "a child"),
    ("locks_lock", "a file lock"),
    ("fcntl_setlk", "a file lock"),
    ("anon_pipe", "a pipe"),
    ("pipe_", "a pipe"),
    ("wait_for_partner", "the other end of a FIFO"),
    ("hrtimer_nanosleep", "sleep"),
    ("rpc_wait", "NFS"),
    ("io_schedule", "a disk"),
    ("folio_wait", "a disk"),
)


def judge_thread(process: ProcessState, thread: Thread, *, root: bool) -> Judgement:
    """Judge a thread that is in no call we can read: running, stopped, dead, or hidden. `root`: we were asked about
    this very process."""
    name = who(process, thread)
    if process.kernel_thread:
        return _bare(process, thread, 5, "kernel", f"{name} is a kernel thread: it makes no system calls")
    if thread.state in "ZX":
        return _dead(process, thread, root=root)
    if process.frozen or thread.state in "Tt":
        return _stopped(process, thread)
    if not thread.readable:
        where = f" in {thread.wchan}{_meaning(thread.wchan)}" if thread.wchan else ""
        return _bare(process, thread, 4, "hidden", f"{name} sleeps{where}: what it waits for may not be read")
    if thread.state == "R":
        return _running(process, thread)
    where = f" (kernel function {thread.wchan}{_meaning(thread.wchan)})" if thread.wchan else ""
    text = f"{name} is blocked outside a system call{where}, state {thread.state}"
    if thread.state == "D":
        return _bare(process, thread, 61, "disk", text)
    return _bare(process, thread, 8, "other", text)


def _dead(process: ProcessState, thread: Thread, *, root: bool) -> Judgement:
    name = who(process, thread)
    if not process.ended:
        return _bare(process, thread, 2, "ended", f"the first thread of {name} has ended, the process goes on")
    text = f"{name} has ended and waits for its parent {process.ppid} to collect its status"
    if root:
        return _bare(
            process, thread, 30, "zombie", text, next_steps=[Step(f"systrace attach {process.ppid} --passive")]
        )
    return _bare(process, thread, 6, "zombie", text)


def _stopped(process: ProcessState, thread: Thread) -> Judgement:
    """Somebody holds it: its control group, a signal, a tracer."""
    name, resume = who(process, thread), f"kill -CONT {process.pid}"
    if process.frozen:
        text = f"{name} is frozen with its control group and does nothing until that is thawed"
        steps = [Step(f"cat /proc/{process.pid}/cgroup"), Step("docker unpause CONTAINER, or systemctl thaw UNIT")]
        return _bare(process, thread, 96, "frozen", text, severity="fatal", next_steps=steps)
    if thread.state == "T":
        text = f"{name} is stopped by a signal (SIGSTOP, SIGTSTP or SIGTTIN) and does nothing until SIGCONT"
        return _bare(process, thread, 95, "stopped", text, severity="fatal", next_steps=[Step(resume)])
    steps = [Step(f"ps -fp {process.tracer}")] if process.tracer else []
    steps.append(Step(f"if a signal had stopped it: {resume}"))
    return _bare(
        process,
        thread,
        94,
        "traced",
        f"{name} is held by its tracer, {process.traced_by}",
        severity="error",
        next_steps=steps,
    )


def _running(process: ProcessState, thread: Thread) -> Judgement:
    name, share = who(process, thread), thread.cpu_share or 0.0
    if share < _BUSY:
        return _bare(process, thread, 9, "running", f"{name} is running: it was awake when we looked")
    text = f"{name} is busy: it used {share * 100:.0f} % of a CPU while we looked, in its own code, not in a wait"
    steps = [
        Step(why="py-spy dump, jstack or gdb -p: the line of the program"),
        Step(f"timeout 5 strace -c -f -p {process.pid}", "which calls it makes"),
    ]
    return _bare(process, thread, 58, "cpu", text, severity="warning", next_steps=steps)


def _meaning(wchan: str) -> str:
    return next((f": {words}" for prefix, words in _KERNEL_FUNCTIONS if wchan.startswith(prefix)), "")


def _bare(process: ProcessState, thread: Thread, weight: int, variant: str, headline: str, **more: Any) -> Judgement:
    fields = {"severity": "info", "confidence": "confirmed", "pid": process.pid, "command": process.command, **more}
    finding = Draft("not-network", variant, summary=f"{headline}.", **fields)
    finding.duration_ns, finding.lines = thread.blocked_ns, [thread_line(thread)]
    return Judgement(weight, finding, headline)
