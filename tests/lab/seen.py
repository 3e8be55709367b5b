"""What a recording shows of sockets and processes, so that the recordings of two tracers can be laid side by side.

Numbers that differ from run to run are left out (descriptors, inodes, addresses in memory, ports of the kernel's choice),
and so is what the scheduler decides: how a stream is cut into reads and writes, how often a loop asks in vain.
"""

import difflib
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from systrace.calls import ACCEPTS, FORKS, LOOPS, READS, SENDFILES, WRITES
from systrace.model import Health, Input, Record, Style
from systrace.parser import EVERY_NAME, records
from systrace.parser.values import split_args, unescape

_DESCRIPTOR = re.compile(rb"-?\d+<(socket|pipe):\[(\d+)\]>")
_STRING = re.compile(rb'"((?:[^"\\]|\\.)*)"(?:\.\.\.)?')
_ELEMENT = re.compile(rb'iov_base=(?:"((?:[^"\\]|\\.)*)"(?:\.\.\.)?|[^"]*?), iov_len=(\d+)')
_VARYING = (
    (re.compile(rb"\b\d+<(?:/[^>]*|anon_inode:[^>]*|pipe:[^>]*|socket:[^>]*|TCP[^>]*|UDP[^>]*)>"), b"FD"),
    (re.compile(rb"\b0x[0-9a-f]{5,}\b"), b"POINTER"),
    (re.compile(rb"\b(htons|port=)\(?(?:32[7-9]\d\d|(?:3[3-9]|[4-6]\d)\d{3})\)?"), rb"\1(EPHEMERAL)"),
    (re.compile(rb'"(?:\\[0-7]{1,3}|\\.|[^\\"]){2}(?=(?:\\1\\0|\\20[15]\\200)\\0\\1)'), b'"ID'),  # of a DNS message
    (re.compile(rb"\b(pid=|nl_pid=|data=)(?:\d+|\{[^}]*\})"), rb"\1N"),
)
_SPLICES = frozenset(("splice", "tee"))
_VECTORS = frozenset(("readv", "writev", "preadv", "pwritev", "sendmsg", "recvmsg"))
_PROBE = b", 1, MSG_PEEK|MSG_DONTWAIT"  # PHP looks whether the peer is still there, if the answer is not there yet
# What no rule reads, and the embedded tracer does not stop at (DECISIONS, 45).
_UNREAD = re.compile(
    r"getsockopt\((?!.*SO_ERROR)|ioctl\((?!.*(?:FIONBIO|FIOCLEX|FIONCLEX))"
    r"|setsockopt\((?!.*(?:SO_KEEPALIVE|SO_LINGER|SO_RCVTIMEO|SO_SNDTIMEO|TCP_KEEP|TCP_USER_TIMEOUT))"
)
_IN_VAIN = frozenset(("EAGAIN", "EWOULDBLOCK"))
_A_LIMIT_NS = 200_000_000  # a call that waited for so long has met a time limit; others found nothing just then


@dataclass(slots=True)
class Flow:
    """Consecutive bytes of a stream in one direction, by one call; what the recording cut off is a hole."""

    call: str
    data: bytearray = field(default_factory=bytearray)
    holes: list[tuple[int, int]] = field(default_factory=list)

    def add(self, shown: bytes, count: int) -> None:
        """Of `count` bytes that moved the first are shown."""
        shown = shown[:count]
        if len(shown) < count:
            self.holes.append((len(self.data) + len(shown), len(self.data) + count))
        self.data += shown + bytes(count - len(shown))

    def join(self, other: "Flow") -> None:
        """The other's bytes come behind."""
        self.holes += [(len(self.data) + first, len(self.data) + end) for first, end in other.holes]
        self.data += other.data

    def like(self, other: "Flow", slack: int = 0) -> bool:
        """As many bytes, but for `slack`, and the same ones as far as both show them."""
        mine, others = bytearray(self.data), bytearray(other.data)
        for first, end in self.holes + other.holes:
            mine[first:end] = others[first:end] = bytes(end - first)
        short = min(len(mine), len(others))
        near = abs(len(self.data) - len(other.data)) <= slack
        return self.call == other.call and near and mine[:short] == others[:short]

    def __str__(self) -> str:
        return f"{self.call}: {len(self.data)} bytes {bytes(self.data[:40])!r}"


Step = str | Flow


