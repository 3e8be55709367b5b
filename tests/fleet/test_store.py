"""The folder of results: whole after every kill, each recording once."""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import json
import os
import stat
from pathlib import Path

import pytest

from systrace.errors import InputError, UsageError
from systrace.fleet.journal import cut_off
from systrace.fleet.parts import SUFFIX, contents, is_store, live_parts
from systrace.fleet.store import Store
from systrace.fleet.tables import TABLES
from systrace.fleet.task import READ, Result
from systrace.outputs import beside


def result(number: int, mark: str = "x") -> Result:
    key = f"{number:024x}"
    rows = {
        name: json.dumps({"recording": key, "cause": mark}, separators=(",", ":")).encode() + b"\n" for name in TABLES
    }
    rows["sockets"] *= 3
    return Result(key, f"log{number}", f"c{number}", READ, {"recording": key, "mark": mark}, rows)


def rows(folder: Path, table: str) -> list[tuple[str, str]]:
    found = []
    for part in live_parts(folder):
        with gzip.open(folder / table / f"part-{part}{SUFFIX}") as lines:
            found += [json.loads(line) for line in lines]
    return sorted((row["recording"], row["cause"]) for row in found)


def fill(folder: Path, numbers: range, edition: str = "1", mark: str = "x") -> None:
    with contextlib.closing(Store(folder, edition)) as store:
        for number in numbers:
            store.add(result(number, mark))
        store.commit()


def test_what_is_kept_is_known_the_next_time(tmp_path: Path) -> None:
    out = tmp_path / "out"
    fill(out, range(5))
    fill(out, range(5, 7))
    store = Store(out, "1")
    assert sorted(each.name for each in store.known.values()) == [f"log{n}" for n in range(7)]
    store.close()
    assert len(rows(out, "recordings")) == 7
    assert len(rows(out, "sockets")) == 21
    assert is_store(out)
    assert not is_store(tmp_path)


def test_files_are_the_users_alone(tmp_path: Path) -> None:
    os.umask(before := os.umask(0))
    try:
        fill(tmp_path / "out", range(2))
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(each.stat().st_mode) for each in (tmp_path / "out").rglob("*") if each.is_file()}
    folders = {stat.S_IMODE(each.stat().st_mode) for each in (tmp_path / "out").rglob("*") if each.is_dir()}
    assert (modes, folders) == ({0o600}, {0o700})


@pytest.mark.parametrize("cut", [0, 1, 40, 200])
def test_a_kill_loses_what_was_being_written(cut: int, tmp_path: Path) -> None:
    """The journal without its last bytes is what kill -9 leaves."""
    out = tmp_path / "out"
    fill(out, range(2))
    store = Store(out, "1")
    for number in range(2, 5):
        store.add(result(number))
    (journal,) = (out / "state").glob("*.journal")
    data = journal.read_bytes()
    store.close()
    journal.write_bytes(data[: len(data) - cut])
    left = 5 if not cut else 4
    store = Store(out, "1")
    assert len(store.known) == left
    store.close()
    assert len(rows(out, "sockets")) == 3 * left
    assert not list((out / "state").glob("*.journal"))


def test_a_kill_between_a_part_and_its_journal_counts_nothing_twice(tmp_path: Path) -> None:
    out = tmp_path / "out"
    store = Store(out, "1")
    store.add(result(1))
    (journal,) = (out / "state").glob("*.journal")
    data = journal.read_bytes()
    store.commit()
    store.close()
    journal.write_bytes(data)
    fill(out, range(2, 3))
    assert len(rows(out, "recordings")) == 2


def test_a_kill_while_a_part_is_written_leaves_nothing_that_counts(tmp_path: Path) -> None:
    out = tmp_path / "out"
    fill(out, range(2))
    (out / "sockets" / f"part-9{SUFFIX}").write_bytes(b"half")
    (out / "state" / f"part-9{SUFFIX}.part").write_bytes(b"half")
    fill(out, range(2, 3))
    assert len(rows(out, "sockets")) == 9


def test_a_kill_after_a_change_keeps_the_new_rows_alone(tmp_path: Path) -> None:
    """What the journal replaces is gone when the next run has taken it over, and not before it is written."""
    out = tmp_path / "out"
    fill(out, range(2))
    store = Store(out, "1")
    old = store.known[result(0).key]
    store.add(result(7), [old])
    (journal,) = (out / "state").glob("*.journal")
    data = journal.read_bytes()
    store.close()
    journal.write_bytes(data)
    assert cut_off(out) == (1, False)
    assert len(rows(out, "recordings")) == 2
    store = Store(out, "1")
    assert {each.name for each in store.known.values()} == {"log1", "log7"}
    store.close()
    assert [key for key, _mark in rows(out, "recordings")] == [result(1).key, result(7).key]
    assert cut_off(out) == (0, False)


