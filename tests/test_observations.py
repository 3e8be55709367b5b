"""Facts from elsewhere: lines of a recording, or a file of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from systrace.errors import UsageError
from systrace.model import Input
from systrace.observations import KINDS, Observation, read
from systrace.pipeline import analyze

BLOCKED = Observation("path-blocked", "192.0.2.1:80", {"text": "SYNs die after hop 3"}, "systrace check", 1, "host-a")


def test_a_line_of_a_recording_is_read_back() -> None:
    call = b"900 1700000100.000000 getpid() = 900 <0.000010>\n"
    odd = [b'# systrace: {"observation": 5}\n', b'# systrace: {"observation": {"kind": "gossip", "subject": "x"}}\n']
    analysis = analyze([Input("t", [call, BLOCKED.line, *odd])])
    assert analysis.evidence.observations == [BLOCKED]


def test_a_file_of_them(tmp_path: Path) -> None:
    path = tmp_path / "facts"
    plain = json.dumps({"kind": "hop", "subject": "192.0.2.1:80", "value": {"ttl": 3}}).encode()
    path.write_bytes(BLOCKED.line + b"\n" + plain + b"\n")
    assert read(path) == [BLOCKED, Observation("hop", "192.0.2.1:80", {"ttl": 3})]


@pytest.mark.parametrize(
    "text", ["{}", "nonsense", '{"kind": "hop"}', '{"kind": "x", "subject": "y"}', "[1]", "\x1b[2J"]
)
def test_what_is_none_is_said(text: str, tmp_path: Path) -> None:
    path = tmp_path / "facts"
    path.write_bytes(BLOCKED.line + text.encode() + b"\n")
    with pytest.raises(UsageError, match="line 2 is no observation"):
        read(path)
    with pytest.raises(UsageError, match="No such file"):
        read(tmp_path / "nowhere")


def test_kinds_are_told() -> None:
    assert all(name and text for name, text in KINDS.items())


@pytest.mark.parametrize(
    "value", ['{"after_s": NaN}', '{"after_s": 1e400}', '{"request_line": [1]}', '{"a": [[[[1]]]]}', '{"x": 1e30}']
)
def test_numbers_that_nobody_can_count_with(value: str) -> None:
    line = f'# systrace: {{"observation": {{"kind": "server-answered", "subject": "S1", "value": {value}}}}}\n'.encode()
    analysis = analyze([Input("t", [b"900 1700000100.000000 getpid() = 900 <0.000010>\n", line])])
    assert analysis.evidence.observations == []
