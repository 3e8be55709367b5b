"""Everything that is not one complete call on one line: calls in two halves, signals, exits, messages of strace,
and output of the traced program spliced into the records (strace-format 3 and 4).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from systrace.calls import COUNTED_WRITES, EXECS, FORKS, FUTEXES, OWN_NUMBERS, SLEEPS
from systrace.model import DETACHED, ENDED, RETURNED, UNFINISHED, Health, Record, Style
from systrace.parser.calls import failed_somehow, parse_result, split_call, torn, trim_spliced
from systrace.parser.leader import Shape, note_unasked
from systrace.parser.threads import Half, Threads

_MESSAGE = re.compile(
    rb"(?:\S{0,200}strace[^\s:]{0,40}: )?Process (\d{1,8}) (attached|detached|suspended|resumed)\b[^\n]*"
)
_SPLICED_MESSAGE = re.compile(
    rb"(?:/\S{0,200}/?strace[^\s:/]{0,40}: |strace: )?Process (\d{1,8}) (attached|detached)(?: \(waiting for parent\))?\s*\Z"
)
_RESUMED = re.compile(rb"([A-Za-z_?][\w?]*)(?:#64)? resumed>")
_EXITED = re.compile(rb"exited with (\d{1,9}) \+\+\+")
_KILLED = re.compile(rb"killed by (\w+)")
_SUPERSEDED = re.compile(rb"superseded by execve in pid (\d{1,8})")
_SPLICED_SUPERSEDED = re.compile(
    rb"(?:\d{1,8}|\[pid +\d{1,8}\]) [^\"+]{0,64}\+\+\+ superseded by execve in pid (\d{1,8}) \+\+\+\Z"
)
_PID_CHANGED = re.compile(rb" ?<pid changed to (\d{1,8}) \.\.\.>\Z")
_CONTINUES = (b")", b", ", b" =>", b'"', b"{", b"[", b" <unfinished ...>", b" <detached ...>", b" ) =", b"NULL", b"0x")
_BELONGING = re.compile(
    rb"\| [0-9a-f]{5,}  |\* \d+ bytes in buffer|= \d+ buffers in vector|> \S|VCPU:"  # dumps, stacks
    rb"|% time|------ |\d[\d.]* +[\d.]+ +\d+ +\d+ |System call usage summary|\d[\d.]* +[\d.]+ [ \d]*total"
    rb"|[^\"(]{0,80}\[ Process PID=\d+ runs in"
)
_UNFINISHED = b"<unfinished ...>"
_TICKS = SLEEPS | FUTEXES | {"restart_syscall"}  # of helper threads that never rest
_BEGUN = re.compile(rb"(\d{1,8})(?:<[^>\n]{0,64}>)?(?: [^+]*)?$")  # a line without its end that is no call yet
_DETACHED = b"<detached ...>"
_REST_OF_ERROR = re.compile(rb"\s*[A-Z0-9]* ?\([A-Z][^()]*\)")  # `REACH (No route to host) <3.0>`
_RESULT_AT_END = re.compile(rb"\) += (?:-?\d|0x|\?)|<unfinished \.\.\.>\s*\Z|<detached \.\.\.>\s*\Z")
_FACT = b"# systrace: "
_MAX_OPEN = 1 << 20  # bytes of an unclosed record that are waited for
_SAMPLES = 5
LONG = 700
HALVES = b" || "  # between what the evidence quotes of a call in two halves


def abridged(line: bytes) -> bytes:
    """The text kept as evidence: a long line loses its middle."""
    return line if len(line) <= LONG else line[:460] + b" ... " + line[-200:]


class Irregular:
    """The slow path, with all that must be remembered between lines."""

    def __init__(self, source: int, keep: Mapping[bytes, str], health: Health, style: Style, tid: int) -> None:
        self._source = source
        self._keep = keep
        self._health = health
        self._style = style
        self._fixed_tid = tid
        self.threads = Threads(style, tid)
        self.pending = self.threads.pending
        self.open: Half | None = None  # an unclosed record, whose rest may follow on the next line

    def _note(self, what: str, tid: int, lineno: int, time_ns: int | None, args: bytes, raw: bytes) -> Record:
        return Record(self._source, lineno, tid, time_ns, None, what, args, None, None, RETURNED, raw)

    def take_notices(self) -> list[Record]:
        """What became known by the way (a thread got its name)."""
        notices = [self._note("attached", tid, 0, None, b"renames", b"") for tid in self.threads.renamed]
        self.threads.renamed.clear()
        return notices

    # --------------------------------------------------------------------------------------------- lines with columns

    def plausible(self, newly: Shape, shape: Shape, line: bytes) -> bool:
        """Whether a line with other columns than the log's is a record at all, or output that looks like one."""
        poorer = (shape.clock != "none" and newly.clock == "none") or (shape.pid == "bare" and newly.pid != "bare")
        return not poorer or (self.open is None and _RESULT_AT_END.search(line) is not None)

    def line(self, lineno: int, line: bytes, match: re.Match[bytes], time_ns: int | None) -> Iterator[Record]:
        """A line with the log's columns that is no plain call."""
        pid, _, _, name, other = match.groups()
        if other == b"<... " and (not pid or int(pid) not in self.threads.alive):
            found = _RESUMED.match(line, match.end())
            tid = self.threads.of_resumed(pid, found[1].decode() if found is not None else None)
        else:
            tid = self.threads.of(pid)
        if self.threads.renamed:
            yield from self.take_notices()
        if self.open is not None:
            yield from self._close_open(name is not None)
        if name is not None and pid and tid in self.pending:
            yield from self.overtaken(tid)
        body = line[match.end() :].rstrip()
        if name is not None:
            yield from self._call(lineno, line, tid, time_ns, name, body)
        elif other == b"<... ":
            yield from self._resumed(lineno, line, tid, time_ns, body)
        elif other == b"---":
            if body.endswith(b"---"):
                yield self._note("signalled", tid, lineno, time_ns, body[:-3].strip(), line)
        else:
            yield from self._ended(lineno, line, tid, time_ns, body)

    def _call(
        self, lineno: int, line: bytes, tid: int, time_ns: int | None, name: bytes, body: bytes
    ) -> Iterator[Record]:
        call = self._keep.get(name)
        if call is None:
            note_unasked(self._style, name, line)
        half = Half(lineno, tid, time_ns, call, body, line)
        self._health.records += 1
        yield from self._place(half)

    def _place(self, half: Half) -> Iterator[Record]:
        """Decide what a call's text is: waiting for its second half, cut by a message, complete, or open."""
        text = half.text
        if text.endswith(_UNFINISHED):
            half.text = text[: -len(_UNFINISHED)]
            if half.text.endswith(b" "):
                half.text = half.text[:-1]
            yield from self._wait_for_end(half)
            return
        if text.endswith(_DETACHED):
            self._style.let_go = True
            half.text = text[: -len(_DETACHED)].rstrip()
            if half.call is not None:
                yield self._record(half, half.text, None, None, DETACHED, None, b"")
            return
        changed = _PID_CHANGED.search(text)
        if changed is not None:
            half.text = text[: changed.start()]
            half.tid = int(changed[1])
            self.pending[half.tid] = half
            return
        fused = _SPLICED_SUPERSEDED.search(text, max(0, len(text) - 150)) if half.call in EXECS else None
        if fused is not None:  # strace 6.1 begins the line again under the new number, and does not end it
            half.text = text[: fused.start()]
            self.pending[half.tid] = half
            yield from self._superseded(half.lineno, half.raw, half.tid, half.time_ns, fused[1])
            return
        spliced = _SPLICED_MESSAGE.search(text[-300:])
        if spliced is not None:
            half.text = text[: max(0, len(text) - 300) + spliced.start()]
            told = list(self._process_message(spliced, half.lineno, half.time_ns))
            if half.call not in FORKS:  # else its result says so too, and whether the new one is a thread
                yield from told
            self._open(half)
            return
        done = split_call(text)
        if done is None or (parsed := parse_result(done[1])) is None:
            self._open(half)
            return
        args, result_text = done[0], parsed[4]
        retval, errno, outcome, duration, _ = parsed
        if args.endswith(_UNFINISHED):  # "read(3,  <unfinished ...>) = ?": killed while inside
            args = args[: -len(_UNFINISHED)].rstrip()
            outcome = UNFINISHED
        if half.call is not None:
            if half.call in COUNTED_WRITES:
                args = trim_spliced(args, retval)
            yield self._record(half, args, retval, errno, outcome, duration, result_text)

    def overtaken(self, tid: int) -> Iterator[Record]:
        """The thread makes another call: the one that was under way has returned, and its second half is missing.

        Signals don't disturb this: strace prints the end of a call before the signal that interrupted it.
        """
        half = self.pending.pop(tid)
        if half.call is not None:
            yield self._record(half, half.text, None, None, ENDED, None, b"")

    def _wait_for_end(self, half: Half) -> Iterator[Record]:
        previous = self.pending.pop(half.tid, None)
        if previous is not None and previous.call is not None:
            yield self._unfinished(previous)
        self.pending[half.tid] = half
        if half.call in FORKS:
            yield self._note("cloning", half.tid, half.lineno, half.time_ns, half.text, half.raw)

    def _open(self, half: Half) -> None:
        self.open = half

    def _record(
        self,
        half: Half,
        args: bytes,
        retval: int | None,
        errno: str | None,
        outcome: str,
        duration: int | None,
        text: bytes,
    ) -> Record:
        call = half.call or "?"
        if call in FORKS and retval:
            self.threads.announce(retval)
        if call in OWN_NUMBERS and retval:
            self.threads.told_itself(half, retval)
        raw = abridged(half.raw)
        if half.replaced:  # strace 6.1 may print "= -1 (errno 18446744073709551359)"
            retval, errno, outcome = 0, None, RETURNED
        return Record(
            self._source, half.lineno, half.tid, half.time_ns, duration, call, args, retval, errno, outcome, raw, text
        )

    def _unfinished(self, half: Half) -> Record:
        return self._record(half, half.text, None, None, UNFINISHED, None, b"")

    def _resumed(self, lineno: int, line: bytes, tid: int, time_ns: int | None, body: bytes) -> Iterator[Record]:
        found = _RESUMED.match(body)
        if found is None:
            self._unparsed(line)
            return
        tail = body[found.end() :]
        call = self._keep.get(found[1])
        half = self.pending.get(tid)
        if half is not None and (half.call in (call, "restart_syscall") or call == "restart_syscall"):
            del self.pending[tid]
            if half.call is None:
                return
        elif call is None:
            return
        else:
            self._health.orphan_resumes += 1
            if half is not None and half.call is not None:
                yield from self.overtaken(tid)
            half = None
        if tail.startswith(b" ") and not tail.startswith((b" =>", b"  ")):
            tail = tail[1:]  # up to 4.26 a blank follows "resumed>"
        if half is None:
            self._health.records += 1
            lost = Half(lineno, tid, None, call, b"", line)
            yield from self._finish_resumed(lost, tail, time_ns, line)
            return
        yield from self._finish_resumed(half, half.text + tail, time_ns, line)

    def _finish_resumed(self, half: Half, text: bytes, time_ns: int | None, line: bytes) -> Iterator[Record]:
        orphan = not half.text and half.time_ns is None and half.raw is line
        if text.endswith(_UNFINISHED):  # restarted under strace's eyes, or printed in two more parts
            half.text = text[: -len(_UNFINISHED)].rstrip()
            self.pending[half.tid] = half
            return
        done = split_call(text)
        parsed = parse_result(done[1]) if done else None
        if done is None or parsed is None:
            half.text = text
            self._open(half)
            return
        retval, errno, outcome, duration, result_text = parsed
        if duration is None and time_ns is not None and half.time_ns is not None:
            duration = max(0, time_ns - half.time_ns)
        if orphan and time_ns is not None:
            half.time_ns = time_ns - (duration or 0)
        if half.raw is not line:
            half.raw = half.raw.rstrip()[:400] + HALVES + line.lstrip()[:300]
        yield self._record(half, done[0], retval, errno, outcome, duration, result_text)

    def _ended(self, lineno: int, line: bytes, tid: int, time_ns: int | None, body: bytes) -> Iterator[Record]:
        exited = _EXITED.search(body)
        killed = _KILLED.search(body)
        superseded = _SUPERSEDED.search(body)
        if superseded is not None:
            yield from self._superseded(lineno, line, tid, time_ns, superseded[1])
            return
        half = self.pending.pop(tid, None)
        if half is not None and half.call is not None:
            yield self._unfinished(half)
        if exited is not None or killed is not None:
            self.threads.gone(tid)
            if exited is not None:
                yield self._note("exited", tid, lineno, time_ns, exited[1], line)
            elif killed is not None:
                yield self._note("killed", tid, lineno, time_ns, killed[1], line)

    def _superseded(self, lineno: int, line: bytes, tid: int, time_ns: int | None, former: bytes) -> Iterator[Record]:
        self.threads.superseded(int(former), tid)
        yield self._note("superseded", tid, lineno, time_ns, former, line)

    # ---------------------------------------------------------------------------------------------- lines without columns

    def foreign(self, lineno: int, line: bytes) -> Iterator[Record]:
        """A line that does not begin as strace begins one."""
        text = line.strip()
        if not text:
            return
        if text.startswith(b"#"):
            if text.startswith(_FACT):
                yield from self._fact(lineno, text[len(_FACT) :])
            return
        message = _MESSAGE.match(text)
        if message is not None:
            yield from self._process_message(message, lineno, None)
            return
        if self.open is not None and self._continues(line):
            half = self.open
            self.open = None
            joint = b" " if line.startswith(b"(") else b""  # where a mail program broke the line, the blank is gone
            half.text = (half.text + joint + line.rstrip(b"\r\n")).rstrip()
            yield from self._place(half)
            return
        if text in (_UNFINISHED, _DETACHED):
            return
        if self.open is None and text.startswith((b"<... ", b"+++ ")):
            return
        if _BELONGING.match(text) is not None:
            return
        if self._style.pid == "bare" or self._fixed_tid or self._style.clock == "epoch":
            self._unparsed(line)
        else:
            self._health.foreign += 1
        yield self._note("text", self.threads.last, lineno, None, line[:4096], b"")

    def _continues(self, line: bytes) -> bool:
        if self.open is None or len(self.open.text) > _MAX_OPEN:
            return False
        if failed_somehow(self.open.text) is not None:
            return _REST_OF_ERROR.match(line) is not None
        return line.startswith(_CONTINUES) or b") = " in line or line.lstrip().startswith((b")", b"<unfinished"))

    def _close_open(self, returned: bool = False) -> Iterator[Record]:
        """A line without its end; where another call follows it has returned, and somebody cut it (`connect(3, {sa_f...`)."""
        half, self.open = self.open, None
        if half is None or half.call is None:
            return
        if (failure := failed_somehow(half.text)) is not None:
            args, errno = failure
            yield self._record(half, args, -1, errno, RETURNED, None, b"")
        else:
            yield self._record(half, half.text, None, None, ENDED if returned else UNFINISHED, None, b"")

    def _process_message(self, message: re.Match[bytes], lineno: int, time_ns: int | None) -> Iterator[Record]:
        tid = int(message[1])
        if message[2] == b"attached":
            self.threads.attached(tid, b"with" in message[0] or b"interrupt to quit" in message[0])
        elif message[2] == b"detached":
            self._style.let_go = True
            self.threads.gone(tid)
        else:
            return
        yield self._note(message[2].decode(), tid, lineno, time_ns, b"", message[0])

    def _fact(self, lineno: int, text: bytes) -> Iterator[Record]:
        try:
            fact = json.loads(text)
        except (ValueError, RecursionError):
            return
        if isinstance(fact, dict):
            yield self._note("fact", 0, lineno, None, text, abridged(b"# systrace: " + text))

    def _unparsed(self, line: bytes) -> None:
        self._health.unparsed += 1
        if len(self._health.unparsed_samples) < _SAMPLES:
            self._health.unparsed_samples.append(line.strip()[:200].decode("utf-8", "replace"))

    def finish(self, last: bytes = b"") -> Iterator[Record]:
        """Calls that never got a result, in order of their start. The last one of a log that was cut may have got one."""
        half = self.open
        if self._health.torn and half is None and (begun := _BEGUN.match(last)) is not None:
            self._health.torn_in = int(begun[1])
        cut = half is not None and self._health.torn and failed_somehow(half.text) is None
        if half is not None and half.call is not None and cut and torn(half.call, half.text.rstrip()):
            self.open, self._health.torn_in = None, half.tid
            self._health.torn_tick = half.call in _TICKS
            yield self._record(half, half.text, None, None, ENDED, None, b"")
        yield from self._close_open()
        for half in sorted(self.pending.values(), key=lambda h: h.lineno):
            if half.call is not None:
                yield self._unfinished(half)
        self.pending.clear()
