"""`systrace follow` on real recordings of curl and jq."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands.http_server import BIG, CHUNKS, HTML, JSON_CUT, MISSING, REASON, recorded, serving

pytestmark = [pytest.mark.real, pytest.mark.skipif(bool(MISSING), reason=REASON)]


def systrace(*words: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "systrace", *map(str, words)],
        input=stdin,
        capture_output=True,
        timeout=60,
        env={**os.environ, "COLUMNS": "200"},
    )


def socket_of(log: Path, kind: str = "S") -> str:
    """The one conversation with the server, as the command itself names it."""
    done = systrace("follow", log)
    assert (done.returncode, done.stdout) == (2, b"")
    text = done.stderr.decode()
    assert text.startswith("systrace: name a conversation by --socket: this log has ")
    return next(word for word in text.split() if word[0] == kind and word[1:].isdigit())


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving() as url:
        yield url


@pytest.fixture(scope="module")
def curled(server: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three requests on one connection, wholly recorded."""
    urls = [f"{server}/chunked?token=abcdef", f"{server}/gzip", f"{server}/nothing"]
    path = tmp_path_factory.mktemp("logs") / "curl.strace"
    return recorded(path, "curl", "-s", "--compressed", "-u", "joe:sekrit123", *urls)


def test_a_conversation_with_its_secrets_hidden(curled: Path) -> None:
    done = systrace("follow", curled, "--socket", socket_of(curled))
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode()
    lines = text.splitlines()
    assert [line.split()[:2] for line in lines if line.startswith("#")] == [[f"#{n}", "<>"[n % 2]] for n in range(1, 7)]
    assert "> GET /chunked?token=*2**** HTTP/1.1" in lines
    for begin in ("> Authorization: Basic *", "< Set-Cookie: *", '<  "password": "*'):
        assert any(line.startswith(begin) for line in lines), begin
    assert f"< {JSON_CUT.decode()}" in lines
    assert f"< {HTML.decode().strip()}" in lines
    assert not any(secret in text for secret in ("abcdef", "verysecret", "hunter2", "am9lOnNla3JpdDEyMw"))
    shown = systrace("follow", curled, "--socket", socket_of(curled), "--show-secrets").stdout.decode()
    assert all(secret in shown for secret in ("abcdef", "verysecret", "hunter2", "am9lOnNla3JpdDEyMw"))


def test_hexdump(curled: Path) -> None:
    text = systrace("follow", curled, "--socket", socket_of(curled), "--hex").stdout.decode()
    assert "> 00000000  47 45 54 20 2f 63 68 75  6e 6b 65 64 3f 74 6f 6b  |GET /chunked?tok|" in text
    assert "3d ** ** ** ** ** ** 20" in text.replace("  ", " ")
    assert "|en=*2**** HTTP/1|" in text


def test_saved_bodies_are_what_the_job_was_given(curled: Path, tmp_path: Path) -> None:
    uid, file = socket_of(curled), tmp_path / "body"
    file.write_bytes(b"longer than what comes: " * 20)
    file.chmod(0o644)
    done = systrace("follow", curled, "--socket", uid, "--save-body", file)
    assert (done.returncode, done.stdout, file.read_bytes()) == (0, b"", HTML)
    assert b"body of #6, the answer 502, 44 bytes as they were, secrets included" in done.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for number, body in ((2, b"".join(CHUNKS)), (4, JSON_CUT)):
        done = systrace("follow", curled, "--socket", uid, "--save-body", file, "--message", str(number))
        assert (done.returncode, file.read_bytes()) == (0, body)
    done = systrace("follow", curled, "--socket", uid, "--save-body", file, "--message", "1")
    assert (done.returncode, done.stderr) == (2, b"systrace: message #1 has no body\n")


def test_a_large_body_is_whole(server: str, tmp_path: Path) -> None:
    log = recorded(tmp_path / "big.strace", "curl", "-s", "-o", "/dev/null", f"{server}/big", strings=1 << 20)
    file = tmp_path / "body"
    assert systrace("follow", log, "--socket", socket_of(log), "--save-body", file).returncode == 0
    assert file.read_bytes() == BIG


def test_what_strace_cut_is_told(server: str, tmp_path: Path) -> None:
    log = recorded(tmp_path / "cut.strace", "curl", "-s", f"{server}/nothing", strings=32)
    uid = socket_of(log)
    text = systrace("follow", log, "--socket", uid).stdout.decode()
    assert "of which 32 are known in 1 call" in text
    assert "< HTTP/1.1 502 Bad Gateway" in text
    assert "bytes happened here and are not known: the log has no more of them (strace -s)" in text
    done = systrace("follow", log, "--socket", uid, "--save-body", tmp_path / "body")
    assert done.returncode == 2
    assert b"record it again with -s 65536" in done.stderr
    done = systrace("follow", log, "--socket", uid, "--save-body", tmp_path / "body", "--message", "2")
    assert done.returncode == 0
    assert b"are not known (strace -s): zeros stand in their place, at 32-" in done.stderr
    assert (tmp_path / "body").read_bytes().startswith(b"HTTP/1.1 502 Bad Gateway\r\n")


def test_a_pipe(server: str, tmp_path: Path) -> None:
    log = recorded(tmp_path / "pipe.strace", "sh", "-c", f"curl -s {server}/nothing | jq .")
    uid = socket_of(log, "P")
    text = systrace("follow", log, "--socket", uid).stdout.decode()
    assert text.startswith(f"{uid}: pipe, curl[")
    assert "] -> jq[" in text.splitlines()[0]
    assert f"< {HTML.decode().strip()}" in text.splitlines()
    file = tmp_path / "body"
    assert systrace("follow", log, "--socket", uid, "--save-body", file).returncode == 0
    assert file.read_bytes() == HTML
    assert subprocess.run(["jq", ".", file], capture_output=True).returncode != 0, "it chokes again"


def test_output_file_standard_input_and_bad_words(curled: Path, tmp_path: Path) -> None:
    uid, file = socket_of(curled), tmp_path / "text"
    assert systrace("follow", curled, "--socket", uid.lower(), "--output", file).stdout == b""
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    piped = systrace("follow", "-", "--socket", uid, stdin=curled.read_bytes())
    assert piped.stdout == file.read_bytes()
    for words in (["--socket", "S99"], ["--message", "1", "--socket", uid], [tmp_path / "text", "--socket", uid]):
        done = systrace("follow", curled, *words)
        assert (done.returncode, done.stdout) == (2, b"")
        assert done.stderr.startswith(b"systrace: ")
        assert done.stderr.count(b"\n") == 1


def test_the_report_does_not_change(curled: Path) -> None:
    """The default report stays short; its JSON has the transactions."""
    plain = systrace("parse", curled).stdout
    assert b"Requests" not in plain
    assert b"\nRequests\n" in systrace("parse", curled, "--requests").stdout
    report = json.loads(systrace("parse", curled, "--format", "json").stdout)
    assert [each["status"] for each in report["transactions"]] == [200, 200, 502]
