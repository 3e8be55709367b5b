"""Redis and memcached, asked by redis-cli and by hand."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

from systrace.messages.replies import Reply, Request, ServerError
from systrace.model import Message
from tests.decoders.relay import Relay
from tests.decoders.servers import decoded, directory, free_port, needs, run, serving

pytestmark = pytest.mark.real


@pytest.fixture(name="redis", scope="module")
def start_redis() -> Iterator[int]:
    """Redis with four connections at most; wants a password."""
    with directory("nobody") as home:
        port = free_port()
        argv = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(home), "--save", ""]
        argv += ["--requirepass", "s3cret-word", "--maxclients", "4"]
        with serving(argv, port, home / "log", "nobody"):
            yield port


@pytest.fixture(name="memcached", scope="module")
def start_memcached() -> Iterator[int]:
    """memcached with values of 1 MiB at most."""
    with directory("nobody") as home:
        port = free_port()
        with serving(["memcached", "-l", "127.0.0.1", "-p", str(port), "-U", "0"], port, home / "log", "nobody"):
            yield port


def exchange(port: int, request: bytes) -> bytes:
    """Send all, and read until the server has nothing more to say."""
    with socket.create_connection(("127.0.0.1", port), 30) as client:
        client.sendall(request)
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(65536), b""))


def errors(messages: list[Message]) -> list[ServerError]:
    """All refusals."""
    return [message for message in messages if isinstance(message, ServerError)]


def unanswered(messages: list[Message]) -> list[str]:
    """Requests whose answer is missing."""
    return [message.summary for message in messages if isinstance(message, Request) and message.unanswered]


@needs("redis-server", "redis-cli")
class TestRedis:
    """What redis-cli shows is what we decode."""

    @staticmethod
    def cli(port: int, *words: str, password: str = "s3cret-word") -> str:
        """Output of redis-cli."""
        return run("redis-cli", "-p", str(port), *words, env={"REDISCLI_AUTH": password}).stdout.strip()

    @pytest.mark.parametrize("words", [("SET", "report", "x" * 70_000), ("GET", "report"), ("HELLO", "3"), ("INFO",)])
    @pytest.mark.parametrize("step", [0, 1000])
    def test_answers(self, redis: int, words: tuple[str, ...], step: int) -> None:
        with Relay(redis) as relay:
            self.cli(relay.port, *words)
            messages = decoded(relay.conversation(), "redis", step)
        assert not errors(messages)
        assert not unanswered(messages)
        assert messages[0].summary == "AUTH"
        assert all(message.complete for message in messages)
        assert not any("s3cret" in message.summary for message in messages)

    def test_length_of_a_value(self, redis: int) -> None:
        with Relay(redis) as relay:
            self.cli(relay.port, "SET", "k", "x" * 70_000)
            self.cli(relay.port, "GET", "k")
            messages = decoded(relay.conversation(), "redis")
        assert messages[-1].summary == "value of 70000 bytes"

    @pytest.mark.parametrize(("words", "code"), [(("NOSUCH",), "ERR"), (("LPUSH", "text", "x"), "WRONGTYPE")])
    def test_refusals(self, redis: int, words: tuple[str, ...], code: str) -> None:
        self.cli(redis, "SET", "text", "1")
        with Relay(redis) as relay:
            said = self.cli(relay.port, *words)
            (error,) = errors(decoded(relay.conversation(), "redis"))
        assert error.code == code
        assert error.text[:50] in said

    def test_no_password(self, redis: int) -> None:
        with Relay(redis) as relay:
            said = self.cli(relay.port, "GET", "report", password="")
            error = errors(decoded(relay.conversation(), "redis"))[-1]
        assert error.code == "NOAUTH"
        assert error.text in said

    def test_too_many_clients(self, redis: int) -> None:
        with contextlib.ExitStack() as held:
            for _ in range(4):
                one = held.enter_context(socket.create_connection(("127.0.0.1", redis)))
                one.sendall(b"*2\r\n$4\r\nAUTH\r\n$11\r\ns3cret-word\r\n")
                if one.recv(1) == b"-":
                    break
            with Relay(redis) as relay:
                exchange(relay.port, b"")
                (error,) = errors(decoded(relay.conversation(), "redis"))
        assert error.text == "ERR max number of clients reached"


@needs("memcached")
class TestMemcached:
    """Every answer is told by the bytes that came."""

    @pytest.mark.parametrize("step", [0, 1])
    def test_answers(self, memcached: int, step: int) -> None:
        big = b"x" * 2000
        asked = (
            b"set k 0 60 2000\r\n"
            + big
            + b"\r\nget k nope\r\nget nope\r\ndelete k\r\nversion\r\nset n 0 0 1 noreply\r\n1\r\n"
        )
        with Relay(memcached) as relay:
            exchange(relay.port, asked)
            messages = decoded(relay.conversation(), "memcached", step)
        replies = [message.summary for message in messages if isinstance(message, Reply)]
        assert replies[:4] == ["STORED", "1 value, 2000 bytes", "no value", "DELETED"]
        assert replies[4].startswith("VERSION 1.")
        assert not unanswered(messages)

    def test_refusals(self, memcached: int) -> None:
        big = b"x" * 2_000_000
        with Relay(memcached) as relay:
            exchange(relay.port, b"get k\r\nset big 0 0 2000000\r\n" + big + b"\r\nset k 0 0 x\r\nincr nope y\r\n")
            found = errors(decoded(relay.conversation(), "memcached"))
        assert found[0].summary == "SERVER_ERROR object too large for cache"
        assert {error.code for error in found[1:]} == {"CLIENT_ERROR"}
