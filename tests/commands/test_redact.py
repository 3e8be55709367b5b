"""`systrace redact`: a recording that may be passed on."""

from __future__ import annotations

import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from systrace.masking.names import Names
from systrace.masking.recording import Redaction
from systrace.model import Analysis, Input
from systrace.pipeline import analyze
from systrace.rules import RULES
from systrace.rules.pages import full_trace
from tests.masking.planted import PLANTS, planted


def redact(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "systrace", "redact", *map(str, words)], capture_output=True, text=True, timeout=60
    )


def redacted(log: str, names: bool = False) -> list[bytes]:
    lines = log.encode().splitlines(keepends=True)
    redaction = Redaction(Names() if names else None)
    redaction.learn(lines)
    return list(redaction.redacted(lines))


def verdict(lines: list[bytes]) -> tuple[object, ...]:
    analysis: Analysis = analyze([Input("x", lines)])
    sizes = [(s.sent.original_len, s.received.original_len, s.app_protocol) for s in analysis.evidence.sockets.values()]
    findings = [(f.cause, f.variant, f.severity, f.socket) for f in analysis.findings]
    return analysis.verdict.outcome, analysis.verdict.cause, findings, sizes, analysis.evidence.health.unparsed


def test_no_secret_is_left_and_the_verdict_stays(tmp_path: Path) -> None:
    log, out = tmp_path / "job.strace", tmp_path / "clean.strace"
    log.write_text(planted(20))
    done = redact(log, "-o", out)
    assert done.returncode == 0, done.stderr
    assert re.search(r"\d+ lines, \d+ secrets masked", done.stderr)
    text = out.read_text()
    assert not [secret for secret in PLANTS.secrets if secret in text]
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    before, after = (verdict(path.read_bytes().splitlines(keepends=True)) for path in (log, out))
    assert before == after
    assert redact(log, "-o", out).returncode == 2
    assert redact(log, "-o", out, "--force").returncode == 0


@pytest.mark.parametrize("cause", list(RULES))
@pytest.mark.parametrize("names", [False, True])
def test_every_rule_finds_the_same(cause: str, names: bool) -> None:
    log = full_trace(RULES[cause].fires)
    assert verdict(redacted(log, names))[:3] == verdict(log.encode().splitlines(keepends=True))[:3]


def test_names() -> None:
    names = Names()
    line = b'connect(3, {sin_port=htons(443), sin_addr=inet_addr("10.1.2.3")}, 16) = 0'
    line += b'"Host: api.partner.com\\r\\n" /home/' + b"joe/x.py"
    shown = names(line)
    assert not re.search(rb"10\.1\.2\.3|partner|joe", shown)
    assert b"htons(443)" in shown
    assert b'inet_addr("192.0.2.1")' in shown
    assert shown == names(line)
    assert names(b"127.0.0.1 ::1 libc.so.6 /tmp/a.json") == b"127.0.0.1 ::1 libc.so.6 /tmp/a.json"
    assert len(names(b"api.partner.com")) == len(b"api.partner.com")


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (
            r'"GET http://api.partner.com/x\r\n\r\napi.partner.com"',
            r'"GET http://host1xxxxxx.exa/x\r\n\r\nhost1xxxxxx.exa"',
        ),
        (r'"joe@mail.partner.com"', r'"us1@host2xxxxxxx.exa"'),
        (r'"\n10.1.2.3\n"', r'"\n192.0.2.1\n"'),
        (r'"\0\17api.partner.com\0"', r'"\0\17host1xxxxxx.exa\0"'),  # a server's name in a ClientHello
        (r'"\1\0\0\3api\7partner\3com\0\0\1"', r'"\1\0\0\013host1xxxxxx\003exa\0\0\1"'),  # a question of DNS
        (r'"\x61\x70\x69\x2e\x70\x61\x72\x74\x6e\x65\x72\x2e\x63\x6f\x6d"', '"host1xxxxxx.exa"'),  # -xx
        (
            "3<TCPv6:[[::ffff:10.1.2.3]:4000->[2a00:1450::7]:443]>",
            "3<TCPv6:[[::ffff:192.0.2.1]:4000->[2001:db8::2]:443]>",
        ),
        ("3<TCP:[10.1.2.3:4000->10.1.2.4:443]>", "3<TCP:[192.0.2.1:4000->192.0.2.2:443]>"),
        ('"/home/joe/x.py:/Users/joe:/run/user/joe"', '"/home/us1/x.py:/Users/us1:/run/user/us1"'),
        ('# systrace: {"host": "batch7", "user": "joe"}', '# systrace: {"host": "host1x", "user": "us1"}'),
        (
            r'"\177ELF\2\1" libc.so.6 /usr/lib/x86_64/libc.so.6 1.5',
            r'"\177ELF\2\1" libc.so.6 /usr/lib/x86_64/libc.so.6 1.5',
        ),
    ],
)
def test_names_in_all_forms(line: str, shown: str) -> None:
    names = Names()
    if "api" in line or "mail" in line or r"\x61" in line:
        names(b'"api.partner.com"')
    assert names(line.encode()).decode() == shown


def test_thousands_of_addresses_stay_apart() -> None:
    names = Names()
    shown = {names(b"10.%d.%d.%d" % (n >> 16, n >> 8 & 255, n & 255)) for n in range(3000)}
    assert len(shown) == 3000
    assert shown <= {names(b"10.%d.%d.%d" % (n >> 16, n >> 8 & 255, n & 255)) for n in range(3000)}


def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "x.txt"
    text.write_text("DB_PASSWORD=abcdefgh and more\n")
    done = redact(text, "-o", tmp_path / "o")
    assert done.returncode == 2
    assert "it begins with" in done.stderr
    assert "abcdefgh" not in done.stderr
    assert redact("-", "-o", tmp_path / "o").returncode == 2
    assert not (tmp_path / "o").exists()
