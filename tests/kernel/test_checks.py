"""What `systrace doctor` says about machines of every kind."""

from __future__ import annotations

import shutil

import pytest

from systrace.kernel import checks


@pytest.mark.parametrize(
    ("check", "level", "says"),
    [
        (checks.strace(None, lambda _: ""), "note", "--tracer strace"),
        (checks.strace("/usr/bin/strace", lambda _: "strace -- version 6.1"), "ok", "6.1"),
        (checks.strace("/usr/bin/strace", lambda _: "strace -- version 4.26"), "note", "seccomp-bpf"),
        (checks.strace("/usr/bin/strace", lambda _: "busybox"), "warning", "version unknown"),
        (
            checks.strace(None, lambda _: "", "knows no riscv64"),
            "fault",
            "built-in tracer cannot either: knows no riscv64",
        ),
        (checks.trial(None), "ok", "a traced program ran"),
        (checks.trial(None, "process 9 (gdb)"), "fault", "runs under process 9 (gdb)"),
        (checks.trial("/nonexistent/strace"), "fault", "cannot work"),
        (checks.trial(shutil.which("false")), "fault", "ended with 1"),
        (checks.ptrace(0, have_capability=True, uid=0), "ok", "uid 0"),
        (checks.ptrace(0, have_capability=True, uid=0, own_users=True), "note", "run as root on the host"),
        (checks.ptrace(3, have_capability=True, uid=0), "fault", "until the next boot"),
        (checks.ptrace(0, have_capability=False, uid=0), "warning", "--cap-add SYS_PTRACE"),
        (checks.ptrace(1, have_capability=False, uid=1000), "warning", "kernel.yama.ptrace_scope=0"),
        (checks.ptrace(2, have_capability=False, uid=1000), "warning", "only root"),
        (checks.ptrace(0, have_capability=False, uid=1000), "ok", "sudo"),
        (checks.duplicate(""), "ok", "works"),
        (checks.duplicate("ENOSYS"), "warning", "Linux 5.6"),
        (checks.duplicate("EPERM"), "warning", "SYS_PTRACE"),
        (checks.kernel("4.4.0-x"), "warning", "before 4.8"),
        (checks.kernel("6.18.44"), "ok", "6.18.44"),
        (checks.namespaces(admin=False, net_admin=False), "note", "run as root"),
        (checks.scheduler(None), "note", "unknown"),
        (checks.tool("tshark", "a second decoder", "apt install tshark", None), "note", "apt install tshark"),
        (checks.extra("brotli", "codecs", "opaque", installed=False), "note", "systrace[codecs]"),
    ],
)
def test_a_check_tells_cost_and_cure(check: checks.Check, level: str, says: str) -> None:
    assert check.level == level
    assert says in " ".join((check.found, check.cost, check.mend))


def test_keepalive_settings_are_held_against_the_idle_limits_of_networks() -> None:
    late = checks.settings({"net.ipv4.tcp_keepalive_time": 300})[0]
    assert (late.level, "Azure load balancer (240 s)" in late.cost, "AWS" in late.cost) == ("warning", True, False)
    assert "tcp_keepalive_time=60" in late.mend
    assert checks.settings({"net.ipv4.tcp_keepalive_time": 60})[0].level == "ok"
    retries = checks.settings({"net.ipv4.tcp_syn_retries": 2, "net.ipv4.tcp_retries2": 15})
    assert [check.level for check in retries] == ["note", "ok"]


@pytest.mark.real
def test_every_check_of_this_machine_says_something() -> None:
    found = checks.all_checks(None)
    assert len({check.name for check in found}) == len(found)
    assert all(check.found for check in found)
    assert all(check.cost for check in found if check.level != "ok" and check.name != "tracing")
