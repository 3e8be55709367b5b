"""Session keys at the end of a recording."""

from pathlib import Path

from systrace.model import Input
from systrace.sources.keys import recorded


def test_only_a_recording_that_promises_keys_is_read_for_them(tmp_path: Path) -> None:
    key = b'# systrace: {"keylog": "CLIENT_RANDOM 00 11"}\n'
    for name, head in (("with", b'# systrace: {"tls_keys": true}\n'), ("without", b"# systrace: {}\n")):
        (tmp_path / name).write_bytes(head + b"1 close(3) = 0\n" + key)
    assert list(recorded([Input(str(tmp_path / "with"), [])])) == [key]
    assert list(recorded([Input(str(tmp_path / "without"), []), Input("-", [])])) == []
