"""PostgreSQL and MariaDB, asked by their own clients; what we decode must be what the clients reported."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from systrace.messages.replies import Greeting, Reply, Request, ServerError
from systrace.model import Message
from tests.decoders.relay import Relay
from tests.decoders.servers import decoded, directory, free_port, needs, run, serving

pytestmark = pytest.mark.real


def errors(messages: list[Message]) -> list[ServerError]:
    """All refusals."""
    return [message for message in messages if isinstance(message, ServerError)]


def unanswered(messages: list[Message]) -> list[str]:
    """Requests whose answer is missing."""
    return [message.summary for message in messages if isinstance(message, Request) and message.unanswered]


@pytest.fixture(name="postgres", scope="module")
def start_postgres() -> Iterator[int]:
    with directory("nobody") as home:
        made = run("initdb", "-D", f"{home}/data", "-U", "job", "-A", "trust", "--no-sync", user="nobody")
        assert made.returncode == 0, made.stderr
        rules = "host all guarded 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n"
        Path(home, "data/pg_hba.conf").write_text(rules)
        port = free_port()
        options = ["max_connections=3", "superuser_reserved_connections=0", "max_wal_senders=0", "fsync=off"]
        argv = ["postgres", "-D", f"{home}/data", "-p", str(port), "-h", "127.0.0.1", "-k", str(home)]
        argv += [word for option in options for word in ("-c", option)]
        with serving(argv, port, home / "log", "nobody"):
            assert psql(port, "create user guarded password 's3cret-word'") == (0, "CREATE ROLE\n", "")
            yield port


def psql(port: int, *commands: str, user: str = "job", database: str = "postgres") -> tuple[int, str, str]:
    """(status, output, errors) of psql."""
    words = [word for command in commands for word in ("-c", command)]
    argv = ["psql", "-X", "-A", "-t", "-h", "127.0.0.1", "-p", str(port), "-U", user, "-d", database, *words]
    done = run(*argv, env={"PGPASSWORD": "s3cret-word"})
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(name="mariadb", scope="module")
def start_mariadb() -> Iterator[int]:
    with directory("nobody") as home:
        made = run(
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={home}/data",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            user="nobody",
        )
        assert made.returncode == 0, made.stderr + made.stdout
        port = free_port()
        argv = ["mariadbd", "--no-defaults", f"--datadir={home}/data", f"--port={port}", f"--socket={home}/socket"]
        argv += ["--bind-address=127.0.0.1", "--max-connections=10", "--skip-name-resolve"]
        with serving(argv, port, home / "log", "nobody"):
            yield port


def ask(port: int, sql: str, *more: str) -> tuple[str, str]:
    """(output, errors) of the client."""
    argv = [
        "mariadb",
        "--no-defaults",
        "-N",
        "-h",
        "127.0.0.1",
        "-P",
        str(port),
        "-u",
        "root",
        "-f",
        "-e",
        sql,
        *more,
    ]
    done = run(*argv)
    return done.stdout, done.stderr


@needs("postgres", "initdb", "psql")
class TestPostgres:
    """PostgreSQL, with at most three connections and a user who needs a password."""

    @pytest.mark.parametrize("step", [0, 1, 7])
    def test_rows(self, postgres: int, step: int) -> None:
        with Relay(postgres) as relay:
            _, output, _ = psql(relay.port, "select * from generate_series(1, 2000)", "select 1 where false")
            messages = decoded(relay.conversation(), "postgres", step)
        assert output.count("\n") == 2000
        replies = [message.summary for message in messages if isinstance(message, Reply)]
        assert replies[:2] == ["GSS encryption refused", "TLS refused"] or replies[0] == "TLS refused"
        assert replies[-2:] == ["SELECT 2000 (2000 rows)", "SELECT 0"]
        assert any(
            (isinstance(m, Greeting) and m.text.startswith("15.")) or m.summary.startswith("ready:") for m in messages
        )
        assert not errors(messages)
        assert not unanswered(messages)

    def test_a_failed_statement(self, postgres: int) -> None:
        with Relay(postgres) as relay:
            status, _, said = psql(relay.port, "select 1/0", "select 7")
            messages = decoded(relay.conversation(), "postgres")
        assert status == 0
        (error,) = errors(messages)
        assert (error.code, error.text) == ("22012", "division by zero")
        assert error.text in said
        assert error.request is not None
        assert error.request.summary == "query: select 1/0"
        assert messages[-2].summary == "SELECT 1 (1 row)"

    def test_no_such_database(self, postgres: int) -> None:
        with Relay(postgres) as relay:
            _, _, said = psql(relay.port, "select 1", database="nope")
            (error,) = errors(decoded(relay.conversation(), "postgres"))
        assert error.code == "3D000"
        assert error.text in said

    def test_too_many_connections(self, postgres: int) -> None:
        words = b"user\x00job\x00database\x00postgres\x00\x00"
        startup = struct.pack(">II", len(words) + 8, 196608) + words
        with contextlib.ExitStack() as held:
            for _ in range(3):
                one = held.enter_context(socket.create_connection(("127.0.0.1", postgres)))
                one.sendall(startup)
                assert one.recv(1) == b"R"
            with Relay(postgres) as relay:
                _, _, said = psql(relay.port, "select 1")
                (error,) = errors(decoded(relay.conversation(), "postgres"))
        assert error.code == "53300"
        assert error.text in said

    def test_passwords_stay_secret(self, postgres: int) -> None:
        with Relay(postgres) as relay:
            status, _, _ = psql(
                relay.port, "alter user guarded password 's3cret-word'", user="guarded", database="postgres"
            )
            messages = decoded(relay.conversation(), "postgres")
        assert status == 0
        assert "authentication data" in [message.summary for message in messages]
        assert not any("s3cret" in message.summary for message in messages)
        assert not unanswered(messages)

    def test_an_answer_that_breaks_off(self, postgres: int) -> None:
        with Relay(postgres) as relay:
            psql(relay.port, "select * from generate_series(1, 50)")
            said = relay.conversation()
        row = next(i for i, (client, data, _) in enumerate(said) if not client and b"generate_series" in data)
        short = [*said[:row], (False, said[row][1][:301], 0)]
        last = [message.summary for message in decoded(short, "postgres") if not message.complete]
        assert len(last) == 2
        assert last[0].startswith("row: ")
        assert "not completed" in last[1]


@needs("mariadbd", "mariadb-install-db", "mariadb")
class TestMariaDb:
    """MariaDB, with at most ten connections."""

    @pytest.mark.parametrize("step", [0, 1, 7])
    def test_rows(self, mariadb: int, step: int) -> None:
        sql = "select seq from mysql.seq_1_to_2000; select 1 from dual where 1 = 0; set @a = 1; show databases"
        with Relay(mariadb) as relay:
            output, _ = ask(relay.port, sql)
            messages = decoded(relay.conversation(), "mysql", step)
        greeting = next(message for message in messages if isinstance(message, Greeting))
        assert "MariaDB" in greeting.text
        replies = [message.summary for message in messages if isinstance(message, Reply)]
        assert replies[-4:] == ["2000 rows", "0 rows", "OK", f"{output.count(chr(10)) - 2000} rows"]
        assert not unanswered(messages)
        assert "query: show databases" in [message.summary for message in messages]

    @pytest.mark.parametrize(("sql", "code"), [("selekt 1", "1064"), ("select * from mysql.nope", "1146")])
    def test_refusals(self, mariadb: int, sql: str, code: str) -> None:
        with Relay(mariadb) as relay:
            _, said = ask(relay.port, sql)
            messages = decoded(relay.conversation(), "mysql")
        (error,) = errors(messages)
        assert error.code == code
        assert error.text[:60] in said
        assert not unanswered(messages)

    def test_access_denied(self, mariadb: int) -> None:
        with Relay(mariadb) as relay:
            _, said = ask(relay.port, "select 1", "-u", "stranger", "-ps3cret-word")
            messages = decoded(relay.conversation(), "mysql")
        (error,) = errors(messages)
        assert error.code == "1045"
        assert error.text in said
        assert "login: user stranger" in [message.summary for message in messages]

    def test_too_many_connections(self, mariadb: int) -> None:
        with contextlib.ExitStack() as held:
            for _ in range(11):  # one more than allowed, for an administrator
                held.enter_context(socket.create_connection(("127.0.0.1", mariadb))).recv(1)
            with Relay(mariadb) as relay:
                _, said = ask(relay.port, "select 1")
                (error,) = errors(decoded(relay.conversation(), "mysql"))
        assert (error.code, error.text) == ("1040", "Too many connections")
        assert "Too many connections" in said

    def test_tls_is_handed_over(self, mariadb: int) -> None:
        login = b"\x20\x00\x00\x01\x85\xae\xff\x00\x00\x00\x00\x01\x21" + bytes(23)
        with Relay(mariadb) as relay, socket.create_connection(("127.0.0.1", relay.port)) as client:
            client.recv(4096)
            client.sendall(login + b"\x16\x03\x01")
            client.shutdown(socket.SHUT_WR)
            while client.recv(4096):
                pass
            messages = decoded(relay.conversation(), "mysql", handed_over=True)
        assert messages[-1].summary == "asks for TLS"
