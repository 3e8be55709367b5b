"""What a trace holds never becomes a command of its own."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from systrace import analyze
from systrace.model import Input
from systrace.shell import quoted, word

EVIL = "/x;>pwned;'$(>pwned)'"
STAMP = "9     1700000000.{:06} "
OPEN = (
    "socket(AF_INET, SOCK_STREAM, 0) = 3 <0.0001>",
    'connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.7")}, 16) = 0 <0.0001>',
)
QUESTION = b"\0\1\1\0\0\1\0\0\0\0\0\0" + bytes([len(EVIL)]) + EVIL.encode() + b"\0\0\1\0\1"
ASKED = "".join(f"\\x{byte:02x}" for byte in QUESTION)
JOBS = {
    "socket path": [f'connect(3, {{sa_family=AF_UNIX, sun_path="{EVIL}"}}, 110) = -1 ENOENT (No such file) <0.0001>'],
    "address": [f'connect(3, {{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("{EVIL}")}}, 16)'
                " = -1 ECONNREFUSED (Connection refused) <0.0001>"],
    "URL": [*OPEN, f'sendto(3, "GET /{EVIL} HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", 90, 0, NULL, 0) = 90 <0.0001>',
            'recvfrom(3, "HTTP/1.1 500 No\\r\\nContent-Length: 0\\r\\n\\r\\n", 4096, 0, NULL, NULL) = 40 <0.1>'],
    "name": ['socket(AF_INET, SOCK_DGRAM, 0) = 4 <0.0001>',
             'connect(4, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("192.0.2.53")}, 16) = 0 <0.0001>',
             f'sendto(4, "{ASKED}", {len(QUESTION)}, 0, NULL, 0) = {len(QUESTION)} <0.0001>',
             "poll([{fd=4, events=POLLIN}], 1, 5000) = 0 (Timeout) <5.0>"],
}  # fmt: skip


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_any_text_is_one_word(text: str) -> None:
    assert shlex.split(quoted(text)) == [text]
    assert shlex.split(word(text)) == [text]
    assert (
        subprocess.run(["/bin/sh", "-c", f"printf %s {word(text)}"], capture_output=True, check=True).stdout
        == text.encode()
    )


@pytest.mark.parametrize("job", JOBS)
def test_a_suggested_command_pasted_into_a_shell_runs_nothing_of_the_traces(job: str, tmp_path: Path) -> None:
    lines = [*JOBS[job], "exit_group(1) = ?", "+++ exited with 1 +++"]
    log = [(STAMP.format(number) + line).encode() for number, line in enumerate(lines)]
    commands = [
        re.sub(r"^[^:]*: ", "", step) if step.startswith(("on ", "save ")) else step
        for finding in analyze([Input("log", log)]).findings
        for step in map(str, finding.next_steps)
    ]
    if job == "name":
        assert [shlex.split(each)[-1] for each in commands if each.startswith("dig ")] == [EVIL]
    assert any(re.match("ls |nc |ss |curl |dig ", command) for command in commands)
    for command in commands:
        subprocess.run(["/bin/sh", "-c", command], cwd=tmp_path, env={"PATH": "/nowhere"}, check=False,
                       capture_output=True, timeout=20)  # fmt: skip
    assert not (tmp_path / "pwned").exists()
