"""Kinds of errors: real ones, and no error means two things at once that exclude each other."""

from __future__ import annotations

import errno

from systrace.calls import errnos

KINDS = {name: value for name, value in vars(errnos).items() if isinstance(value, frozenset)}


def test_they_are_errors_of_linux() -> None:
    known = set(errno.errorcode.values()) | {"EWOULDBLOCK"}
    assert len(KINDS) >= 9
    for name, kind in KINDS.items():
        assert kind <= known, name
        assert kind, name


def test_what_is_quiet_breaks_nothing() -> None:
    for loud in (errnos.BROKEN, errnos.EXHAUSTED, errnos.OF_CONNECT, errnos.VANISHED):
        assert not errnos.QUIET & loud
    assert not errnos.EXHAUSTED & errnos.BROKEN  # descriptors that ran out are not the socket's fault
    assert errnos.UNKNOWN not in set().union(*KINDS.values())