def test_a_log_that_grows_has_large_parts_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows stand apart from then on."""
    monkeypatch.setattr("systrace.fleet.store._LARGE", 400)
    out = tmp_path / "out"
    fill(out, range(400))
    seen: list[list[str]] = []
    for number in range(400, 410):
        with contextlib.closing(Store(out, "1")) as store:
            store.add(result(number), [store.known[result(number - 1).key]])
            store.commit()
        seen.append(live_parts(out))
        keys = [key for key, _mark in rows(out, "recordings")]
        assert keys == [result(each).key for each in (*range(399), number)]
        assert contents(out, seen[-1]).known.keys() == set(keys)
    assert {len(each) for each in seen} == {2}
    assert len({part for parts in seen for part in parts}) == 2 + 9


def test_a_kill_between_two_parts_counts_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fresh rows are there; what stays of the replaced part is still in it."""
    monkeypatch.setattr("systrace.fleet.store._LARGE", 0)
    out, write = tmp_path / "out", Store._write

    def killed(store: Store, part: str, old: list[str], parts: list[str], fresh: bool = True) -> None:
        if not fresh:
            raise KeyboardInterrupt
        write(store, part, old, parts, fresh)

    fill(out, range(3))
    with monkeypatch.context() as patch, contextlib.closing(Store(out, "1")) as store:
        patch.setattr(Store, "_write", killed)
        store.add(result(7), [store.known[result(0).key]])
        with pytest.raises(KeyboardInterrupt):
            store.commit()
    whole = contents(out, live_parts(out))
    assert whole.known.keys() == {result(number).key for number in (1, 2, 7)}
    assert list(whole.shadowed.values()) == [{result(0).key}]
    fill(out, range(8, 9))
    assert [key for key, _mark in rows(out, "recordings")] == [result(number).key for number in (1, 2, 7, 8)]


def test_where_parts_may_not_be_replaced_what_is_gone_is_noted(tmp_path: Path) -> None:
    """Shards in a bucket."""
    out = tmp_path / "out"
    fill(out, range(2))
    for number, instead_of in ((7, 0), (0, 7)):
        store = Store(out, "1", merging=False)
        store.add(result(number), [store.known[result(instead_of).key]])
        store.commit()
        store.close()
        known = contents(out, live_parts(out)).known
        assert {each.name for each in known.values()} == {"log1", f"log{number}"}
    assert len(live_parts(out)) == 3
    fill(out, range(8, 9))
    assert [key for key, _mark in rows(out, "recordings")] == [result(number).key for number in (0, 1, 8)]


def test_a_part_that_another_run_has_just_removed_stays_out(tmp_path: Path) -> None:
    out = tmp_path / "out"
    fill(out, range(2))
    store = Store(out, "2", fetch=lambda _part: False)
    store.add(result(0, "new"))
    store.commit()
    store.close()
    assert len(live_parts(out)) == 2
    whole = contents(out, live_parts(out))
    assert whole.known[result(0).key].edition == "2"
    assert [len(each) for each in whole.shadowed.values()] == [1]


