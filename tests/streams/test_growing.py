"""Lists made with their first item."""

from __future__ import annotations

from collections.abc import Sequence

from systrace.streams.growing import grown


def test_a_list_is_kept_and_nothing_else_is_changed() -> None:
    none: Sequence[int] = ()
    one = grown(none, 1)
    assert (none, one) == ((), [1])
    assert grown(one, 2) is one
    assert one == [1, 2]
    assert grown((1, 2), 3) == [1, 2, 3]
