"""/proc: threads, what they are blocked in, descriptors, the process tree, locks. Reading it disturbs nobody.

Every reader returns None (or an empty value) when the process has gone or access is refused: processes die while we
look. Formats: proc(5), Documentation/filesystems/proc.rst.
"""

# ruff: noqa: PTH115, PTH208  (a thousand descriptors: pathlib objects would cost more than the system calls)

from __future__ import annotations

import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from systrace.dataclass import dataclass
from systrace.words import clean

if TYPE_CHECKING:
    from systrace.look.nouns import Descriptor, FileLock

_KTHREAD = 0x00200000  # PF_KTHREAD, include/linux/sched.h
_ARGV_LIMIT = 128
_NARROW = {"x86_64": "i386", "aarch64": "arm"}
_LAST_AUXV_KEY = 0xFFFF  # a 32-bit vector read as 64-bit words has a value in the upper half
_ANON = {"eventpoll": "epoll", "eventfd": "eventfd", "timerfd": "timerfd", "signalfd": "signalfd", "pidfd": "pidfd"}
_TERMINALS = ("/dev/pts/", "/dev/tty", "/dev/console")
_INODE = re.compile(rb"^ino:\s+(\d+)", re.MULTILINE)
_NSPID = re.compile(rb"^NSpid:\s+([\d\s]+?)$", re.MULTILINE)
_UNIFIED = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")  # where version 2 is, alone or beside version 1
_LINK = re.compile(r"(socket|pipe):\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Stat:
    """The fields of /proc/PID/stat that matter here."""

    name: str
    state: str
    ppid: int
    flags: int
    start_ticks: int
    processor: int

    @property
    def kernel_thread(self) -> bool:
        """It has no program and no descriptors, and nobody may trace it."""
        return bool(self.flags & _KTHREAD)


def read(path: str, limit: int = 1 << 20) -> bytes | None:
    """The bytes of a file of /proc, None when it is gone or refused. A FIFO put in its place blocks nobody."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return None
    try:
        parts = []
        while limit > 0 and (part := os.read(fd, min(limit, 1 << 16))):
            parts.append(part)
            limit -= len(part)
        return b"".join(parts)
    except OSError:
        return None
    finally:
        os.close(fd)


def parse_stat(raw: bytes | None) -> Stat | None:
    """/proc/PID/stat; the name may hold blanks and parentheses, so it ends at the last ")"."""
    if raw is None:
        return None
    opening, closing = raw.find(b"("), raw.rfind(b")")
    fields = raw[closing + 1 :].split()
    if opening < 0 or closing < opening or len(fields) < 37:
        return None
    try:
        return Stat(
            clean(raw[opening + 1 : closing]),
            fields[0].decode("ascii", "replace"),
            int(fields[1]),
            int(fields[6]),
            int(fields[19]),
            int(fields[36]),
        )
    except ValueError:
        return None


def stat_of(pid: int, tid: int | None = None) -> Stat | None:
    """`Stat` of a process, or of one of its threads."""
    return parse_stat(read(f"/proc/{pid}/stat" if tid is None else f"/proc/{pid}/task/{tid}/stat"))


def status_of(pid: int, tid: int | None = None) -> dict[str, str]:
    """/proc/PID/status as a dictionary of its lines, or a thread's; empty when it is gone."""
    lines = (read(f"/proc/{pid}/status" if tid is None else f"/proc/{pid}/task/{tid}/status") or b"").split(b"\n")
    return {
        clean(key): clean(value.strip().replace(b"\t", b" "))
        for key, _, value in (line.partition(b":") for line in lines)
        if key
    }


def handled_by(pid: int, tid: int) -> int:
    """The signals whose handlers the thread may run now: caught, and not blocked in this very call."""
    status = status_of(pid, tid)
    try:
        return int(status.get("SigCgt", "0"), 16) & ~int(status.get("SigBlk", "0"), 16)
    except ValueError:
        return 0


def program_of(pid: int) -> str:
    """The name of the file that it executes, whatever it calls itself; "" when it is gone or refused."""
    try:
        return clean(os.readlink(f"/proc/{pid}/exe").rpartition("/")[2])
    except OSError:
        return ""


def argv_of(pid: int) -> tuple[str, ...]:
    """The command line, empty for kernel threads and zombies."""
    raw = (read(f"/proc/{pid}/cmdline", 1 << 16) or b"").rstrip(b"\0")
    return tuple(clean(word) for word in raw.split(b"\0")[:_ARGV_LIMIT]) if raw else ()


def machine_of(pid: int) -> str:
    """Whose call numbers the process uses: by the width of its auxiliary vector, else the kernel's own.

    Its program file would tell too, but may lie on a file system that does not answer.
    """
    host = os.uname().machine
    raw = read(f"/proc/{pid}/auxv", 16) or b""
    narrow = len(raw) == 16 and int.from_bytes(raw[:8], sys.byteorder) > _LAST_AUXV_KEY
    return _NARROW.get(host, host) if narrow else host


def task_ids(pid: int) -> list[int]:
    """Thread ids, the leader first; empty when the process is gone."""
    try:
        return sorted(int(name) for name in os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return []


def wchan_of(pid: int, tid: int) -> str:
    """The kernel function the thread sleeps in; "" when it runs or the name is hidden."""
    name = clean(read(f"/proc/{pid}/task/{tid}/wchan") or b"", 64)
    return "" if name == "0" else name


def syscall_of(pid: int, tid: int) -> tuple[int, tuple[int, ...]] | str:
    """(number, six arguments), or "running", "outside" (blocked, but in no call), "refused", "gone"."""
    try:
        raw = Path(f"/proc/{pid}/task/{tid}/syscall").read_bytes()
    except PermissionError:
        return "refused"
    except OSError:
        return "gone"
    words = raw.split()
    if not words or words[0] == b"running":
        return "running" if words else "gone"
    try:
        number = int(words[0])
        return (number, tuple(int(word, 16) for word in words[1:7])) if number >= 0 else "outside"
    except ValueError:
        return "gone"


def descriptors_of(pid: int) -> tuple[Descriptor, ...] | None:
    """All open descriptors by number, None when access is refused or the process is gone."""
    folder = f"/proc/{pid}/fd"
    try:
        numbers = sorted(int(name) for name in os.listdir(folder))
    except OSError:
        return None
    found = []
    for number in numbers:
        path = f"{folder}/{number}"
        try:
            found.append(_descriptor(number, os.readlink(path), os.lstat(path).st_mode))
        except OSError:
            continue  # closed meanwhile
    return tuple(found)


def _descriptor(number: int, target: str, mode: int) -> Descriptor:
    """By its link alone: a stat would ask the file system, and hang with the process when that is dead (NFS)."""
    from systrace.look.nouns import Descriptor

    readable, writable = bool(mode & 0o400), bool(mode & 0o200)
    link = _LINK.fullmatch(target)
    if link is not None:
        return Descriptor(number, link[1], target, int(link[2]), readable, writable)
    if target.startswith("anon_inode:"):
        word = target.removeprefix("anon_inode:").strip("[]")
        return Descriptor(number, _ANON.get(word, word or "other"), clean(target), None, readable, writable)
    kind = "tty" if target.startswith(_TERMINALS) else "file"
    return Descriptor(number, kind, clean(target), None, readable, writable)


def inode_of(pid: int, fd: int) -> int | None:
    """The inode behind a descriptor without asking its file system; None before Linux 5.14."""
    match = _INODE.search(read(f"/proc/{pid}/fdinfo/{fd}") or b"")
    return int(match[1]) if match is not None else None


def epoll_interest(pid: int, fd: int, inodes: dict[int, int]) -> tuple[tuple[int, str], ...]:
    """What an epoll descriptor watches: (fd, "r", "w", "rw" or "").

    `inodes` are those of the process's sockets and pipes by number: a set keeps a file that lives on as a duplicate
    under the number that it had when it was entered, which may be another file's now. Such are left out.
    """
    found = []
    for line in (read(f"/proc/{pid}/fdinfo/{fd}") or b"").split(b"\n"):
        if line.startswith(b"tfd:"):
            words = line.split()
            try:
                number, known = int(words[1]), re.search(rb"\bino:([0-9a-f]+)", line)  # since Linux 4.13
                if known is None or inodes.get(number) in (None, int(known[1], 16)):
                    found.append((number, poll_direction(int(words[3], 16))))
            except (IndexError, ValueError):
                continue
    return tuple(found)


def timerfd_left_ns(pid: int, fd: int) -> int | None:
    """Until a timerfd fires (proc_pid_fdinfo(5)), None when it is not armed."""
    match = re.search(rb"^it_value: \((\d+), (\d+)\)", read(f"/proc/{pid}/fdinfo/{fd}") or b"", re.MULTILINE)
    left = int(match[1]) * 10**9 + int(match[2]) if match is not None else 0
    return left or None


def alarms_of(pid: int, status: dict[str, str]) -> str:
    """What may break a wait of the process from within: a handler of SIGALRM, timers of timer_create(2); "" for nothing.

    Whether alarm(2) or setitimer(2) runs, and when, the kernel tells nobody.
    """
    try:
        caught = int(status.get("SigCgt", "0"), 16) >> (signal.SIGALRM - 1) & 1
    except ValueError:
        caught = 0
    timers = (read(f"/proc/{pid}/timers") or b"").count(b"ID:")
    words = ["it has a handler for SIGALRM"] * caught + [f"it has {timers} POSIX timer{'s' * (timers > 1)}"] * (
        timers > 0
    )
    return " and ".join(words)


def poll_direction(events: int) -> str:
    """POLLIN and POLLOUT bits (the EPOLL ones have the same values) as "r", "w", "rw" or ""."""
    return ("r" if events & 0x2043 else "") + ("w" if events & 0x304 else "")


def numbers_in_namespaces(pid: int, tid: int | None = None) -> tuple[int, ...]:
    """Its number in our PID namespace first, then in each below that it is in too; () when it is gone."""
    raw = read(f"/proc/{pid}/status" if tid is None else f"/proc/{pid}/task/{tid}/status") or b""
    match = _NSPID.search(raw)
    return tuple(map(int, match[1].split())) if match is not None else ()


def frozen(pid: int) -> bool:
    """Whether its control group is frozen (`docker pause`, `systemctl freeze`); False where that cannot be read.

    Source: cgroups(7); Documentation/admin-guide/cgroup-v2.rst "cgroup.events", cgroup-v1/freezer-subsystem.rst.
    """
    for line in (read(f"/proc/{pid}/cgroup") or b"").decode("utf-8", "replace").split("\n"):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not path.startswith("/") or "\0" in path:
            continue
        if "freezer" in controllers.split(","):
            if (read(f"/sys/fs/cgroup/freezer{path}/freezer.state") or b"").startswith(b"FROZEN"):
                return True
        elif not controllers:
            events = [read(f"{mount}{path}/cgroup.events") or b"" for mount in _UNIFIED]
            if any(b"frozen 1" in raw for raw in events):
                return True
    return False


def locks() -> tuple[FileLock, ...]:
    """The waits of /proc/locks: "7: FLOCK ..." is held, "7: -> FLOCK ..." waits for it."""
    return parse_locks(read("/proc/locks") or b"")


def parse_locks(raw: bytes) -> tuple[FileLock, ...]:
    """See `locks`; pid -1 or 0 stands for a holder in another pid namespace (or an open file description)."""
    from systrace.look.nouns import FileLock

    holders: dict[bytes, int] = {}
    found = []
    for line in raw.split(b"\n"):
        words = line.split()
        waits = len(words) > 1 and words[1] == b"->"
        if waits:
            del words[1]
        if len(words) < 6:
            continue
        try:
            pid, inode = int(words[4]), int(words[5].rsplit(b":", 1)[-1])
        except ValueError:
            continue
        if waits:
            found.append(FileLock(pid, holders.get(words[0], 0), clean(words[1], 16), inode))
        else:
            holders[words[0]] = pid
    return tuple(found)


def tree(pid: int) -> list[int]:
    """`pid` and all its descendants, parents before children."""
    import psutil

    try:
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.Error:
        return [pid]


def holders_of(
    inodes: set[int], fifos: dict[str, int], skip: set[int], deadline: float
) -> dict[int, list[tuple[int, bool, bool]]]:
    """Which other processes hold these pipes or sockets, or FIFOs by path: inode -> (pid, readable, writable).

    A path may be another FIFO's in another mount namespace: its inode must be the same too, where the kernel tells it.
    The kernel has no index for this, so every descriptor of the host that we may see is looked at; stops at `deadline`
    (time.monotonic).
    """
    wanted = {f"{kind}:[{inode}]": inode for inode in inodes for kind in ("socket", "pipe")} | fifos
    found: dict[int, list[tuple[int, bool, bool]]] = {}
    for name in os.listdir("/proc") if wanted else ():
        if not name.isdigit() or int(name) in skip:
            continue
        if time.monotonic() > deadline:
            break
        folder = f"/proc/{name}/fd"
        try:
            for number in os.listdir(folder):
                target = os.readlink(f"{folder}/{number}")
                inode = wanted.get(target)
                if inode is not None and (target not in fifos or inode_of(int(name), int(number)) in (None, inode)):
                    mode = os.lstat(f"{folder}/{number}").st_mode
                    found.setdefault(inode, []).append((int(name), bool(mode & 0o400), bool(mode & 0o200)))
        except OSError:
            continue
    return found
