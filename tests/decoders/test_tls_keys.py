"""Key logs: which lines count, where they come from, and that they are blotted out of what showed them."""

from __future__ import annotations

from pathlib import Path

import pytest

from systrace.decoders.parts.tls_keys import CLIENT_RANDOM, HELD_FEW, HELD_MANY, TRAFFIC, KeyLog
from systrace.errors import InputError
from systrace.model import RETURNED, Fact, Record, Sent

RANDOM, SECRET, MASTER = "ab" * 32, "cd" * 32, "ef" * 48
LINE = f"CLIENT_TRAFFIC_SECRET_0 {RANDOM} {SECRET}\n".encode()


def write(text: bytes, shown: bytes | None = None) -> Sent:
    """A write of which the log shows `shown`."""
    shown = text if shown is None else shown
    args = b'3, "' + shown + b'", ' + str(len(text)).encode()
    record = Record(0, 1, 1, 1, 1, "write", args, len(text), None, RETURNED, b"write(" + args + b")")

    def pieces(of: Record) -> list[tuple[bytes, int]]:
        return [(of.args.split(b'"')[1], len(text))]

    return Sent(record, 3, len(text), b"", None, pieces)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        (LINE, {TRAFFIC[1]: bytes.fromhex(SECRET)}),
        (LINE.upper(), {TRAFFIC[1]: bytes.fromhex(SECRET)}),
        (LINE.replace(b"\n", b"\r\n"), {TRAFFIC[1]: bytes.fromhex(SECRET)}),
        (f"# NSS\nCLIENT_RANDOM {RANDOM} {MASTER}".encode(), {CLIENT_RANDOM: bytes.fromhex(MASTER)}),
        (f"CLIENT_RANDOM {RANDOM} {SECRET}\n".encode(), None),
        (f"EXPORTER_SECRET {RANDOM} {SECRET}\n".encode(), None),
        (LINE[:-8], None),
        (LINE[:-1] + b"00\n", None),
        (LINE.replace(b"ab", b"zz"), None),
        (b"CLIENT_RANDOM " * 1000, None),
        (b"\0\xff" * 1000, None),
    ],
)
def test_lines(text: bytes, labels: dict[str, bytes] | None) -> None:
    log = KeyLog()
    log.add(text)
    assert log.secrets(bytes.fromhex(RANDOM)) == labels
    assert log.expected is (labels is not None)


def test_a_file_longer_than_a_block(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes(b"".join(f"CLIENT_RANDOM {n:064x} {MASTER}\n".encode() for n in range(7000)))
    log = KeyLog(path)
    assert len(log) == 7000
    assert all(log.secrets(n.to_bytes(32, "big")) for n in range(7000))


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        KeyLog(tmp_path / "none")


def test_overheard_keys_are_blotted_out_and_sizes_stay() -> None:
    log = KeyLog()
    event = write(LINE)
    heard = log.overhear(event)
    assert isinstance(heard, Sent)
    assert log.secrets(bytes.fromhex(RANDOM)) == {TRAFFIC[1]: bytes.fromhex(SECRET)}
    for text in (heard.record.args, heard.record.raw, heard.payload()[0][0]):
        assert SECRET.encode() not in text
        assert RANDOM.encode() not in text
    assert len(heard.record.args) == len(event.record.args)
    assert heard.size == event.size
    assert SECRET.encode() in event.record.args, "events are shared: the first is as it was"


@pytest.mark.parametrize("text", [b"hello", b"CLIENT_RANDOM numbers", LINE * 100])
def test_other_writes_pass_untouched(text: bytes) -> None:
    event = write(text)
    assert KeyLog().overhear(event) is event


def test_a_line_that_the_log_cuts_is_no_key_and_stays_hidden() -> None:
    log = KeyLog()
    event = write(LINE, LINE[:-20])
    heard = log.overhear(event)
    assert len(log) == 0
    assert SECRET[:33].encode() not in heard.record.raw


def test_keys_of_a_recording_do_not_reach_its_facts() -> None:
    log = KeyLog()
    raw = b'# systrace: {"keylog": "' + LINE.strip() + b'"}'
    fact = Fact(
        Record(0, 1, 0, None, None, "fact", b"", None, None, RETURNED, raw), {"keylog": LINE.decode(), "end": 1}
    )
    assert log.overhear(fact) is fact
    assert fact.values == {"end": 1}
    assert SECRET.encode() not in fact.record.raw
    assert len(log) == 1


def test_more_is_held_back_once_keys_are_expected() -> None:
    log = KeyLog()
    assert log.room(0, HELD_FEW)
    assert not log.room(HELD_FEW, 1)
    log.overhear(Fact(Record(0, 1, 0, None, None, "fact", b"", None, None, RETURNED, b""), {"tls_keys": True}))
    assert log.room(HELD_FEW, 1)
    assert not log.room(HELD_MANY, 1)
