"""Waits by design: who has subscribed, or asked for the next item with no limit, is owed nothing."""

from __future__ import annotations

import struct

import pytest

from systrace.model import Input
from systrace.pipeline import analyze


def resp(*words: str) -> bytes:
    """A command of Redis."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word.encode()) for word in words)


def pg(kind: bytes, body: bytes) -> bytes:
    """A message of PostgreSQL."""
    return kind + struct.pack("!I", len(body) + 4) + body


READY = pg(b"Z", b"I")
LOGIN = [b"\0\0\0\x1b\0\3\0\0user\0u\0database\0d\0\0", pg(b"R", b"\0\0\0\0") + READY]
MQTT = [b"\x10\x0f\0\4MQTT\4\2\0\x3c\0\3job", b"\x20\2\0\0", b"\x82\x0b\0\1\0\6shop/#\0"]
SUBSCRIBED = b"*3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1\r\n"
DESIGN = {  # what was sent and received, in turns
    "BRPOP 0": (6379, [resp("BRPOP", "jobs", "0")]),
    "BLMPOP 0": (6379, [resp("BLMPOP", "0", "1", "jobs", "LEFT")]),
    "XREAD BLOCK 0": (6379, [resp("XREAD", "COUNT", "10", "BLOCK", "0", "STREAMS", "s", "$")]),
    "SUBSCRIBE": (6379, [resp("SUBSCRIBE", "ch"), SUBSCRIBED]),
    "an answered PING": (6379, [resp("PING"), b"+PONG\r\n"]),
    "MQTT": (1883, [*MQTT, b"\x90\3\0\1\0"]),
    "LISTEN": (5432, [*LOGIN, pg(b"Q", b"LISTEN jobs\0"), pg(b"C", b"LISTEN\0") + READY]),
    "IMAP IDLE": (143, [b"", b"* OK ready\r\n", b"a IDLE\r\n", b"+ idling\r\n"]),
}
HANGS = {
    "GET": (6379, [resp("GET", "jobs")]),
    "BRPOP with a limit": (6379, [resp("BRPOP", "jobs", "2")]),
    "a key called 0": (6379, [resp("GET", "0")]),
    "XREAD BLOCK with a limit": (6379, [resp("XREAD", "BLOCK", "2000", "STREAMS", "s", "$")]),
    "SUBSCRIBE without its answer": (6379, [resp("SUBSCRIBE", "ch")]),
    "MQTT without SUBACK": (1883, MQTT),
    "SELECT": (5432, [*LOGIN, pg(b"Q", b"SELECT 1\0")]),
    "SELECT after LISTEN": (
        5432,
        [*LOGIN, pg(b"Q", b"LISTEN jobs\0"), pg(b"C", b"LISTEN\0") + READY, pg(b"Q", b"SELECT 1\0")],
    ),
}


def outcome(port: int, turns: list[bytes], end: str) -> str:
    """Of a client that said and heard these, and then waits for 400 s."""
    lines = [
        "9 1700000000.000 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.0001>",
        f'9 1700000000.100 connect(3, {{sa_family=AF_INET, sin_port=htons({port}), sin_addr=inet_addr("192.0.2.7")}}, 16) = 0 '
        "<0.01>",
    ]
    for number, data in enumerate(turns):
        text = "".join(f"\\x{byte:02x}" for byte in data)
        at, size = f"9 1700000001.{number:03}", len(data)
        if size:
            way = f'recvfrom(3, "{text}", 9999' if number % 2 else f'sendto(3, "{text}", {size}'
            lines.append(f"{at} {way}, 0, NULL, {'NULL' if number % 2 else '0'}) = {size} <0.0001>")
    lines.append("9 1700000002.000 recvfrom(3, 0x5, 9999, 0, NULL, NULL) = ? ERESTARTSYS (To be restarted) <400.0>")
    lines.append("9 1700000402.000 --- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=1, si_uid=0} ---")
    lines.append(f"9 1700000402.100 +++ {end} +++")
    return analyze([Input("t", [line.encode() for line in lines])]).verdict.outcome


@pytest.mark.parametrize("kind", DESIGN)
def test_a_wait_by_design_is_no_hang(kind: str) -> None:
    assert outcome(*DESIGN[kind], "killed by SIGTERM") != "hung"


@pytest.mark.parametrize("kind", HANGS)
def test_what_is_owed_and_does_not_come_is_one(kind: str) -> None:
    assert outcome(*HANGS[kind], "killed by SIGTERM") == "hung"
