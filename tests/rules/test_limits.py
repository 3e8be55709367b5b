"""Idle limits: the project's catalogue, the user's own, and how a silence is matched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from systrace.errors import UsageError
from systrace.idle_limits import Limit, read
from systrace.model import Input
from systrace.pipeline import analyze
from systrace.rules import limits
from systrace.words import seconds

_HANG = b"""9 1700000001.000000 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.0001>
%b9 1700000001.100000 connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("198.51.100.7")}, 16) = 0 <0.01>
9 1700000001.200000 sendto(3, "GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", 27, 0, NULL, 0) = 27 <0.0001>
9 1700000001.300000 recvfrom(3, 0x55d0, 4096, 0, NULL, NULL) = ? ERESTARTSYS (To be restarted) <%d.0>
9 1700009001.300000 --- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=1, si_uid=0} ---
9 1700009001.400000 +++ killed by SIGTERM +++
"""
_KEEPALIVE = b"""9 1700000001.010000 setsockopt(3, SOL_SOCKET, SO_KEEPALIVE, [1], 4) = 0 <0.0001>
9 1700000001.020000 setsockopt(3, SOL_TCP, TCP_KEEPIDLE, [%d], 4) = 0 <0.0001>
"""


@pytest.fixture(autouse=True)
def own_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """No file of this machine's user; a place for one."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    limits.catalogue.cache_clear()
    yield tmp_path / "systrace" / "limits.toml"
    limits.catalogue.cache_clear()


def _cause(waited: int, options: bytes = b"", own: Sequence[Limit] = ()) -> tuple[str, str]:
    verdict = analyze([Input("job.strace", (_HANG % (options, waited)).splitlines(True))], limits=own).verdict
    return verdict.cause, verdict.headline


@pytest.mark.parametrize(
    ("waited", "idle", "cause"),
    [(349, 0, "hung-read"), (351, 0, "idle-timeout"), (1200, 60, "hung-read"), (1200, 7200, "idle-timeout")],
)
def test_a_wait_is_put_down_to_the_path_only_where_a_limit_fits(waited: int, idle: int, cause: str) -> None:
    """350 s is the shortest silent limit that is assumed; probes below a limit rule it out."""
    assert _cause(waited, _KEEPALIVE % idle if idle else b"")[0] == cause


def test_a_limit_is_named_as_a_possibility() -> None:
    """Never as a fact: the log cannot show the box."""
    assert "Of what may be in the path, these forget it sooner: 240 s (" in _cause(400)[1]


def test_the_user_s_own_limit_counts(own_catalogue: Path) -> None:
    """A firewall of 100 s, from the usual place."""
    own_catalogue.parent.mkdir()
    own_catalogue.write_text('[[limit]]\nproduct = "our firewall"\nidle_s = 100\n')
    cause, headline = _cause(120)
    assert cause == "idle-timeout"
    assert "100 s (our firewall)" in headline


def test_a_named_file_counts_too(tmp_path: Path) -> None:
    """`--limits FILE`."""
    path = tmp_path / "mine.toml"
    path.write_text('[[limit]]\nproduct = "the proxy"\nidle_s = 50\nafter = "reset"\n')
    assert "50 s (the proxy)" in _cause(60, own=read(path, users=True))[1]
    assert "the proxy" not in _cause(60)[1]


@pytest.mark.parametrize(
    "text", ["[[limit]]\nidle_s = 3\n", "limit = 3\n", "[[limit\n", '[[limit]]\nproduct="x"\nidle_s="y"\n']
)
def test_a_bad_file_is_one_clear_line(tmp_path: Path, text: str) -> None:
    """It is named, with what it should hold."""
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"bad\.toml: no list of limits"):
        read(path, users=True)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "an unknown time"),
        (0.346, "0.35 s"),
        (60.06, "60.1 s"),
        (412.4, "412 s"),
        (7200.1, "7200 s"),
        (7980, "2 h 13 min"),
        (275_000, "76 h 23 min"),
    ],
)
def test_durations_for_people(value: float | None, text: str) -> None:
    assert seconds(None if value is None else int(value * 1e9)) == text
