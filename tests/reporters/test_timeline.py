"""One socket call by call."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from systrace.errors import UsageError
from systrace.model import Analysis
from systrace.reporters.layout import Layout
from systrace.reporters.views.timeline import timeline

Analyse = Callable[..., Analysis]


def lines_of(analysis: Analysis, uid: str = "S1", width: int = 120) -> list[str]:
    out = io.BytesIO()
    timeline(analysis, uid, out, Layout(width))
    return out.getvalue().decode().splitlines()


def test_calls_in_order_with_gap(hung: Analysis) -> None:
    lines = lines_of(hung)
    assert lines[0].startswith("S1: inet stream, 192.0.2.20:80; used by fetch[9] fd 4; 18 B out, 0 B in")
    calls = [line.split() for line in lines if line[:13].strip().replace(".", "").isdigit()]
    assert [(call[0], call[2]) for call in calls] == [
        ("0.100000", "socket"),
        ("0.200000", "connect"),
        ("0.300000", "setsockopt"),
        ("5.300000", "sendto"),
        ("5.400000", "recvfrom"),
    ]
    gap = next(at for at, line in enumerate(lines) if "no call on this socket for 5.0 s" in line)
    assert "sendto" in lines[gap + 1]
    assert '"GET / HTTP/1.0\\r\\n\\r\\n"' in lines[gap + 1]
    assert "ERESTARTSYS" in lines[gap + 2]
    assert "60.0 s" in lines[gap + 2]


def test_a_socket_that_still_waits(analyse: Analyse, logs: dict[str, str]) -> None:
    head = "\n".join(logs["hung"].splitlines()[:5])
    log = head + "\n9 1700000105.400000 recvfrom(4, \n"
    lines = lines_of(analyse(log, "S1"))
    assert any("and here the log ends: still waiting to read" in line for line in lines)


def test_payload_commands_no_terminal(analyse: Analyse) -> None:
    log = (
        '9 1700000001.000 connect(3, {sa_family=AF_INET, sin_port=htons(7), sin_addr=inet_addr("192.0.2.1")}, 16) '
        "= 0 <0.1>\n"
        '9 1700000001.200 sendto(3, "\\33[2J\\33]0;x\\7\\342\\200\\256", 14, 0, NULL, 0) = 14 <0.1>\n'
    )
    for width in (60, 200):
        text = "".join(lines_of(analyse(log, "S1"), width=width))
        assert text.isprintable()
    assert '"\\x1b[2J\\x1b]0;x\\x07\\u{202e}"' in text


def test_an_unknown_socket_is_an_error_that_names_the_known(hung: Analysis) -> None:
    with pytest.raises(UsageError, match=r"no socket S9: this log has S1"):
        lines_of(hung, "S9")


def test_a_log_without_clock_counts_lines(analyse: Analyse) -> None:
    log = 'connect(3, {sa_family=AF_INET, sin_port=htons(7), sin_addr=inet_addr("192.0.2.1")}, 16) = 0\nclose(3) = 0\n'
    lines = lines_of(analyse(log, "S1"))
    assert any(line.startswith("line        1") and "connect" in line for line in lines)