@dataclass(slots=True)
class Track:
    """What one process did with one socket (or pipe), in order."""

    process: int
    inode: int
    kind: str
    steps: list[Step] = field(default_factory=list)
    netlink: bool = False

    def like(self, other: "Track", loose: bool = False, slack: int = 0) -> bool:
        """The same calls, results and bytes; `loose`: each direction for itself, and the other calls in any order; `slack`:
        bytes more or less.
        """
        if loose or slack:
            lanes, others = self._lanes(), other._lanes()
            same = lanes.keys() == others.keys() and all(lane.like(others[call], slack) for call, lane in lanes.items())
            return same and self._controls() == other._controls()
        return len(self.steps) == len(other.steps) and all(
            mine.like(its) if isinstance(mine, Flow) and isinstance(its, Flow) else mine == its
            for mine, its in zip(self.steps, other.steps, strict=True)
        )

    def _lanes(self) -> dict[str, Flow]:
        lanes: dict[str, Flow] = {}
        for step in self.steps:
            if isinstance(step, Flow):
                lanes.setdefault(step.call, Flow(step.call)).join(step)
        return lanes

    def _controls(self) -> Counter[str]:
        # where its end catches a thread is the scheduler's, too
        return Counter(step for step in self.steps if isinstance(step, str) and not step.endswith("= ?"))

    @property
    def shown_by_all(self) -> bool:
        """Sockets of UNIX and netlink that never got an address or a peer count for nothing (DECISIONS, 38)."""
        first = str(self.steps[0]) if self.steps else ""
        local = first.startswith(("socket(AF_UNIX", "socket(AF_NETLINK"))
        return not local or any(re.match(r"(connect|bind)\(.* = 0", str(step)) for step in self.steps)

    def narrowed(self) -> "Track":
        """The same without what no rule reads."""
        kept = Track(self.process, self.inode, self.kind, [], self.netlink)
        for step in self.steps:
            last = kept.steps[-1] if kept.steps else None
            if isinstance(step, str):
                kept.steps += [] if _UNREAD.match(step) else [step]
            elif isinstance(last, Flow) and last.call == step.call:
                last.join(step)
            else:
                kept.steps.append(Flow(step.call, bytearray(step.data), list(step.holes)))
        return kept

    def lines(self) -> list[str]:
        """The steps in words."""
        return [str(step) for step in self.steps]


@dataclass(slots=True)
class Seen:
    """A recording, digested. `facts` are what its tracer says of itself."""

    facts: dict[str, Any]
    tracks: list[Track]
    processes: Counter[str]
    words: Counter[str]

    def differences(self, other: "Seen", loose: bool = False, slack: int = 0) -> list[str]:
        """What one of both shows and the other doesn't, in words; pipes count where both recordings have all of them."""
        narrow = any(each.facts.get("sockets_only") for each in (self, other))
        kinds = ("socket",) if narrow else ("socket", "pipe")
        mine, others = (
            [track.narrowed() if narrow else track for track in each.tracks if track.kind in kinds]
            for each in (self, other)
        )
        if narrow:
            mine, others = ([track for track in each if track.shown_by_all] for each in (mine, others))
        missing = []
        for track in mine:
            match = next((each for each in others if track.like(each, loose, slack)), None)
            if match is None:
                missing.append(track)
            else:
                others.remove(match)
        found: list[str] = []
        for track in missing:
            ranked = sorted(others, key=lambda each: _likeness(track, each))
            nearest = ranked.pop() if ranked else Track(0, 0, track.kind)
            others = ranked
            found += difflib.unified_diff(
                track.lines(), nearest.lines(), *(each.facts["tracer"] for each in (self, other))
            )
        found += [f"only {other.facts['tracer']}: {track.lines()}" for track in others]
        for here, there in ((self.processes, other.processes), (self.words, other.words)):
            if here != there:
                found.append(
                    f"{self.facts['tracer']} alone: {here - there}; {other.facts['tracer']} alone: {there - here}"
                )
        return found


def _likeness(one: Track, other: Track) -> float:
    return difflib.SequenceMatcher(a=one.lines(), b=other.lines(), autojunk=False).ratio()


