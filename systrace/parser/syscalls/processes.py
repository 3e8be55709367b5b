"""Processes and signals: fork, clone, exec, exit, wait, kill; and the lines that are no call."""

from __future__ import annotations

import json
import re

from systrace.model import (
    Attached,
    Blocked,
    Cloned,
    Cloning,
    Event,
    Executed,
    Exited,
    Fact,
    Killed,
    Printed,
    Reaped,
    Record,
    Returned,
    Signalled,
)
from systrace.parser.syscalls import note, syscall
from systrace.parser.values import number_of, split_args, string_at, strings

_STATUS = re.compile(rb"WEXITSTATUS\(s\) == (\d{1,9})|WTERMSIG\(s\) == (\w+)")
_SIGINFO_STATUS = re.compile(rb"si_status=(\w{1,40})")
_SIGNAL = re.compile(rb"(SIG[A-Z0-9_]+)")
_OUTER = re.compile(rb" ?/\* (\d{1,10}) in strace's PID NS \*/")  # --pidns-translation, behind a number
_SENDER = re.compile(rb"si_pid=(\d{1,10})(?: /\* (\d{1,10}) in strace's PID NS \*/)?")
_CODE = re.compile(rb"si_code=(\w+)")
_CLONE_THREAD, _CLONE_FILES = 0x10000, 0x400


@syscall("clone", "clone3", "fork", "vfork", "clone2")
def cloned(record: Record) -> Event | None:
    """fork(2), clone(2)."""
    if record.errno is not None and record.outcome == "returned":
        return Cloned(record, 0, False, False)
    args = record.args
    thread, files = b"CLONE_THREAD" in args, b"CLONE_FILES" in args
    raw = re.search(rb"flags=(0x[0-9a-f]+)", args)
    if raw is not None:
        bits = int(raw[1], 16)
        thread, files = bool(bits & _CLONE_THREAD), bool(bits & _CLONE_FILES)
    child = record.retval if record.retval is not None and record.retval > 0 else 0
    outer = _OUTER.match(record.result_text) if child and record.result_text else None
    return (
        Cloned(record, int(outer[1]), thread, files, child)
        if outer is not None
        else Cloned(record, child, thread, files)
    )


@note("cloning")
def cloning(record: Record) -> Event | None:
    """A fork whose result is still to come."""
    return Cloning(record, b"CLONE_THREAD" in record.args, b"CLONE_FILES" in record.args)


_CUT_NAME = re.compile(rb'\["[^"\\]*(?:\\.[^"\\]*)*"\.\.\.')


@syscall("execve", "execveat")
def executed(record: Record) -> Event | None:
    """execve(2)."""
    first = string_at(record.args)
    if first is None:
        return Executed(record, "", ())
    start = record.args.find(b"[", first[2])
    end = record.args.rfind(b"]", start)
    words = strings(record.args[start : end + 1]) if 0 <= start < end else []
    argv = tuple(w.decode("utf-8", "backslashreplace") for w in words[:64])
    path = first[0].decode("utf-8", "backslashreplace")
    if argv and _CUT_NAME.match(record.args, start) and path.startswith(argv[0]):
        argv = (path, *argv[1:])  # -s left less of it than of the path
    return Executed(record, path, argv)


@syscall("exit_group", "exit", "_exit")
def exiting(record: Record) -> Event | None:
    """exit_group(2) ends the process, exit(2) one thread."""
    code = number_of(record.args)
    return Exited(record, code & 0xFF if code is not None else None, None, record.syscall != "exit", False)


@note("exited")
def exited(record: Record) -> Event | None:
    """+++ exited with N +++"""
    return Exited(record, int(record.args), None, False, True)


@note("killed")
def killed(record: Record) -> Event | None:
    """+++ killed by SIG +++"""
    return Exited(record, None, record.args.decode("ascii", "replace"), True, True)


@note("superseded")
def superseded(record: Record) -> Event | None:
    """A thread called exec and took the leader's pid."""
    return Attached(record, int(record.args), gone=True, renames=False)


@note("attached", "detached")
def attached(record: Record) -> Event | None:
    """Process N attached, detached."""
    return Attached(record, record.tid, record.syscall == "detached", record.args == b"renames")


@note("text")
def printed(record: Record) -> Event | None:
    """A line that is no strace output."""
    return Printed(record, record.args)


@note("fact")
def fact(record: Record) -> Event | None:
    """What systrace itself wrote into a recording."""
    try:
        values = json.loads(record.args)
    except ValueError:
        return None
    return Fact(record, values) if isinstance(values, dict) else None


@note("signalled")
def signalled(record: Record) -> Event | None:
    """--- SIGTERM {...} ---, in the forms of every version."""
    signal = _SIGNAL.search(record.args)
    if signal is None or record.args.startswith(b"stopped by"):
        return None
    sender, code = _SENDER.search(record.args), _CODE.search(record.args)
    name = signal[1].decode()
    if name == "SIGCHLD":
        child = _SIGINFO_STATUS.search(record.args)
        if child is not None and sender is not None:
            status = child[1].decode("ascii", "replace")
            number = int(status) if status.isdigit() else None
            return Reaped(record, int(sender[2] or sender[1]), number, None if status.isdigit() else status)
        return None
    number = int(sender[2] or sender[1]) if sender else None
    return Signalled(record, name, number, code[1].decode() if code else "")


@syscall("wait4", "waitpid", "waitid")
def waited_for_child(record: Record) -> Event | None:
    """wait4(2): the child's end as the parent saw it; still waiting, or failed, it is a wait."""
    if record.retval is None or record.retval <= 0 or record.errno is not None:
        who = record.args.partition(b",")[0].decode("ascii", "replace")
        looks = b"WNOHANG" in record.args and record.outcome == "returned"
        return Blocked(record, "child", -1, 0 if looks else None, who)
    status = _STATUS.search(record.args)
    code = int(status[1]) if status is not None and status[1] else None
    signal = status[2].decode() if status is not None and status[2] else None
    outer = _OUTER.match(record.result_text) if record.result_text else None
    return Reaped(record, int(outer[1]) if outer is not None else record.retval, code, signal)


@syscall("kill", "tkill", "tgkill", "rt_sigqueueinfo", "pidfd_send_signal")
def sent_signal(record: Record) -> Event | None:
    """kill(2)."""
    parts = split_args(record.args)
    signal = _SIGNAL.search(record.args)
    who = parts[1] if record.syscall == "tgkill" and len(parts) > 1 else parts[0]
    outer = _OUTER.search(who)
    target = int(outer[1]) if outer is not None else number_of(who)
    if signal is None or target is None or record.errno is not None:
        return None
    return Killed(record, target, signal[1].decode())


@syscall("rt_sigreturn", "sigreturn")
def returned(record: Record) -> Event | None:
    """What the interrupted call returned to the program: sigreturn(2)."""
    return Returned(record)
