"""What this machine offers for tracing, what is missing, what that costs, and the command that mends it."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable

from systrace.dataclass import dataclass
from systrace.idle_limits import known
from systrace.keepalive import ADVISED_SYSCTLS
from systrace.kernel import facts, pidfd
from systrace.kernel.permission import CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_SYS_PTRACE, has_capability, yama_scope
from systrace.kernel.procfs import read, stat_of, status_of
from systrace.words import clean

OK, NOTE, WARNING, FAULT = "ok", "note", "warning", "fault"
_STRACE_SECCOMP = (5, 3)  # --seccomp-bpf: calls that are not wanted run at full speed
_ALL_USERS = b"0 0 4294967295"  # user_namespaces(7): the uid_map of the first namespace
_TOOLS = (
    ("tshark", "a second decoder for what systrace writes as pcapng", "apt install tshark"),
    ("gdb", "the source line of a C program that hangs", "apt install gdb"),
    ("ss", "cross-checking socket states by hand", "apt install iproute2"),
    ("py-spy", "the Python line that waits, without stopping it", "pip install py-spy"),
)
_EXTRAS = (
    ("brotli", "codecs", "bodies compressed with br stay opaque"),
    ("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd", "codecs", "zstd bodies stay opaque"),
    ("cryptography", "tls", "certificates in TLS handshakes are not read"),
    ("boto3", "aws", "systrace aws works on saved files alone (--data), parse --into knows no s3://"),
    ("duckdb", "query", "no systrace query: the tables of parse --into are for other tools"),
)


@dataclass(frozen=True, slots=True)
class Check:
    """One line of `systrace doctor`."""

    name: str
    level: str  # ok, note, warning, fault
    found: str
    cost: str = ""  # what is lost by it
    mend: str = ""  # the command


def all_checks(unavailable: str | None) -> list[Check]:
    """Everything, in the order in which it matters; `unavailable`: why the built-in tracer cannot work here."""
    own_users = (read("/proc/self/uid_map") or _ALL_USERS).split() != _ALL_USERS.split()
    return [
        strace(shutil.which("strace"), _version_of, unavailable),
        trial(shutil.which("strace"), _own_tracer()),
        ptrace(yama_scope(), has_capability(CAP_SYS_PTRACE), os.geteuid(), own_users=own_users),
        duplicate(pidfd.supported()),
        kernel(os.uname().release),
        namespaces(has_capability(CAP_SYS_ADMIN), has_capability(CAP_NET_ADMIN)),
        scheduler(read("/proc/self/sched")),
        *settings(facts.sysctls()),
        *(tool(name, cost, mend, shutil.which(name)) for name, cost, mend in _TOOLS),
        *(extra(package, name, cost, installed=_installed(package)) for package, name, cost in _EXTRAS),
    ]


def strace(path: str | None, version_of: Callable[[str], str], unavailable: str | None = None) -> Check:
    """The tracer that needs a package of its own; what takes its place may be `unavailable` too."""
    mend = "apt install strace (Debian, Ubuntu), dnf install strace (Amazon Linux, RHEL), apk add strace (Alpine)"
    if path is None and unavailable is not None:
        cost = f"run and attach cannot work, for the built-in tracer cannot either: {unavailable}"
        return Check("strace", FAULT, "not found", cost, mend)
    if path is None:
        return Check(
            "strace", NOTE, "not found", "reads and writes of files cannot be recorded (--tracer strace)", mend
        )
    text = version_of(path)
    match = re.search(r"version (\d{1,3})\.(\d{1,3})", text)
    if match is None:
        return Check("strace", WARNING, f"{path}, version unknown", "its output may not be understood", mend)
    version = int(match[1]), int(match[2])
    found = f"{path} {match[1]}.{match[2]}"
    if version < _STRACE_SECCOMP:
        return Check("strace", NOTE, found, "before 5.3: no --seccomp-bpf, so tracing slows the job down more", mend)
    return Check("strace", OK, found)


_TRACE_ME = (
    "import ctypes, os, sys; libc = ctypes.CDLL(None, use_errno=True); "
    "sys.exit(0 if libc.ptrace(0, 0, 0, 0) == 0 else os.strerror(ctypes.get_errno()))"
)


def trial(path: str | None, tracer: str = "") -> Check:
    """Whether tracing works here at all: containers and security modules may forbid ptrace(2) whatever the settings.

    Tried with strace at `path`, else by asking to be traced. `tracer`: who traces systrace itself.
    """
    if tracer:
        text = f"systrace itself runs under {tracer}, and a process has one tracer only"
        return Check("tracing", FAULT, text, "run and attach cannot work from here", "start it outside of that")
    python = [sys.executable, "-S", "-c"]
    try:
        command = [path, "-qq", "-o", os.devnull, *python, ""] if path is not None else [*python, _TRACE_ME]
        done = subprocess.run(command, capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check("tracing", FAULT, clean(str(error), 200), "run and attach cannot work")
    if done.returncode == 0:
        return Check("tracing", OK, "a traced program ran")
    said = clean(done.stderr.strip().split(b"\n")[-1], 200)
    mend = "docker run --cap-add SYS_PTRACE (or --security-opt seccomp=unconfined)"
    return Check(
        "tracing", FAULT, said or f"the trial ended with {done.returncode}", "run and attach cannot work", mend
    )


def _own_tracer() -> str:
    pid = status_of(os.getpid()).get("TracerPid", "0")
    stat = stat_of(int(pid)) if pid.isdigit() and pid != "0" else None
    return f"process {pid} ({stat.name})" if stat is not None else ""


def _version_of(path: str) -> str:
    try:
        done = subprocess.run([path, "-V"], capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return clean(done.stdout, 200)


def ptrace(scope: int, have_capability: bool, uid: int, *, own_users: bool = False) -> Check:
    """Whom we may trace; `own_users`: in a user namespace of our own (capabilities reach no further)."""
    who = f"uid {uid}, CAP_SYS_PTRACE {'yes' if have_capability else 'no'}, kernel.yama.ptrace_scope {scope}"
    if scope >= 3:
        return Check("ptrace", FAULT, who, "no process can be traced until the next boot", "remove it from sysctl.d")
    if have_capability and own_users:
        cost = "the capability reaches only processes of this user namespace, not those of the host or other containers"
        return Check("ptrace", NOTE, f"{who}, in a user namespace", cost, "for those: run as root on the host")
    if have_capability:
        return Check("ptrace", OK, who)
    if uid == 0:
        mend = "docker run --cap-add SYS_PTRACE; Kubernetes capabilities.add: [SYS_PTRACE]; the same in ECS"
        return Check("ptrace", WARNING, who, "root without the capability (a container): attach is refused", mend)
    if scope == 2:
        return Check("ptrace", WARNING, who, "only root may trace", "sudo systrace ...")
    if scope == 1:
        mend = "sudo systrace attach PID, or until the next boot: sudo sysctl kernel.yama.ptrace_scope=0"
        return Check("ptrace", WARNING, who, "run works; attach to a process already running is refused", mend)
    return Check("ptrace", OK, who, "other users' processes need sudo")


def duplicate(error: str) -> Check:
    """pidfd_getfd: socket options and keepalive of a live process."""
    if not error:
        return Check("pidfd_getfd", OK, "works")
    cost = "no socket options, no TCP_INFO of sockets in other namespaces, no systrace keepalive"
    if error == "ENOSYS":
        return Check("pidfd_getfd", WARNING, "not in this kernel", cost, "Linux 5.6 or later")
    return Check(
        "pidfd_getfd", WARNING, error, cost, "docker run --cap-add SYS_PTRACE (its seccomp filter then allows it)"
    )


def kernel(release: str) -> Check:
    """Which retry schedule applies."""
    match = re.match(r"(\d{1,4})\.(\d{1,4})", release)
    if match is not None and (int(match[1]), int(match[2])) < (4, 8):
        return Check(
            "kernel", WARNING, clean(release), "before 4.8: ptrace and seccomp work differently", "a newer kernel"
        )
    return Check("kernel", OK, clean(release))


def namespaces(admin: bool, net_admin: bool) -> Check:
    """Entering the network namespace of a container's process."""
    found = f"CAP_SYS_ADMIN {'yes' if admin else 'no'}, CAP_NET_ADMIN {'yes' if net_admin else 'no'}"
    if admin:
        return Check("network namespaces", OK, found)
    cost = "processes in other network namespaces are read from /proc/PID/net, without TCP_INFO by netlink"
    return Check("network namespaces", NOTE, found, cost, "run as root on the host")


