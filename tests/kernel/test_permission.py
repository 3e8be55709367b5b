"""Every refusal says what is missing and the command that grants it."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from systrace.kernel.permission import Access, explain, refusal

_ALLOWED = Access(
    pid=42,
    command="job",
    kernel_thread=False,
    zombie=False,
    same_user=True,
    owner="batch",
    dumpable=True,
    yama=0,
    descendant=False,
    have_ptrace=False,
    other_user_namespace=False,
    in_container=False,
    tracer=0,
)

CASES: list[tuple[dict[str, object], str]] = [
    ({"kernel_thread": True}, "is a kernel thread"),
    ({"zombie": True}, "look at the parent"),
    ({"zombie": True, "goes_on": True}, "lives on without its first thread"),
    ({"yama": 3, "have_ptrace": True}, "forbids all tracing until the next boot"),
    ({"yama": 3}, "forbids all tracing until the next boot"),
    ({"have_ptrace": True}, "although CAP_SYS_PTRACE is held: a security module"),
    ({"same_user": False}, "belongs to user batch: run as that user (sudo -u batch …) or as root"),
    ({"other_user_namespace": True}, "is in another user namespace (a container): run as root on the host"),
    ({"dumpable": False}, "yours but protected"),
    ({"yama": 1}, "sudo sysctl kernel.yama.ptrace_scope=0"),
    ({"yama": 1, "descendant": True}, "refused by a security module"),
    ({"yama": 2}, "ptrace_scope is 2, so only root may trace: sudo systrace attach 42"),
]


@pytest.mark.parametrize(("facts", "says"), CASES)
def test_the_reason_comes_with_its_remedy(facts: dict[str, object], says: str) -> None:
    text = explain(replace(_ALLOWED, **facts))  # type: ignore[arg-type]
    assert says in text
    assert text.startswith("process 42 (job)")


@pytest.mark.skipif(os.geteuid() != 0, reason="the wording for root")
def test_root_in_a_container_is_told_the_capability() -> None:
    assert "--cap-add SYS_PTRACE" in explain(replace(_ALLOWED, in_container=True))


def test_ourselves_we_may_look_at() -> None:
    assert refusal(os.getpid()) is None
    assert refusal(2**22 + 1) == f"there is no process {2**22 + 1}"
