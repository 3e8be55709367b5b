"""Mosquitto, asked by its own clients."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from systrace.messages.replies import Request, ServerError
from tests.decoders.relay import Relay
from tests.decoders.servers import decoded, directory, free_port, needs, run, serving

pytestmark = [pytest.mark.real, needs("mosquitto", "mosquitto_passwd", "mosquitto_pub", "mosquitto_sub")]


@pytest.fixture(name="mosquitto", scope="module")
def start_mosquitto() -> Iterator[int]:
    """A broker that knows one user, who may not read what is below "closed"."""
    with directory() as home:
        port = free_port()
        Path(home, "acl").write_text("user job\ntopic readwrite open/#\n")
        Path(home, "acl").chmod(0o600)
        run("mosquitto_passwd", "-b", "-c", f"{home}/users", "job", "s3cret-word")
        Path(home, "conf").write_text(
            f"listener {port} 127.0.0.1\nallow_anonymous false\nuser root\n"
            f"password_file {home}/users\nacl_file {home}/acl\n"
        )
        with serving(["mosquitto", "-c", f"{home}/conf"], port, home / "log"):
            yield port


@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize("version", ["mqttv31", "mqttv311", "mqttv5"])
def test_a_message_there_and_back(mosquitto: int, version: str, step: int) -> None:
    with Relay(mosquitto) as relay:
        to = ["-h", "127.0.0.1", "-p", str(relay.port), "-V", version, "-u", "job", "-P", "s3cret-word", "-t", "open/a"]
        assert run("mosquitto_pub", *to, "-q", "1", "-r", "-m", "report " * 400).returncode == 0
        published = decoded(relay.conversation(), "mqtt", step)
        assert run("mosquitto_sub", *to, "-C", "1", "-q", "2").returncode == 0
        received = decoded(relay.conversation(), "mqtt", step)
    assert [m.summary.split(",")[0].split()[0] for m in published] == [
        "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "DISCONNECT",
    ]  # fmt: skip
    assert "PUBLISH open/a" in [m.summary for m in received if m.direction == "received"]
    for messages in (published, received):
        assert not any(isinstance(m, ServerError) for m in messages)
        assert not any(m.unanswered for m in messages if isinstance(m, Request))
        assert not any("s3cret" in m.summary for m in messages)


@pytest.mark.parametrize(("version", "code"), [("mqttv311", "5 NOT_AUTHORIZED"), ("mqttv5", "0x87 NOT_AUTHORIZED")])
def test_refusals(mosquitto: int, version: str, code: str) -> None:
    with Relay(mosquitto) as relay:
        to = ["-h", "127.0.0.1", "-p", str(relay.port), "-V", version, "-u", "job", "-P", "wrong", "-t", "open/a"]
        assert run("mosquitto_pub", *to, "-m", "x").returncode != 0
        assert decoded(relay.conversation(), "mqtt")[-1].summary == f"CONNACK {code}"


def test_a_topic_that_is_closed(mosquitto: int) -> None:
    with Relay(mosquitto) as relay:
        to = ["-h", "127.0.0.1", "-p", str(relay.port), "-V", "mqttv5", "-u", "job", "-P", "s3cret-word"]
        assert run("mosquitto_pub", *to, "-t", "closed/a", "-q", "1", "-m", "x").returncode == 0
        assert "PUBACK 0x87 NOT_AUTHORIZED" in [m.summary for m in decoded(relay.conversation(), "mqtt")]