class _Reading:
    """The state of a recording while it is read."""

    def __init__(self) -> None:
        self.tracks: dict[tuple[int, int], Track] = {}
        self.process_of: dict[int, int] = {}  # thread -> process
        self.parent: dict[int, int] = {}
        self.program: dict[int, str] = {}
        self.ends: Counter[str] = Counter()
        self.words: dict[int, bytearray] = {}
        self.streams: set[int] = set()  # inodes of sockets and pipes whose bytes have no borders

    def take(self, record: Record) -> None:
        """One call, or the end of a process."""
        name, args = record.syscall, record.args
        process = self.process_of.get(record.tid, record.tid)
        if name in FORKS and record.retval and record.retval > 0:
            self.program.setdefault(record.retval, self.program_of(process))
        elif name == "execve" and record.retval == 0:
            self.program[process] = split_args(args)[1].decode(errors="replace")
        elif name in ("exited", "killed") and record.tid == process:
            self.ends[f"{self.program_of(process)} {_text(record.raw.partition(b'+++')[2])}"] += 1
        elif name == "write" and args.startswith((b"2<", b"2,")) and (record.retval or 0) > 0:
            self.words.setdefault(process, bytearray()).extend(_first_string(args))
        if name not in LOOPS:
            for kind, inode in dict.fromkeys(_DESCRIPTOR.findall(args + b" " + _result(record))):
                self._step(record, process, kind.decode(), int(inode))

    def born(self, record: Record) -> None:
        """A thread or process that was made: the log may show its first calls before the result of its making."""
        if record.syscall in FORKS and record.retval and record.retval > 0:
            maker = self.process_of.get(record.tid, record.tid)
            if b"CLONE_THREAD" in record.args:
                self.process_of[record.retval] = maker
            else:
                self.parent[record.retval] = maker

    def program_of(self, process: int) -> str:
        """The words it was started with; of one that never called execve(2), its parent's."""
        own = self.program.get(process)
        return own if own is not None else self.program_of(self.parent[process]) if process in self.parent else ""

    def _step(self, record: Record, process: int, kind: str, inode: int) -> None:
        name, args = record.syscall, record.args
        track = self.tracks.setdefault((process, inode), Track(process, inode, kind))
        if name in ("socket", "socketpair"):
            track.netlink = args.startswith(b"AF_NETLINK")
        if kind == "pipe" or (name in ("socket", "socketpair") and b"SOCK_STREAM" in args) or name in ACCEPTS:
            self.streams.add(inode)
        if name in READS | WRITES | ACCEPTS | _SPLICES:
            in_vain = record.errno in _IN_VAIN and (record.duration_ns or 0) < _A_LIMIT_NS
            if in_vain or record.outcome == "restarted" or _PROBE in args:
                return
            if inode in self.streams and name not in ACCEPTS and b"MSG_PEEK" not in args and (record.retval or 0) > 0:
                self._flow(record, track)
                return
        if track.netlink and name != "socket":
            track.steps.append(f"{name} {record.errno}")
            return
        # whose descriptor pidfd_getfd(2) fetched is a number of another process: not every tracer looks there
        shown = "" if name == "pidfd_getfd" else _text(args)
        if record.retval is None:
            shown = shown.partition(",")[0]  # what a call that never ended was told, tracers show or not
        if name == "getpeername":  # after the last byte: whether the peer is still there is a race of the job's own
            track.steps.append(name)
            return
        if name in READS and record.retval == 0:
            shown = "END"  # how much room there was for more is the scheduler's
        track.steps.append(f"{name}({shown}) = {_text(_result(record))}")

    @staticmethod
    def _flow(record: Record, track: Track) -> None:
        last = track.steps[-1] if track.steps else None
        name = record.syscall
        if (
            name in _SPLICES
            and _DESCRIPTOR.match(record.args, 0) is not None
            and track.inode == _first_inode(record.args)
        ):
            name += " out of it"
        if not (isinstance(last, Flow) and last.call == name):
            last = Flow(name)
            track.steps.append(last)
        count = record.retval or 0
        if record.syscall in SENDFILES | _SPLICES:
            last.add(b"", count)
        elif record.syscall in _VECTORS:
            for text, length in _ELEMENT.findall(record.args):
                piece = min(int(length), count)
                last.add(unescape(text), piece)
                count -= piece
            last.add(b"", count)  # elements that were not shown
        else:
            last.add(_first_string(record.args), count)


def _first_inode(args: bytes) -> int:
    found = _DESCRIPTOR.match(args)
    return int(found[2]) if found else -1


def _first_string(args: bytes) -> bytes:
    found = _STRING.search(args)
    return unescape(found[1]) if found else b""


def _result(record: Record) -> bytes:
    if record.retval is None:
        return b"?"
    if b"<" in record.result_text:
        return b"%d%b" % (record.retval, record.result_text.strip())
    return b"%d %b" % (record.retval, (record.errno or "").encode())


def _text(shown: bytes) -> str:
    for pattern, name in _VARYING:
        shown = pattern.sub(name, shown)
    return shown.decode(errors="replace").strip()


def seen(recording: Path) -> Seen:
    """Digest a recording that `systrace run` saved. Raises AssertionError where a line can't be read."""
    reading, health = _Reading(), Health()
    with recording.open("rb") as lines:
        facts = json.loads(lines.readline().removeprefix(b"# systrace: "))
        lines.seek(0)
        everything = list(records([Input(str(recording), lines)], EVERY_NAME, health, Style()))
    for record in everything:
        reading.born(record)
    for record in everything:
        reading.take(record)
    assert (health.unparsed, health.orphan_resumes) == (0, 0), health.unparsed_samples
    tracks = [track for track in reading.tracks.values() if track.steps]
    words = Counter(
        re.sub(r"\d+ (?=ms|milliseconds)|(?<=:)\d{5}\b", "N", each.decode(errors="replace"))
        for each in reading.words.values()
    )
    return Seen(facts, tracks, reading.ends, words)
