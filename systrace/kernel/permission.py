"""Why a process may not be looked at, and the command that grants it.

Reading another process's call, descriptors or memory needs PTRACE_MODE_ATTACH_REALCREDS: see ptrace(2), "Ptrace access
mode checking", and Documentation/admin-guide/LSM/Yama.rst.
"""

from __future__ import annotations

import os
from pathlib import Path

from systrace.dataclass import dataclass
from systrace.kernel.procfs import read, stat_of, status_of, task_ids

CAP_SYS_PTRACE, CAP_SYS_ADMIN, CAP_NET_ADMIN = 19, 21, 12  # linux/capability.h


@dataclass(frozen=True, slots=True)
class Access:
    """What decides whether we may look at a process."""

    pid: int
    command: str
    kernel_thread: bool
    zombie: bool
    same_user: bool
    owner: str  # user name or number
    dumpable: bool | None  # None: not our user's, so it cannot be told
    yama: int  # /proc/sys/kernel/yama/ptrace_scope, 0 where there is no Yama
    descendant: bool  # of this process
    have_ptrace: bool  # CAP_SYS_PTRACE is effective
    other_user_namespace: bool
    in_container: bool  # we are in one
    tracer: int
    goes_on: bool = False  # the first thread has ended, others live


def access(pid: int) -> Access | None:
    """The facts about `pid`, None when there is no such process (or /proc hides it: hidepid)."""
    stat, status = stat_of(pid), status_of(pid)
    if stat is None or not status:
        return None
    uids = [int(word) for word in status.get("Uid", "0").split()[:3]]
    same = bool(uids) and all(uid == os.getuid() for uid in uids)
    return Access(
        pid=pid,
        command=stat.name,
        kernel_thread=stat.kernel_thread,
        zombie=stat.state in "ZX",
        same_user=same,
        owner=_user(uids[0] if uids else 0),
        dumpable=_dumpable(pid, uids[1]) if same and len(uids) > 1 else None,
        yama=yama_scope(),
        descendant=_descends(pid, os.getpid()),
        have_ptrace=has_capability(CAP_SYS_PTRACE),
        other_user_namespace=_namespace(pid) not in ("", _namespace(os.getpid())),
        in_container=in_container(),
        tracer=int(status.get("TracerPid", "0") or 0),
        goes_on=stat.state in "ZX" and len(task_ids(pid)) > 1,
    )


def refusal(pid: int, command: str = "attach") -> str | None:
    """None when ptrace-level access to `pid` is allowed; else what exactly is missing and what mends it.

    `command` is the sub-command that asks.
    """
    try:
        with Path(f"/proc/{pid}/task/{pid}/syscall").open("rb") as file:
            allowed = bool(file.read(1))
    except PermissionError:
        allowed = False
    except OSError:
        return f"there is no process {pid}"
    facts = access(pid)
    if facts is None:
        return f"there is no process {pid}"
    if allowed and not facts.kernel_thread and not facts.zombie:
        return None
    return explain(facts, command)


def explain(facts: Access, command: str = "attach") -> str:
    """One line: what is missing, and the command or capability that grants it."""
    why = _nobody_may(facts) or _missing(facts, f"sudo systrace {command} {facts.pid}")
    return f"process {facts.pid} ({facts.command}){why}"


def _nobody_may(facts: Access) -> str:
    """Why no right whatsoever would help; empty where one would."""
    if facts.kernel_thread:
        return " is a kernel thread: it makes no system calls and nobody may trace it"
    if facts.goes_on:
        return " lives on without its first thread, and no tracer can attach to a process by another one"
    if facts.zombie:
        return " has ended and waits for its parent to collect its status: look at the parent"
    if facts.yama >= 3:
        return f": kernel.yama.ptrace_scope is {facts.yama}, which forbids all tracing until the next boot"
    return ""


def _missing(facts: Access, sudo: str) -> str:
    """Which right is missing, and what grants it."""
    if facts.have_ptrace:
        return (
            ": refused although CAP_SYS_PTRACE is held: a security module (SELinux, AppArmor, seccomp) forbids "
            "it; see dmesg or ausearch -m avc"
        )
    if facts.in_container and os.getuid() == 0:
        return (
            ": this container lacks the capability SYS_PTRACE: docker run --cap-add SYS_PTRACE, Kubernetes "
            "securityContext.capabilities.add: [SYS_PTRACE], ECS linuxParameters.capabilities.add: [SYS_PTRACE]"
        )
    if not facts.same_user:
        return f" belongs to user {facts.owner}: run as that user (sudo -u {facts.owner} …) or as root: {sudo}"
    if facts.other_user_namespace:
        return f" is in another user namespace (a container): run as root on the host: {sudo}"
    if facts.dumpable is False:
        protections = "set-user-id program, file capabilities or PR_SET_DUMPABLE"
        return f" is yours but protected ({protections}): run as root: {sudo}"
    if facts.yama == 1 and not facts.descendant:
        return (
            f": kernel.yama.ptrace_scope is 1, so only a parent may trace: {sudo}, or until the next boot: "
            "sudo sysctl kernel.yama.ptrace_scope=0"
        )
    if facts.yama == 2:
        return f": kernel.yama.ptrace_scope is 2, so only root may trace: {sudo}"
    return f": refused by a security module (SELinux, AppArmor, seccomp): try as root: {sudo}"


def has_capability(number: int) -> bool:
    """Whether this process has the capability in effect."""
    try:
        return bool(int(status_of(os.getpid()).get("CapEff", "0"), 16) >> number & 1)
    except ValueError:
        return False


def yama_scope() -> int:
    """kernel.yama.ptrace_scope, 0 where Yama is not built in."""
    try:
        return int(read("/proc/sys/kernel/yama/ptrace_scope") or b"0")
    except ValueError:
        return 0


def in_container() -> bool:
    """Whether this process seems to run in a container: the usual marker files, or a PID namespace of its own."""
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        return True
    if "ECS_CONTAINER_METADATA_URI_V4" in os.environ:
        return True
    groups = read("/proc/1/cgroup") or b""
    return any(word in groups for word in (b"docker", b"kubepods", b"containerd", b"libpod", b"/ecs/"))


def _user(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _dumpable(pid: int, uid: int) -> bool | None:
    """A process that is not dumpable has its /proc files owned by root (proc(5))."""
    try:
        return Path(f"/proc/{pid}/environ").stat().st_uid == uid
    except OSError:
        return None


def _namespace(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/user").readlink())
    except OSError:
        return ""


def _descends(pid: int, ancestor: int) -> bool:
    seen = set()
    while pid > 1 and pid not in seen:
        if pid == ancestor:
            return True
        seen.add(pid)
        stat = stat_of(pid)
        pid = stat.ppid if stat is not None else 0
    return False
