"""What the dying said: their error channel and log files, and those of the shells above them."""

from __future__ import annotations

import re
from dataclasses import field

from systrace.dataclass import dataclass
from systrace.messages.problem import printable
from systrace.model import Event, Output, Printed, Process
from systrace.rules.case.index import Case, once
from systrace.rules.content.answers import answers

_TEXT_LIMIT = 16 << 10  # characters looked at
_SAID = re.compile(
    r"(?i)exception|error|fail|fatal|traceback|invalid|malformed|unexpected|expected|parse|panic|denied|refused"
    r"|unable|cannot"
    r"|can't|could not|short|missing|bad |empty|no |not |abort|undefined|warn|unknown|die|wrong"
)
_WHOLE_SENTENCE = re.compile(
    r"^\s*(?:\[cause\]: )?(?:[\w.$:]*(?:Error|Exception|Fault|Panic)\b|Caused by: |\w+: (?:\(\d+\) |error)|parse error|ERROR)"
    r"|\((?:\w+::)*\w*(?:Error|Exception)\)$"
)
_FRAME = re.compile(
    r"^(?:\s+(?:at |File |from |\.\.\. |[\^~ ]+$|raise |return )|Traceback |During handling|The above exc|Node\.js v)"
)
_HOST = re.compile(r"[0-9A-Fa-f]*:[0-9A-Fa-f:]*:[0-9A-Fa-f.:]*|[\w-]+(?:\.[\w-]+)*")  # an address or a name
_ADDRESS = re.compile(r"(?<![\w.-])(?:[\w-]+(?:\.[\w-]+)*|\[[0-9A-Fa-f:.]+\]):\d{1,5}\b")  # a host and its port
_BYTES = re.compile(r"\\x[0-9a-f]{2}|[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x9f\ufffd]")

# Words of a program that dies of an exception or of its own fault.
EXCEPTION_WORDS = (
    r"Traceback \(most recent|\bException\b|(?:Error|Exception)\b[:)]|PHP Fatal|Uncaught|panic:|terminate called"
    r"|at \S+ line \d+|parse error|stack smashing|double free|Segmentation fault|Assertion|malformed|undefined method"
    r"|\(RuntimeError\)"
)
# Words that name a failure of the transport, of name resolution or of this host: the data is not to blame then.
TRANSPORT_WORDS = (
    r"(?i)timed? ?out|resource temporarily unavailable|refused|reset by peer|broken pipe|unreachable|gaierror"
    r"|name or service|resolve|getaddrinfo"
    r"|connection|ECONN|EPIPE|ETIMEDOUT|certificate|ssl|no space left|permission denied|keyboardinterrupt|memoryerror"
    r"|too many open|no such file|modulenotfound|importerror|command not found|is a directory|not a directory"
    r"|unbound variable|parameter (?:null or )?not set|bad substitution"
)


# A limit that ran out, as programs say it; not a setting of that name (`timeout=10` in a line of a traceback).
_TIMED_OUT = re.compile(r"(?i)(?<!-)time[ds]?[ -]?out(?![=(: ]+\d)|deadline exceeded")


@dataclass(slots=True)
class Said:
    """What a process and those above it wrote: error channel, log files, standard output but for the data itself."""

    text: str = ""
    events: list[Event] = field(default_factory=list)
    cut: bool = False  # `-s` hides a part of it
    elsewhere: str = ""  # the last line, where it was left out as it names another host only

    def has(self, pattern: str) -> bool:
        """Whether the words fit."""
        return re.search(pattern, self.text) is not None

    def fitting(self, pattern: str) -> str | None:
        """The pattern, where the words fit it."""
        return pattern if self.has(pattern) else None

    @property
    def timed_out(self) -> bool:
        """Its last words are that a limit ran out."""
        return _TIMED_OUT.search(self.line()) is not None

    def without(self, others: frozenset[str], own: frozenset[str]) -> Said:
        """The same without lines that name others (`host`, `host:port`) and none of its own: they are not of this peer."""
        lines = self.text.splitlines(keepends=True)
        kept = [all(_is_of(set(names.findall(line)), others, own) for names in (_HOST, _ADDRESS)) for line in lines]
        elsewhere = lines[-1] if lines and not kept[-1] else ""
        return Said(
            "".join(line for line, keep in zip(lines, kept, strict=True) if keep), self.events, self.cut, elsewhere
        )

    def line(self, words: str = "") -> str:
        """The sentence that says most, for quoting, one with these words if there is; "" when nothing was said."""
        lines = [line.rstrip() for line in self.text.splitlines() if _is_words(line)]
        fitting = [line for line in lines if words and re.search(words, line)]
        found = ""
        for among in (fitting, lines):
            for pattern in (_WHOLE_SENTENCE, _SAID):
                found = found or next((line for line in reversed(among) if pattern.search(line)), "")
            found = found or (among[-1] if among else "")
        return printable(found.strip().encode("utf-8", "replace"), 200)


