"""Numbers of another PID namespace, as strace --pidns-translation shows them: each process is there once."""

from __future__ import annotations

import pytest

from systrace.model import Input, Process
from systrace.pipeline import analyze

TRANSLATED = b"""\
900 10.000000 execve("/bin/sh", ["sh"], 0x7f /* 1 var */) = 0 <0.001>
900 10.100000 vfork() = 2 /* 901 in strace's PID NS */ <0.001>
901 10.200000 execve("/bin/false", ["false"], 0x7f /* 1 var */) = 0 <0.001>
900 10.300000 kill(2 /* 901 in strace's PID NS */, SIGTERM) = 0 <0.001>
901 10.310000 --- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=1 /* 900 in strace's PID NS */, si_uid=0} ---
901 10.400000 +++ killed by SIGTERM +++
900 10.410000 --- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_KILLED, si_pid=2 /* 901 in strace's PID NS */, si_uid=0, \
si_status=SIGTERM, si_utime=0, si_stime=0} ---
900 10.500000 wait4(-1, [{WIFSIGNALED(s) && WTERMSIG(s) == SIGTERM}], 0, NULL) = 2 <0.001>
900 10.600000 exit_group(1) = ?
900 10.700000 +++ exited with 1 +++
"""


def processes(text: bytes) -> dict[int, Process]:
    lines = text.replace(b"\\\n", b"").splitlines(keepends=True)
    return analyze([Input("trace", iter(lines), as_is=True)]).evidence.processes


def test_one_process_with_both_numbers() -> None:
    found = processes(TRANSLATED)
    assert set(found) == {900, 901}
    child = found[901]
    assert (child.parent, child.ns_pid, child.signal, child.killed_by) == (900, 2, "SIGTERM", 900)
    assert child.signals[0].sender == 900
    assert found[900].ns_pid is None
    assert found[900].child_statuses == {901: (None, "SIGTERM")}


@pytest.mark.parametrize("unknown", [b"", b" /* 99999999999 in strace's PID NS */", b" /* x in strace's PID NS */"])
def test_without_a_translation_the_number_is_taken_as_it_is(unknown: bytes) -> None:
    found = processes(TRANSLATED.replace(b" /* 901 in strace's PID NS */", unknown))
    assert found[2].parent == 900
    assert found[2].ns_pid is None


def test_numbers_come_round() -> None:
    """The number of a child that has ended is another child's."""
    again = TRANSLATED.replace(b"vfork() = 2 /* 901", b"vfork() = 2 /* 902").replace(b"900 10.1", b"900 10.05")
    text = again.split(b"\n", 2)
    found = processes(b"\n".join([text[0], text[1], *TRANSLATED.split(b"\n")[1:]]))
    assert found[901].ns_pid == 2
    assert found[901].signal == "SIGTERM"
    assert found[902].signal is None
