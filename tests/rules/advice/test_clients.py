"""Whose knob is named: the client of this socket, by its requests, its process's files or its name."""

from __future__ import annotations

import pytest

from systrace.model import Input
from systrace.pipeline import analyze
from systrace.rules.advice.clients import client_of
from systrace.rules.case.index import Case
from systrace.rules.examples import asks, connects
from systrace.rules.pages import full_trace

HTTP = "GET / HTTP/1.1\\r\\nHost: a\\r\\nUser-Agent: {}\\r\\n\\r\\n"
REDIS = "*2\\r\\n$4\\r\\nLLEN\\r\\n$1\\r\\na\\r\\n"


def named(said: str, *files: str, program: str = "job") -> str | None:
    """The client of a process that opened these files and said this."""
    opened = "".join(f'9 0.9 openat(AT_FDCWD, "{path}", O_RDONLY) = 4 <0.001>\n' for path in files)
    exec_ = f'9 0.8 execve("/usr/bin/{program}", ["{program}"], 0x7ffc) = 0 <0.001>\n'
    text = full_trace(exec_ + opened + connects("0 <0.01>") + asks(said))
    case = Case(analyze([Input("log", text.encode().splitlines(keepends=True))]).evidence)
    (socket,) = case.clients
    found = client_of(case, case.process(socket), socket)
    return found.name if found is not None else None


@pytest.mark.parametrize(
    ("said", "files", "program", "client"),
    [
        (HTTP.format("Python/3.11 aiohttp/3.9.1"), (), "python3", "aiohttp"),
        (HTTP.format("Go-http-client/1.1"), (), "job", "Go net/http"),
        (HTTP.format("x"), ("/usr/lib/dotnet/shared/8/System.Net.Http.dll",), "dotnet", ".NET HttpClient"),
        (REDIS, ("/v/requests/api.py", "/v/redis/__pycache__/connection.cpython-311.pyc"), "python3", "redis-py"),
        (
            HTTP.format("x"),
            ("/v/requests/api.py", "/v/redis/__pycache__/connection.cpython-311.pyc"),
            "python3",
            "requests/urllib3",
        ),
        (REDIS, ("/v/requests/api.py",), "python3", "Python"),
        ("x", ("/usr/lib/libpq.so.5",), "job", "libpq (PostgreSQL)"),
        ("x", ("/opt/app/postgresql-42.7.jar",), "java", "JDBC"),
        ("x", ("/app/node_modules/pg/lib/client.js",), "node", "node-postgres"),
        ("x", (), "job", None),
    ],
)
def test_the_client_of_a_socket(said: str, files: tuple[str, ...], program: str, client: str | None) -> None:
    assert named(said, *files, program=program) == client
