"""What people hand over instead of a log is named; what is not there but in work is found; commands are guessed."""

from __future__ import annotations

import gzip
import io
import json
import sqlite3
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from systrace.sources.foreign import binary, text

LOG = Path(__file__).parents[2] / "samples" / "hung-read" / "trace.strace"


def systrace(*words: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "systrace", *map(str, words)]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=60)
    assert b"Traceback" not in done.stderr
    return done


def archive() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.add(LOG, "trace.strace")
    return out.getvalue()


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.write(LOG, "trace.strace")  # stored: its lines are there in clear
    return out.getvalue()


def elf(kind: int) -> bytes:
    return b"\x7fELF\x02\x01\x01" + bytes(9) + kind.to_bytes(2, "little") + b"\0" * 5000 + b"\n"


FILES = {
    "pcap": (b"\xd4\xc3\xb2\xa1\x02\x00\x04\x00" + bytes(16) + b"\n" * 3, "a pcap capture (Wireshark, tcpdump)"),
    "pcapng": (b"\n\r\r\n\x1c\0\0\0\x4d\x3c\x2b\x1a" + bytes(20) + b"\n", "a pcapng capture (Wireshark, tcpdump)"),
    "tar": (archive(), "a tar archive: unpack it first"),
    "zip": (zipped(), "a zip archive: unpack it first"),
    "core": (elf(4), "a core dump (gdb reads it)"),
    "program": (elf(3), "a program or library (ELF)"),
    "perf": (b"PERFILE2h\0\0\0\n", "a recording of perf (perf script shows it)"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3\n", "a PDF document"),
    "html": (b"\n<!DOCTYPE html>\n<html><body>502 Bad Gateway</body></html>\n", "an HTML page"),
    "json": (b'{"error": "no such job"}\n', "JSON"),
    "report": (b'{"schema": "systrace-report/1", "verdict": {}}\n', "a report of systrace (JSON)"),
    "journal": (b"__CURSOR=s=1;i=2\n__REALTIME_TIMESTAMP=1\nMESSAGE=x\n\n",
                "an export of the journal (journalctl -o cat gives what was logged)"),
    "passwd": (b"root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/:/bin/false\n",
               "a list of users or groups (/etc/passwd)"),
    "script": (b"#!/bin/sh\nexit 0\n", "a script"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("packed", [False, True])
def test_a_file_of_another_kind_is_named(name: str, packed: bool, tmp_path: Path) -> None:
    data, kind = FILES[name]
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if packed else data)
    for command in ("parse", "events", "requests", "follow"):
        done = systrace(command, path)
        assert (done.returncode, done.stderr.decode()) == (2, f"systrace: {path}: this is no strace log, but {kind}\n")


def test_what_real_programs_write() -> None:
    assert binary(Path(sys.executable).read_bytes()[:4096]) == "a program or library (ELF)"
    with sqlite3.connect(":memory:") as database:
        database.execute("create table calls (name text)")
        assert binary(database.serialize()) == "an SQLite database"
    assert text(Path("/etc/passwd").read_bytes()) == "a list of users or groups (/etc/passwd)"
    assert binary(gzip.compress(b"x")) == "packed twice: unpack it first"


def test_logs_in_html_and_json_lines_are_read(tmp_path: Path) -> None:
    """They have signs of strace: what the file is does not matter."""
    path = tmp_path / "log"
    lines = LOG.read_text().splitlines()
    path.write_text("".join(json.dumps({"log": line + "\n", "stream": "stderr"}) + "\n" for line in lines))
    assert systrace("parse", path).stdout.startswith(b"HUNG")


# ---------------------------------------------------------------------------------------------- what is not there (yet)


@pytest.mark.parametrize("part", ["job.gz.part", "job.gz.4711.part"])
def test_a_recording_in_work_is_found(part: str, tmp_path: Path) -> None:
    (tmp_path / part).write_bytes(LOG.read_bytes())
    done = systrace("parse", tmp_path / "job.gz")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode() == (
        f"systrace: {tmp_path}/job.gz is not there, but {tmp_path}/{part} is: a recording in work, or one whose systrace "
        f"was killed: systrace parse {tmp_path}/{part}\n"
    )
    assert systrace("parse", tmp_path / part).returncode == 1
    assert (
        systrace("parse", tmp_path / "job").stderr.decode() == f"systrace: {tmp_path}/job: No such file or directory\n"
    )


# -------------------------------------------------------------------------------------------------- logs without calls


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the log is empty"),
        (b"\n\n", "the log is empty"),
        (b"strace: Process 7 attached\n", "no system call is in this log"),
        (b"9 +++ exited with 0 +++\n", "no system call is in this log"),
        (b"% time     seconds  usecs/call     calls    errors syscall\n------ -----\n", "no system call is in this log"),
        (b'# systrace: {"format": 1, "command": ["x"]}\n', "no system call is in this log"),
        (b'# systrace: {"format": 1}\n# systrace: {"end": 1.0, "exit_status": 0, "fault": "disk full"}\n',
         "no system call is in this log"),
    ],
)  # fmt: skip
def test_a_log_without_calls_is_reported_and_no_success(content: bytes, said: str, tmp_path: Path) -> None:
    path, sound = tmp_path / "log", tmp_path / "sound"
    path.write_bytes(content)
    sound.write_text('9 1700000100.000000 execve("/bin/true", ["true"], 0x7ff /* 6 vars */) = 0 <0.0001>\n'
                     "9 1700000100.500000 +++ exited with 0 +++\n")  # fmt: skip
    done = systrace("parse", "--format", "json", path, sound)
    assert (done.returncode, done.stderr.decode()) == (2, f"systrace: {path}: {said}\n")
    first, second = map(json.loads, done.stdout.splitlines())
    assert (first["verdict"]["outcome"], second["verdict"]["outcome"]) == ("inconclusive", "healthy")
    assert systrace("requests", path).returncode == 2
    piped = systrace("parse", "-", stdin=content)
    assert (piped.returncode, piped.stderr.decode()) == (2, f"systrace: standard input: {said}\n")


