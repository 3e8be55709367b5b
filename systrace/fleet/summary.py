"""Many recordings on one page that people can act on: what failed, with which peer, where, and whose fault that looks like."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from systrace.fleet.course import Done
from systrace.fleet.objects import is_url
from systrace.fleet.parts import Entry
from systrace.fleet.task import READ, UNREAD
from systrace.reporters.layout import Layout
from systrace.reporters.words.outcomes import COLOURS, WORDS
from systrace.shell import word
from systrace.sources.logfile import stem_of_siblings
from systrace.words import ascii_only, cut, roughly, safe, wrap

_MOST = 12  # of each list
_MOST_HOSTS = 4  # named for each
_TROUBLE = ("failed", "hung", "degraded", "inconclusive")
_FEW = 2  # below this many, nothing is said of shares

Row = Mapping[str, Any]


def summary(done: Done, layout: Layout) -> list[str]:
    """Lines of text."""
    rows = [each.row for each in done.entries if each.kind == READ]
    unread = [each.row for each in done.entries if each.kind == UNREAD]
    lines = [*_head(rows, unread, layout), *_causes(rows, layout), *_blame(rows, layout)]
    if unread or done.complaints:
        reasons = [*done.complaints, *(str(row.get("reason")) for row in unread)]
        lines += ["", layout.paint("Not read", "bold"), *_listed([_shown(each) for each in reasons], layout)]
    return [*lines, "", *_foot(done, layout)]


def _head(rows: Sequence[Row], unread: Sequence[Row], layout: Layout) -> list[str]:
    outcomes = Counter(row["outcome"] for row in rows)
    words = [f"{outcomes[each]:,} {word}" for each, word in WORDS.items() if outcomes[each]]
    words += [f"{len(unread):,} NOT READ"] if unread else []
    hosts = {row["host"] for row in rows if row["host"]}
    on = f" of {len(hosts):,} {_plural('host', len(hosts))}" if hosts else ""
    count = len(rows) + len(unread)
    period = _period(row["start_s"] for row in rows)
    title = (
        f"{count:,} {_plural('recording', count)}{on}{f', {period}' if period else ''}: {', '.join(words) or 'none'}."
    )
    return wrap(title, layout.width, "", "  ")


def _causes(rows: Sequence[Row], layout: Layout) -> Iterator[str]:
    """The failures by cause and peer."""
    groups: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in rows:
        if row["outcome"] in _TROUBLE:
            groups[row["outcome"], row["cause"] or row["outcome"], row["peer"] or "-"].append(row)
    if not groups:
        return
    yield from ("", layout.paint("What went wrong", "bold"))
    found = sorted(groups.items(), key=lambda item: (_TROUBLE.index(item[0][0]) > 1, -len(item[1]), item[0]))
    for (outcome, cause, peer), members in found[:_MOST]:
        what = f"  {_shown(peer)}" if peer != "-" else ""
        word = WORDS[outcome]
        line = f"{len(members):>6,}  {word:<9}  {_shown(cause) if cause != outcome else ''}{what}"
        yield _cut(line.rstrip(), layout).replace(word, layout.paint(word, COLOURS[outcome]), 1)
        where = [each for each in (_hosts(members), _period(row["start_s"] for row in members)) if each]
        if not _hosts(members):
            where.append(_shown(_place(members[0])) + (" and others" if len(members) > 1 else ""))
        yield _cut(f"        {'; '.join(where)}", layout)
    if len(found) > _MOST:
        yield f"        and {len(found) - _MOST} other causes and peers"


def _hosts(rows: Sequence[Row]) -> str:
    counts = Counter(row["host"] for row in rows if row["host"])
    named = [f"{_shown(host)}{f' ({count})' if count > 1 else ''}" for host, count in counts.most_common(_MOST_HOSTS)]
    more = [f"{len(counts) - _MOST_HOSTS} more"] if len(counts) > _MOST_HOSTS else []
    more += [f"unknown host ({unknown})"] if (unknown := sum(not row["host"] for row in rows)) else []
    return f"on {', '.join([*named, *more])}" if counts else ""


def _place(row: Row) -> str:
    """Where a recording is; its key, where names are hidden."""
    return str(row["path"] or row["recording"])


def _blame(rows: Sequence[Row], layout: Layout) -> Iterator[str]:
    """The same failures counted by peer and by host: what fails everywhere is itself to blame."""
    talks: dict[str, set[str]] = defaultdict(set)  # peer -> hosts
    fails: dict[str, set[str]] = defaultdict(set)
    hosts: dict[str, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))  # host -> peers, failing peers
    unit = "hosts" if any(row["host"] for row in rows) else "recordings"
    for row in rows:
        where = row["host"] or row["recording"]  # that names no host is one of its own
        failing = {row["peer"]} if row["peer"] and row["outcome"] in _TROUBLE else set()
        for peer in {*(row["peers"] or ()), *failing}:
            talks[peer].add(where)
        for peer in failing:
            fails[peer].add(where)
        if row["host"]:
            hosts[where][0].update(row["peers"] or (), failing)
            hosts[where][1].update(failing)
    fine = {peer for peer, where in talks.items() if len(fails[peer]) * 2 <= len(where)}  # on most hosts
    told = [*_by_peer(talks, fails, unit, layout), *(_by_host(hosts, fine, layout) if unit == "hosts" else ())]
    if told:
        yield from ("", layout.paint("Peer or host", "bold"), *told)


def _by_peer(talks: Mapping[str, set[str]], fails: Mapping[str, set[str]], unit: str, layout: Layout) -> Iterator[str]:
    found = sorted(
        (peer for peer in fails if fails[peer]),
        key=lambda peer: (-len(fails[peer]), -len(fails[peer]) / len(talks[peer]), peer),
    )
    for peer in found[:_MOST]:
        k, n = len(fails[peer]), len(talks[peer])
        said = f"  {_shown(peer)} fails on {k} of {n} {_plural(unit[:-1], n)} that talk{'s' if n == 1 else ''} to it"
        if unit == "recordings":
            said = f"  {_shown(peer)} fails in {k} of {n} {_plural('recording', n)}"
        if n >= _FEW:
            said += (
                ": the peer, or the way to it" if k == n else ": not everywhere, look at the hosts" if k * 2 < n else ""
            )
        yield _cut(said, layout)
    if len(found) > _MOST:
        yield f"  and {len(found) - _MOST} other peers"


def _by_host(hosts: Mapping[str, tuple[set[str], set[str]]], fine: set[str], layout: Layout) -> Iterator[str]:
    """Only those that fail with several peers which others talk to without trouble: it is not these peers then."""
    several = [host for host, (_peers, failing) in hosts.items() if len(failing & fine) >= _FEW]
    several.sort(key=lambda host: (-len(hosts[host][1]) / len(hosts[host][0]), -len(hosts[host][1]), host))
    for host in several[:_MOST]:
        peers, failing = hosts[host]
        said = f"  host {_shown(host)} fails with {len(failing)} of {len(peers)} peers"
        yield _cut(said + (": the host, or its network" if len(failing) * 2 > len(peers) else ""), layout)
    if len(several) > _MOST:
        yield f"  and {len(several) - _MOST} other hosts"


def _listed(lines: Sequence[str], layout: Layout) -> Iterator[str]:
    for each in lines[:_MOST]:
        yield _cut(f"  {each}", layout)
    if len(lines) > _MOST:
        yield f"  and {len(lines) - _MOST:,} more (the column `reason` of the table recordings)"


def _foot(done: Done, layout: Layout) -> list[str]:
    said = [f"{done.new:,} read now in {roughly(done.seconds)}"]
    known = len(done.entries) - done.new
    said += [f"{known:,} known before"] if known > 0 else []
    if others := sum(done.others.values()):
        kinds = ", ".join(f"{_shown(kind)} {count:,}" for kind, count in done.others.most_common(3))
        said.append(f"{others:,} files are no recordings ({kinds})")
    lines = wrap(f"{'; '.join(said)}.", layout.width, "", "  ")
    if done.fault is not None:
        lines += wrap(f"Stopped: {done.fault}.", layout.width, "", "  ")
    if done.left:
        lines += wrap(f"{done.left:,} are not read yet: the same command reads on.", layout.width, "", "  ")
    if done.again:
        lines += wrap(f"{done.again:,} could not be read now: the same command tries again.", layout.width, "", "  ")
    wrong = [
        each for each in done.entries if each.kind == READ and each.row["outcome"] in _TROUBLE and each.row["path"]
    ]
    wrong.sort(key=lambda each: (bool(each.archive), is_url(each.file)))  # stable: the simplest command
    if wrong:
        lines += wrap(f"One full report: {_command(wrong[0])}", layout.width, "", "  ")
    return lines


def _command(entry: Entry) -> str:
    """What prints the report of a recording, wherever it is."""
    name, archive = entry.name, entry.archive
    if not archive:
        return f"aws s3 cp {word(name)} - | systrace parse -" if is_url(name) else f"systrace parse {word(name)}"
    member = name.removeprefix(f"{archive}:")
    stem = stem_of_siblings(member)
    if stem is None and not is_url(archive):
        return f"tar -xOf {word(archive)} -- {word(member)} | systrace parse -"
    return f"unpack {word(archive)}, then systrace parse {word(member) if stem is None else f'{word(stem)}.*'}"


def _period(times: Iterable[float | None]) -> str:
    """`2026-11-01 02:00 to 2026-11-29 02:10`, in this machine's zone."""
    known = [each for each in times if each is not None]
    if not known:
        return ""
    first, last = _minute(min(known)), _minute(max(known))
    return first if first == last else f"{first} to {last}"


def _minute(seconds: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
    except (OverflowError, ValueError, OSError):
        return f"{seconds:.0f} s"


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"


def _shown(text: str) -> str:
    text = safe(text)
    return text.encode("ascii", "backslashreplace").decode() if ascii_only() else text


def _cut(line: str, layout: Layout) -> str:
    return cut(line, layout.width) if layout.fitted else line