def _is_of(named: set[str], others: frozenset[str], own: frozenset[str]) -> bool:
    """What a line names is its own, or nobody that is known."""
    return bool(named & own) or not named & others


def _is_words(line: str) -> bool:
    """A line for people: no frame of a traceback, and nothing binary."""
    if not line.strip() or _FRAME.match(line):
        return False
    odd = _BYTES.findall(line)
    shown = len(line) - sum(len(part) - 1 for part in odd)
    return len(odd) * 5 <= shown


def said_by(case: Case, process: Process, received_by: Process | None = None, since: int | None = None) -> Said:
    """What this process, the receiver and those above wrote at their ends, or after a moment in the order of `Case.at`."""
    said = Said()
    chain: list[Process] = [process]
    if received_by is not None and received_by is not process:
        chain.append(received_by)
    chain += [parent for parent in case.above(process) if parent not in chain]
    texts = []
    for each in chain:
        pieces = [piece for piece in _written(case, each) if since is None or piece.at >= since]
        if each is received_by and each is not process and case.fate(each) == "ok":
            pieces = [piece for piece in pieces if piece.error]  # what it printed is its result, no complaint
        texts.append(_joined(pieces))
        said.events += [piece.event for piece in pieces]
        said.cut = said.cut or any(piece.cut for piece in pieces)
    for event in case.evidence.printed:
        texts.append(event.data.decode("utf-8", "replace") if isinstance(event, Printed) else "")
        said.events.append(event)
    said.text = "\n".join(text for text in texts if text)[-_TEXT_LIMIT:]
    return said


def own_words(case: Case, process: Process) -> str:
    """What this process itself wrote to its error channel, its log and its standard output."""
    return _joined(_written(case, process))


@dataclass(frozen=True, slots=True)
class _Piece:
    """One write."""

    at: int
    text: str
    event: Event
    cut: bool
    error: bool  # not standard output


def _joined(pieces: list[_Piece]) -> str:
    """Standard error comes last, as what counts most."""
    return "".join(piece.text for error in (False, True) for piece in pieces if piece.error == error)[-_TEXT_LIMIT:]


@once
def _known(_case: Case) -> dict[int, list[_Piece]]:
    return {}


def _written(case: Case, process: Process) -> list[_Piece]:
    known = _known(case)
    if process.pid not in known:
        pieces = known[process.pid] = []
        carried = _carried(case, process) if any(map(_is_plain, process.output)) else b""
        for output in process.output:
            data = output.data
            error = output.fd == 2 or output.path == "stderr" or "log" in output.path.rsplit("/", 1)[-1].lower()
            plain = _is_plain(output)
            if (error or plain) and not (plain and data[:48] in carried):
                text = data.decode("utf-8", "backslashreplace")
                cut = len(data) < output.event.size
                pieces.append(_Piece(case.at(output.event), text, output.event, cut, error))
    return known[process.pid]


def _is_plain(output: Output) -> bool:
    return output.fd == 1 or output.path == "stdout"


def _carried(case: Case, process: Process) -> bytes:
    """The beginnings of what a process downloaded: copied to its output, that is not its own words."""
    return b"\n".join(
        a.response.body.data()[:_TEXT_LIMIT]
        for a in answers(case)
        if a.process is process and a.response.body is not None
    )
