"""Which step is which: by order, then by what it is, then by less."""

from __future__ import annotations

import time
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from systrace.compare.aligning import aligned, common
from systrace.compare.nouns import CONNECTION, REQUEST, Key, Place, Step


def step(shape: str, exact: str = "", outcome: str = "200", **more: str) -> Step:
    key = Key(
        more.get("kind", REQUEST),
        more.get("role", "job"),
        more.get("peer", "api"),
        more.get("port", "80"),
        "http",
        "GET",
        shape,
    )
    return Step(key, shape, exact or shape, outcome, False, Place("", 0, None), socket=more.get("socket", "S1"))


@given(st.lists(st.integers(0, 3), max_size=14), st.lists(st.integers(0, 3), max_size=14))
def test_a_longest_common_subsequence(one: list[int], other: list[int]) -> None:
    longest = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            longest[i + 1][j + 1] = longest[i][j] + 1 if a == b else max(longest[i][j + 1], longest[i + 1][j])
    found = common(one, other)
    assert len(found) == longest[-1][-1]
    assert all(one[i] == other[j] for i, j in found)
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(found))


def test_of_equal_steps_the_missing_one_is_found_by_order() -> None:
    good = [step("/status"), step("/login"), step("/status")]
    bad = [step("/login"), step("/status")]
    pairs = aligned(good, bad)
    assert [(bool(a), bool(b)) for a, b in pairs] == [(True, False), (True, True), (True, True)]


def test_another_order_is_no_difference() -> None:
    good = [step("/p", f"/{n}", "404" if n == 3 else "200") for n in range(50)]
    pairs = aligned(good, good[::-1])
    assert all(a is not None and b is not None and a.exact == b.exact for a, b in pairs)


def test_a_name_that_only_one_log_shows() -> None:
    good, bad = (
        step("", kind=CONNECTION, peer="db.example", port="5432"),
        step("", kind=CONNECTION, peer="", port="5432"),
    )
    assert aligned([good], [bad]) == [(good, bad)]


def test_requests_take_their_connections_along() -> None:
    good = [
        step("", "192.0.2.1", kind=CONNECTION, peer="", port="80", socket="S1"),
        step("/a", peer="", port="80", socket="S1"),
    ]
    bad = [
        step("", "192.0.2.9", kind=CONNECTION, peer="", port="81", socket="S7"),
        step("/a", peer="", port="81", socket="S7"),
    ]
    assert aligned(good, bad) == list(zip(good, bad, strict=True))


def test_ten_thousand_of_each_take_seconds() -> None:
    good = [step(f"/rows/{n % 7}", f"/rows/{n}") for n in range(10_000)]
    bad = [step(f"/rows/{n % 7}", f"/rows/{n}", "500" if n % 100 == 0 else "200") for n in range(10_000)]
    other = [step(f"/other/{n % 7}", f"/rows/{n * 31 % 9973}") for n in range(10_000)]
    began = time.monotonic()
    assert len(aligned(good, bad)) == 10_000
    assert len(aligned(good, good[::-1])) == 10_000
    aligned(good, other)
    assert time.monotonic() - began < 30  # some two seconds where nothing else runs