@pytest.mark.parametrize("content", [b"", b"\n\n", b"strace: Process 7 attached\n", b"9 +++ exited with 0 +++\n"])
def test_events_of_a_log_without_calls_are_none(content: bytes) -> None:
    """A list may be empty; it is no verdict."""
    done = systrace("events", "-", stdin=content)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize(
    "content",
    [
        b'# systrace: {"format": 1, "attached": 9}\n# systrace: {"end": 2.0, "exit_status": null, "fault": null}\n',
        b'# systrace: {"format": 1}\n# systrace: {"end": 2.0, "exit_status": 0, "fault": null}\n',
    ],
)
def test_a_whole_recording_of_our_own_may_hold_no_call(content: bytes) -> None:
    done = systrace("parse", "-", stdin=content)
    assert (done.returncode, done.stderr) == (0, b"")


# ------------------------------------------------------------------------------------------------- what was meant


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("prase", "there is no command prase: did you mean `systrace parse`?"),
        ("4711", "there is no command 4711: did you mean `systrace attach 4711`?"),
        ("xyzzy", "there is no command xyzzy: `systrace --help` lists them"),
        ("a\x1b[2J", "there is no command 'a\\x1b[2J': `systrace --help` lists them"),
    ],
)
def test_a_command_that_is_none(word: str, said: str) -> None:
    done = systrace(word)
    assert (done.returncode, done.stdout, done.stderr.decode()) == (2, b"", f"systrace: {said}\n")


def test_a_file_instead_of_a_command(tmp_path: Path) -> None:
    path = tmp_path / "my job.strace"
    path.write_text("")
    done = systrace(path)
    assert done.returncode == 2
    assert done.stderr.decode() == f"systrace: there is no command '{path}': did you mean `systrace parse '{path}'`?\n"
