"""A server that is slow is not taken for a path that loses large packets."""

import pytest

from systrace.observations import Observation
from systrace.probes.asking import Allowed, Round
from systrace.probes.kinds import mtu
from systrace.probes.target import Target

HERE = "127.0.0.1"
ANSWERED = mtu._Tried(True, 0, 0, 1500)
SILENT = mtu._Tried(False, 0, 0, 1500)
LOST = mtu._Tried(False, 3, 4, 1500)


def asked(monkeypatch: pytest.MonkeyPatch, *tries: mtu._Tried | None) -> Observation:
    """What is noted where the connections end so."""
    left = list(tries)
    monkeypatch.setattr(mtu, "_try", lambda *_: left.pop(0))
    monkeypatch.setattr(mtu, "_admitted", lambda _: 1400)
    target = Target(HERE, 443)
    asking = Round(target, Allowed(), 0, [])
    asking.note("peer-listens", "", address=HERE, outcome="open")
    mtu.mtu(target, asking)
    assert not left
    return asking.found[-1]


@pytest.mark.parametrize(
    ("tries", "outcome"),
    [
        ((ANSWERED,), "passes"),
        ((SILENT, SILENT), "unknown"),
        ((LOST, None), "unknown"),
        ((SILENT, ANSWERED, ANSWERED), "passes"),
        ((SILENT, ANSWERED, SILENT), "unknown"),
        ((LOST, ANSWERED, SILENT), "unknown"),
        ((LOST, ANSWERED, None), "unknown"),
        ((LOST, ANSWERED, LOST), "black hole"),
    ],
)
def test_only_lost_packets_make_a_black_hole(
    monkeypatch: pytest.MonkeyPatch, tries: tuple[mtu._Tried | None, ...], outcome: str
) -> None:
    """Twice; elsewhere nothing is wrong, and TLS is asked about."""
    found = asked(monkeypatch, *tries)
    assert found.value["outcome"] == outcome
    assert ("cause" in found.value) == ("how" in found.value) == (outcome == "black hole")
