"""RabbitMQ, asked by rabbitmq-c's programs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from systrace.messages.replies import Request, ServerError
from systrace.model import Message
from tests.decoders.relay import Relay
from tests.decoders.servers import PATH, decoded, directory, free_port, needs, run, serving

pytestmark = [pytest.mark.real, needs("rabbitmq-server", "amqp-publish", "amqp-get", "amqp-declare-queue")]


@pytest.fixture(name="rabbitmq", scope="module")
def start_rabbitmq() -> Iterator[int]:
    """A node of its own, without plug-ins; the user is guest."""
    with directory("rabbitmq") as home:
        port, distribution, names = free_port(), free_port(), free_port()
        Path(home, "conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{port}\nlog.console = true\nlog.console.level = error\n"
        )
        Path(home, "plugins").write_text("[].\n")
        values = {
            "HOME": str(home), "RABBITMQ_NODENAME": f"test{port}@localhost", "RABBITMQ_MNESIA_BASE": f"{home}/data",
            "RABBITMQ_LOG_BASE": f"{home}/logs", "RABBITMQ_CONFIG_FILE": f"{home}/conf",
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{home}/plugins", "RABBITMQ_PID_FILE": f"{home}/pid",
            "ERL_EPMD_PORT": str(names), "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1",
        }  # fmt: skip
        server = ["env", *(f"{key}={value}" for key, value in values.items()), "/usr/lib/rabbitmq/bin/rabbitmq-server"]
        try:
            with serving(server, port, home / "log", "rabbitmq"):
                yield port
        finally:
            run("epmd", "-port", str(names), "-kill")  # a daemon that the node has started


def amqp(port: int, program: str, *words: str, text: str = "", vhost: str = "/") -> tuple[int, str, str]:
    """(status, output, errors) of one of the programs."""
    where = ["-s", "127.0.0.1", f"--port={port}", f"--vhost={vhost}"]
    done = subprocess.run(
        [program, *where, *words], input=text, text=True, capture_output=True, timeout=60, check=False,
        env={**os.environ, "PATH": PATH, "LC_ALL": "C"},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def unanswered(messages: list[Message]) -> list[str]:
    """Requests whose answer is missing."""
    return [message.summary for message in messages if isinstance(message, Request) and message.unanswered]


@pytest.mark.parametrize("step", [0, 1, 13])
def test_a_message_there_and_back(rabbitmq: int, step: int) -> None:
    said = []
    body = "report\n" * 3000
    name = f"job{step}"
    with Relay(rabbitmq) as relay:
        assert amqp(relay.port, "amqp-declare-queue", "-q", name)[0] == 0
        said.append(relay.conversation())
        assert amqp(relay.port, "amqp-publish", "-r", name, text=body)[0] == 0
        said.append(relay.conversation())
        assert amqp(relay.port, "amqp-get", "-q", name)[:2] == (0, body)
        said.append(relay.conversation())
    declared, published, got = (decoded(one, "amqp", step) for one in said)
    for messages in (declared, published, got):
        assert not [m for m in messages if isinstance(m, ServerError)]
        assert not unanswered(messages)
        assert all(message.complete for message in messages)
        summaries = [message.summary for message in messages]
        assert any("start" in summary.lower() for summary in summaries)
        assert not any("guest" in summary and "PLAIN" in summary for summary in summaries)
    assert "queue.declare" in {message.summary.split()[0] for message in declared}
    assert f"basic.publish /{name}" in {message.summary for message in published}
    assert [m.summary for m in got if "get" in m.summary] == [f"basic.get {name}", "basic.get-ok"]


def test_no_such_queue(rabbitmq: int) -> None:
    with Relay(rabbitmq) as relay:
        status, _, said = amqp(relay.port, "amqp-get", "-q", "nowhere")
        messages = decoded(relay.conversation(), "amqp")
    (error,) = (m for m in messages if isinstance(m, ServerError))
    assert status == 1
    assert error.code == "404"
    assert error.text in said


def test_no_such_virtual_host(rabbitmq: int) -> None:
    with Relay(rabbitmq) as relay:
        _, _, said = amqp(relay.port, "amqp-get", "-q", "job0", vhost="elsewhere")
        messages = decoded(relay.conversation(), "amqp")
    (error,) = (m for m in messages if isinstance(m, ServerError))
    assert error.code == "530"
    assert error.text[:30] in said


def test_passwords_stay_secret(rabbitmq: int) -> None:
    with Relay(rabbitmq) as relay:
        amqp(relay.port, "amqp-get", "-q", "job0", "--username=guest", "--password=s3cret-word")
        messages = decoded(relay.conversation(), "amqp")
    assert not any("s3cret" in message.summary for message in messages)
    assert any(isinstance(m, ServerError) and m.code == "403" for m in messages)
