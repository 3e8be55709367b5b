"""Whose line it is, where the log does not say so."""

from __future__ import annotations

from systrace.model import Style
from systrace.parser.threads import Half, Threads


def threads(pid: str = "none", tid: int = 0) -> Threads:
    style = Style()
    style.pid = pid
    return Threads(style, tid)


def half(tid: int, call: str) -> Half:
    return Half(1, tid, None, call, b"", b"")


def test_a_file_of_its_own_is_of_one_thread() -> None:
    assert threads(tid=17).of(None) == 17


def test_the_first_process_is_nameless_until_a_number_can_only_be_its_own() -> None:
    known = threads()
    known.pending[0] = half(0, "read")
    assert known.of(None) == 0
    assert known.of(b"5") == 5
    assert (known.renamed, known.of(None), list(known.pending), known.pending[5].tid) == ([5], 5, [5], 5)


def test_a_number_that_a_fork_returned_is_the_child_s() -> None:
    known = threads("bracket")
    known.announce(6)
    assert (known.of(b"6"), known.renamed) == (6, [])
    assert known.of(None) == 6  # whoever spoke last
    known.gone(6)
    assert known.of(None) == 0


def test_while_it_forks_the_new_number_may_be_its_child_s() -> None:
    known = threads("bracket")
    known.pending[0] = half(0, "clone")
    assert (known.of(b"6"), known.renamed) == (6, [])


def test_a_second_half_belongs_to_the_only_one_who_waits_for_it() -> None:
    known = threads("bracket")
    known.announce(6)
    known.of(b"6")
    known.pending[6] = half(6, "wait4")
    assert known.of_resumed(None, "wait4") == 6
    assert known.of_resumed(None, None) == 6


def test_the_first_process_is_named_by_the_end_of_its_call() -> None:
    known = threads("bare")
    known.pending[0] = half(0, "clone")
    assert (known.of_resumed(b"9", "clone"), known.renamed) == (9, [9])


def test_execve_in_a_thread_and_attaching() -> None:
    known = threads("bare")
    known.attached(7, by_number=True)
    assert known.alive == {7}
    known.attached(8, by_number=False)
    known.pending[8] = half(8, "execve")
    known.superseded(8, 7)
    assert (known.alive, known.pending[7].tid, 8 in known.pending) == ({7}, 7, False)
    known.told("exit_group", 7, None)
    assert known.alive == {7}  # the last one: whose else would the next line be?