def test_a_journal_that_is_being_begun_is_nobodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its making and its lock no other shard takes it for left behind."""
    seen: list[bool] = []
    out = tmp_path / "out"
    fill(out, range(1))

    def looks(path: Path, suffix: str) -> tuple[int, Path]:
        made = beside(path, suffix)
        with (out / "state" / "commit.lock").open("r+b") as lock, contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            seen.append(True)
        return made

    monkeypatch.setattr("systrace.fleet.store.beside", looks)
    Store(out, "1").close()
    assert seen == []


def test_another_edition_takes_the_place_of_what_it_has_read_again(tmp_path: Path) -> None:
    out = tmp_path / "out"
    fill(out, range(4))
    fill(out, range(2), edition="2", mark="new")
    assert rows(out, "recordings") == [(f"{n:024x}", "new" if n < 2 else "x") for n in range(4)]
    assert len(live_parts(out)) == 1
    assert len(list((out / "sockets").iterdir())) == 1
    fill(out, range(2, 4), edition="2", mark="new")
    assert {mark for _key, mark in rows(out, "findings")} == {"new"}


def test_many_parts_become_one(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for number in range(30):
        fill(out, range(number, number + 1))
    assert len(live_parts(out)) < 25
    assert len(rows(out, "recordings")) == 30


def test_two_runs_at_once_are_refused_two_shards_are_not(tmp_path: Path) -> None:
    one = Store(tmp_path / "out", "1", "1-of-2")
    with pytest.raises(UsageError, match="another systrace is writing there"):
        Store(tmp_path / "out", "1", "1-of-2")
    two = Store(tmp_path / "out", "1", "2-of-2")
    one.add(result(1))
    two.add(result(2))
    for each in (two, one):
        each.commit()
        each.close()
    assert len(rows(tmp_path / "out", "recordings")) == 2


@pytest.mark.parametrize("count", [1, 30])
def test_two_shards_that_replace_the_same_parts_count_nothing_twice(count: int, tmp_path: Path) -> None:
    """Another edition, and many parts: both would write anew what the other one does."""
    out = tmp_path / "out"
    for number in range(0, 30, 30 // count):
        fill(out, range(number, number + 30 // count))
    one, two = Store(out, "2", "1-of-2"), Store(out, "2", "2-of-2")
    one.add(result(0, "new"))
    two.add(result(1, "new"))
    one.commit()
    two.commit()
    for each in (one, two):
        each.close()
    assert rows(out, "recordings") == [(f"{n:024x}", "new" if n < 2 else "x") for n in range(30)]


def test_other_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for name, said in (("file", "no folder"), (".", "other files"), ("no/where", "No such file"), ("a\0", "null byte")):
        with pytest.raises(UsageError, match=said):
            Store(tmp_path / name, "1")


GOOD: dict[str, object] = {
    "key": "k",
    "name": "n",
    "content": "c",
    "kind": "read",
    "edition": "1",
    "row": {},
    "archive": "",
}


WRONG: list[dict[str, object]] = [
    {"key": 7},
    {"row": []},
    {"row": {"outcome": 7}},
    {"row": {"peers": "x"}},
    {"row": {"peers": [1]}},
    {"row": {"start_s": "x"}},
    {"row": {"lines": 1.5}},
    {"name": None},
]


@pytest.mark.parametrize(
    "state",
    [
        b"garbage",
        gzip.compress(b"{}\n{}\n"),
        gzip.compress(b"{}\n[1]\n"),
        gzip.compress(b"[]\n"),
        gzip.compress(b'{"replaces": 7}\n'),
        gzip.compress(b'{"replaces": [{}]}\n'),
        gzip.compress(b'{"gone": [7]}\n'),
        gzip.compress(b"[" * 100_000),
        *(gzip.compress(b"{}\n" + json.dumps(GOOD | change).encode()) for change in WRONG),
        gzip.compress(json.dumps(GOOD).encode())[:-9],
    ],
)
def test_damage_is_one_line(state: bytes, tmp_path: Path) -> None:
    out = tmp_path / "out"
    fill(out, range(1))
    (path,) = (out / "state").glob("part-*")
    path.write_bytes(state)
    with pytest.raises(InputError, match=r"part-.* (cannot be read|is not systrace's)"):
        Store(out, "1")


@pytest.mark.parametrize("folder", ["state", "sockets"])
def test_a_pipe_in_the_place_of_a_part_is_one_line(folder: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    fill(out, range(1))
    (path,) = (out / folder).glob("part-*")
    path.unlink()
    os.mkfifo(path)
    os.mkfifo(out / "state" / "x.journal")
    with pytest.raises(InputError, match="no file of systrace's"):
        fill(out, range(1), edition="2")


def test_a_folder_that_nobody_may_look_into_is_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_some: object, **_more: object) -> os.stat_result:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", denied)
        assert not is_store(tmp_path)


@pytest.mark.parametrize("data", [b"garbage", gzip.compress(b"no key\n")[:-4]])
def test_damaged_rows_are_one_line_and_the_journal_stays(data: bytes, tmp_path: Path) -> None:
    out = tmp_path / "out"
    fill(out, range(1))
    (path,) = (out / "sockets").iterdir()
    path.write_bytes(data)
    with pytest.raises(InputError, match="cannot be read"):
        fill(out, range(1), edition="2")
    assert any(each.stat().st_size for each in (out / "state").glob("*.journal"))


@pytest.mark.parametrize(
    "head",
    [
        {},
        {"sizes": []},
        {"sizes": {"sockets": -1}},
        {"sizes": {"sockets": 1 << 70}},
        {"sizes": {"sockets": "x"}},
        {"sizes": {}, "gone": 7},
        {"sizes": {}, "gone": [{}]},
        {"sizes": {}, "row": 7},
    ],
)
def test_a_foreign_journal_is_left_out(head: dict[str, object], tmp_path: Path) -> None:
    out = tmp_path / "out"
    fill(out, range(1))
    (out / "state" / "x.journal").write_text(json.dumps(GOOD | head) + "\n")
    store = Store(out, "1")
    assert len(store.known) == 1
    store.close()
