"""Which silences are tried, and what their ends prove."""

import pytest

from systrace.idle_limits import Limit, known
from systrace.probes.idle.judging import Judgement, judge, narrowed
from systrace.probes.idle.silence import Silent
from systrace.probes.idle.waits import between, bracketing, keepalive_s, narrow_enough


def silent(wait_s: float, outcome: str, after_s: float | None = None) -> Silent:
    return Silent(wait_s, outcome=outcome, asked=True, after_s=wait_s if after_s is None else after_s)


def judged(control: str, *outcomes: str) -> Judgement:
    return judge([silent(n + 1.0, each) for n, each in enumerate(outcomes)], [silent(9, control)] * 2, known())


def test_each_limit_of_a_path_is_bracketed() -> None:
    """5 % below and above; the longest silence is as long as was asked."""
    waits = bracketing(known(), 375, 14)
    assert len(waits) == 14
    for limit in (240, 350):
        assert {limit * 0.95, limit * 1.05} <= set(waits)
    assert max(waits) == 375


def test_where_few_connections_may_be_made_the_limit_that_most_jobs_meet_is_bracketed() -> None:
    assert {350 * 0.95, 350 * 1.05, 375} <= set(bracketing(known(), 375, 4))


def test_without_a_limit_of_the_catalogue_silences_are_spread() -> None:
    """No gap is more than an eighth."""
    waits = bracketing(known(), 8, 14)
    assert max(high - low for low, high in zip([0.0, *waits], waits, strict=False)) <= 1


def test_the_second_round_parts_the_bracket() -> None:
    assert between(4, 5, 4) == [4.25, 4.5, 4.75, 5]
    assert narrow_enough(332.5, 367.5)
    assert not narrow_enough(3.5, 4.0)


def test_the_control_group_is_probed_before_any_limit_ends() -> None:
    assert keepalive_s(375) < min(limit.idle_s for limit in known() if limit.unseen)
    assert keepalive_s(2) == 1


@pytest.mark.parametrize(
    ("control", "outcomes", "kind", "above", "below"),
    [
        ("alive", ("alive", "alive", "reset", "reset"), "limit", 2, 3),
        ("alive", ("alive", "silent", "untried"), "limit", 1, 2),
        ("closed", ("alive", "reset", "closed"), "limit", 1, 2),
        ("silent", ("alive", "silent", "silent"), "path cut", 1, None),
        ("untried", ("alive", "reset"), "unclear", 1, None),
        ("closed", ("alive", "closed", "closed"), "server closes", 1, 2),
        ("alive", ("alive", "alive"), "no limit", 2, None),
        ("reset", ("alive", "alive"), "path cut", 2, None),
        ("untried", ("alive", "untried"), "unclear", 1, None),
        ("untried", ("untried",), "unclear", 0, None),
    ],
)
def test_what_the_ends_prove(
    control: str, outcomes: tuple[str, ...], kind: str, above: float, below: float | None
) -> None:
    found = judged(control, *outcomes)
    assert (found.kind, found.above_s, found.below_s) == (kind, above, below)


@pytest.mark.parametrize(("control", "kind"), [("reset", "server closes"), ("alive", "limit")])
def test_a_reset_that_nobody_asked_for(control: str, kind: str) -> None:
    """The server's own timer where keepalive does not help, else that of somebody on the path."""
    silents = [silent(4, "alive"), Silent(6, outcome="reset", after_s=5)]
    found = judge(silents, [Silent(9, outcome=control)], known())
    assert (found.kind, found.above_s, found.below_s, found.how) == (kind, 4, 5, "reset")


def test_a_bracket_names_the_entries_that_it_holds() -> None:
    found = judge([silent(332.5, "alive"), silent(367.5, "reset")], [silent(375, "alive")], known())
    assert {each.idle_s for each in found.fits} == {350}
    assert [each.after for each in found.fits] == sorted(each.after for each in found.fits)  # reset before silent
    own = [Limit("our firewall", 345, "silent", True, "us", True)]
    assert "our firewall" in {
        each.product for each in judge([silent(340, "alive"), silent(350, "silent")], [silent(9, "alive")], own).fits
    }


def test_the_second_round_counts_only_where_it_agrees() -> None:
    first, second = Judgement("limit", 3.5, 4.0, "reset"), Judgement("limit", 3.9, 3.95, "reset")
    found = narrowed(first, second, ())
    assert (found.above_s, found.below_s) == (3.9, 3.95)
    assert narrowed(first, Judgement("no limit", 4.0), ()) == first
    assert narrowed(first, Judgement("path cut"), ()).kind == "path cut"
