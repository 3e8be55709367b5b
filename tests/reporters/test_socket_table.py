"""Which sockets are shown, and how."""

from __future__ import annotations

from collections.abc import Callable

from systrace.model import Analysis
from systrace.reporters.layout import Layout
from systrace.reporters.views.socket_table import socket_table
from systrace.words import columns

Analyse = Callable[..., Analysis]


def test_columns(hung: Analysis) -> None:
    title, header, row = socket_table(hung, Layout(200))
    assert title == "Sockets"
    assert " ".join(header.split()) == "id peer who connect out in silence how it ended"
    assert " ".join(row.split()) == "S1 192.0.2.20:80 fetch[9] fd 4 30 ms 18 B 0 B 60.0 s waiting until SIGTERM"


def test_the_socket_of_the_verdict_is_first_and_the_healthy_are_counted(analyse: Analyse, logs: dict[str, str]) -> None:
    lines = socket_table(analyse(logs["many"] + logs["refused"].replace("9 17000001", "9 17000021")), Layout(200))
    assert lines[2].split()[0] == "S41"
    assert lines[2].endswith("refused")
    assert len(lines) == 2 + 12
    assert lines[0] == "Sockets (29 unremarkable: --all)"


def test_all(analyse: Analyse, logs: dict[str, str]) -> None:
    lines = socket_table(analyse(logs["many"]), Layout(200, everything=True))
    assert len(lines) == 2 + 40
    assert "--all" not in lines[-1]


def test_local_and_name_sockets_are_only_counted(analyse: Analyse) -> None:
    log = (
        "9 1700000001.000 socket(AF_UNIX, SOCK_STREAM, 0) = 3 <0.1>\n"
        '9 1700000001.200 connect(3, {sa_family=AF_UNIX, sun_path="/var/run/nscd/socket"}, 110) = -1 ENOENT <0.1>\n'
        "9 1700000001.300 close(3) = 0 <0.1>\n"
    )
    assert socket_table(analyse(log), Layout(200)) == ["1 socket, without anything remarkable: --all"]
    assert socket_table(analyse("9 1700000001.000 +++ exited with 0 +++\n"), Layout(200)) == []


def test_a_socket_that_only_asked_for_a_family_is_only_counted(analyse: Analyse) -> None:
    log = "9 1700000001.000 socket(AF_INET6, SOCK_DGRAM, 0) = 3 <0.1>\n9 1700000001.200 close(3) = 0 <0.1>\n"
    assert socket_table(analyse(log), Layout(200)) == ["1 socket, without anything remarkable: --all"]


def test_rows_fit_a_terminal_and_keep_port_and_descriptor(analyse: Analyse) -> None:
    log = (
        f'9 1700000001.000 execve("/opt/{"n" * 60}", ["{"n" * 60}"], 0x7 /* 1 vars */) = 0 <0.1>\n'
        "9 1700000001.000 socket(AF_INET6, SOCK_STREAM, 0) = 3 <0.1>\n"
        "9 1700000001.200 connect(3, {sa_family=AF_INET6, sin6_port=htons(5432), sin6_flowinfo=htonl(0), "
        'inet_pton(AF_INET6, "2001:db8:1111:2222:3333:4444:5555:6666", &sin6_addr), sin6_scope_id=0}, 28) '
        "= -1 ECONNREFUSED (x) <0.1>\n"
        "9 1700000001.300 +++ exited with 1 +++\n"
    )
    rows = socket_table(analyse(log), Layout(80, fitted=True))
    assert all(columns(row) <= 80 for row in rows)
    assert "5432" in rows[2]
    assert "fd 3" in rows[2]