def scheduler(raw: bytes | None) -> Check:
    """/proc/PID/sched tells since when a thread is blocked."""
    if raw is not None and b"se.exec_start" in raw:
        return Check("/proc/PID/sched", OK, "there: how long a thread has been blocked can be told")
    return Check("/proc/PID/sched", NOTE, "absent", "durations of waits that are on no TCP socket are unknown")


def settings(sysctls: dict[str, int]) -> list[Check]:
    """Keepalive and retry settings against the idle limits of networks."""
    found = []
    idle = sysctls.get("net.ipv4.tcp_keepalive_time")
    if idle is not None:
        interval = sysctls.get("net.ipv4.tcp_keepalive_intvl", 75)
        probes = sysctls.get("net.ipv4.tcp_keepalive_probes", 9)
        values = f"after {idle} s, every {interval} s, {probes} times"
        late = {limit.idle_s: limit.product for limit in reversed(known()) if limit.unseen and idle >= limit.idle_s}
        if late:
            names = ", ".join(f"{late[limit]} ({limit:g} s)" for limit in sorted(late))
            cost = f"programs that turn keepalive on without own timers are too late for: {names}"
            mend = f"{ADVISED_SYSCTLS}  # for new sockets, and only those with SO_KEEPALIVE"
            found.append(Check("keepalive", WARNING, values, cost, mend))
        else:
            found.append(Check("keepalive", OK, values))
    for name, normal, meaning in (
        ("tcp_syn_retries", 6, "a connect to a silent host fails after 127-134 s"),
        ("tcp_retries2", 15, "a dead connection fails about 940 s after the last write"),
    ):
        value = sysctls.get(f"net.ipv4.{name}")
        if value == normal:
            found.append(Check(name, OK, f"{value}: {meaning}"))
        elif value is not None:
            found.append(
                Check(name, NOTE, f"{value} instead of {normal}", "the kernel gives up at other times than usual")
            )
    return found


def tool(name: str, use: str, mend: str, path: str | None) -> Check:
    """An optional program."""
    return Check(name, OK, path) if path is not None else Check(name, NOTE, "not found", use, mend)


def extra(package: str, name: str, cost: str, *, installed: bool) -> Check:
    """An optional Python package."""
    if installed:
        return Check(package, OK, "installed")
    return Check(package, NOTE, "not installed", cost, f"pip install 'systrace[{name}]'")


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # of the parent package
        return False
