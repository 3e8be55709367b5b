"""Lines of access logs, as their makers document them."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from systrace.errors import InputError
from systrace.serverlogs import FORMATS, Entry
from systrace.serverlogs.fields import common_time, request, seconds_ns
from systrace.serverlogs.reading import entry_of, read

S = 1_000_000_000


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000) * 1_000_000


@pytest.mark.parametrize("name", list(FORMATS))
def test_the_example_is_one_request(name: str) -> None:
    """All examples tell of the same: a request at 10:00:00 whose answer came after 363.6 s."""
    entry = entry_of(FORMATS[name], FORMATS[name].example, 7)
    assert entry is not None
    assert (entry.line, entry.method, entry.status, entry.sent, entry.gave_up) == (7, "GET", 200, 366, "")
    assert entry.target.endswith("/nightly")
    assert (entry.took_ns, entry.client) == (363_600_000_000, "198.51.100.7")
    assert abs(entry.start_ns - at("2026-11-28T10:00:00")) < S  # combined knows whole seconds only
    assert [other for other in FORMATS if entry_of(FORMATS[other], FORMATS[name].example, 1) is not None] == [name]


COMBINED = '192.0.2.1 - bob [28/Nov/2026:11:00:05 +0100] "POST /a?x=1 HTTP/1.1" %s "-" "agent 10.25 \\"x\\" 99999"%s'


@pytest.mark.parametrize(
    ("status", "rest", "took", "gave_up"),
    [
        ("200 12", " 5.000", 5 * S, ""),
        ("499 0", ' rt=5.000 uct="0.1"', 5 * S, "client"),
        ("504 160", " 5.000 10.0.0.1:8080", 5 * S, "server"),
        ("200 -", "", None, ""),
        ("200 12", " 5000123", 5_000_123_000, ""),
    ],
)
def test_nginx_and_apache(status: str, rest: str, took: int | None, gave_up: str) -> None:
    entry = entry_of(FORMATS["nginx or Apache"], COMBINED % (status, rest), 1)
    assert entry is not None
    assert (entry.method, entry.target, entry.took_ns, entry.gave_up) == ("POST", "/a?x=1", took, gave_up)
    began = at("2026-11-28T10:00:05") - (took or 0) if rest != " 5000123" else at("2026-11-28T10:00:05")
    assert entry.start_ns == began


@pytest.mark.parametrize(
    ("name", "change", "gave_up", "status"),
    [
        ("ALB", (" 200 200 34", " 460 - 34"), "client", 460),
        ("ALB", (" 200 200 34", " 504 - 34"), "server", 504),
        ("ALB", (" 200 200 34", " 504 504 34"), "", 504),  # the target itself said so
        ("HAProxy", ("- - ----", "- - CD--"), "client", 200),
        ("HAProxy", ("- - ----", "- - sH--"), "server", 200),
        ("HAProxy", ("363600 200 366", "363600 -1 366"), "", None),
        ("Envoy", (" 200 - 0", " 0 DC 0"), "client", None),
        ("Envoy", (" 200 - 0", " 504 UT 0"), "server", 504),
    ],
)
def test_who_gave_up(name: str, change: tuple[str, str], gave_up: str, status: int | None) -> None:
    line = FORMATS[name].example.replace(*change)
    assert line != FORMATS[name].example
    entry = entry_of(FORMATS[name], line, 1)
    assert entry is not None
    assert (entry.gave_up, entry.status) == (gave_up, status)


def test_fields() -> None:
    assert request("GET /a b HTTP/1.1") == ("GET", "/a b")
    assert request("-") == ("-", "")
    assert [seconds_ns(text) for text in ("-", "-1", "x", "1.5", "nan", "inf")] == [
        None,
        None,
        None,
        1_500_000_000,
        None,
        None,
    ]
    assert common_time("28/Nov/2026:10:00:00.250") == at("2026-11-28T10:00:00") + S // 4
    assert common_time("28/Nov/2026:10:00:00 -0030") == at("2026-11-28T10:30:00")


@pytest.mark.parametrize("name", list(FORMATS))
@given(data=st.data())
def test_no_line_is_too_odd(name: str, data: st.DataObject) -> None:
    """A line of the kind with parts of it replaced is read, or is none; nothing is raised."""
    line = FORMATS[name].example
    at_, size = data.draw(st.integers(0, len(line))), data.draw(st.integers(0, 40))
    odd = line[:at_] + data.draw(st.text(max_size=20)) + line[at_ + size :]
    entry = entry_of(FORMATS[name], odd, 1)
    assert entry is None or isinstance(entry, Entry)


def test_a_log_is_known_by_its_lines(tmp_path: Path) -> None:
    lines = [
        "#Version: 1.0",
        FORMATS["Envoy"].example,
        "something else",
        FORMATS["Envoy"].example.replace("10:00", "11:00"),
    ]
    path = tmp_path / "log.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    log = read(str(path), lambda entry: entry.line > 2)
    assert (log.kind, log.lines, log.unknown, [entry.line for entry in log.entries]) == ("Envoy", 3, 1, [4])
    assert log.covers(at("2026-11-28T10:30:00"))
    assert not log.covers(at("2026-11-28T12:30:00"))


@pytest.mark.parametrize(("text", "said"), [("what is this\x1b[2J\n", "it begins: what is this"), ("", "(nothing)")])
def test_what_is_no_access_log_is_quoted(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(text)
    with pytest.raises(InputError, match="no access log that is known") as error:
        read(str(path), lambda _: True)
    assert said in str(error.value)
    assert "\x1b" not in str(error.value)
    with pytest.raises(InputError, match="No such file"):
        read(str(tmp_path / "nowhere"), lambda _: True)


@pytest.mark.parametrize(
    ("name", "number"),
    [("ALB", "41234"), ("ALB", "200 200"), ("Envoy", "363600"), ("HAProxy", "363600"), ("nginx or Apache", "366")],
)
@pytest.mark.parametrize("odd", ["\u00b2\u00b2", "\u0663\u0663\u0663", "9" * 5000, "9" * 400 + ".5", "-"])
def test_odd_numbers_cost_no_other_line(name: str, number: str, odd: str, tmp_path: Path) -> None:
    """Digits that int(3) does not take, or takes for a number of thousands of places."""
    example = FORMATS[name].example
    path = tmp_path / "access.log"
    path.write_text("\n".join([example, example.replace(number, odd), example]) + "\n")
    log = read(str(path), lambda _entry: True)
    assert [entry.line for entry in log.entries if entry.line != 2] == [1, 3]
    assert log.unknown == 3 - len(log.entries)
