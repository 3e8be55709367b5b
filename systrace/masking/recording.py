"""A recording without its secrets that parses to the same verdict: only what stands in strace's strings is changed.

Masks have the length of what they hide, so lengths and results stay true. Lines that the parser keeps as evidence of
something else than a call (notes, output of the program, facts) are masked as text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import field

from systrace.dataclass import dataclass
from systrace.masking.calls import CallMasks
from systrace.masking.masks import Masks
from systrace.model import RETURNED, Record

# The columns before a call, whatever collector put others before them; the call's name; its arguments, as far as they go.
_CALL = re.compile(rb"\A([^\"]{0,400}?)(?<![\w.])([a-z_][a-z0-9_]{1,40})\(")
_RESUMED = re.compile(rb"\A[^\"]{0,400}?<\.\.\. ([a-z_]\w{1,40}) resumed>")
_TID = re.compile(rb"(?:\[pid +|\A)(\d{1,10})\b")
_FACT = b"# systrace: "
Change = Callable[[bytes], bytes]


@dataclass(slots=True)
class Redaction:
    """What is done to each line; `names` replaces names and addresses as well, after the secrets."""

    names: Change | None = None
    masks: Masks = field(default_factory=Masks)
    lines: int = 0

    def redacted(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """The lines of one file, in order."""
        calls = CallMasks(self.masks)
        for line in lines:
            self.lines += 1
            changed = self._fact(line) if line.startswith(_FACT) else self._line(line, calls)
            yield self.names(changed) if self.names is not None else changed

    def learn(self, lines: Iterable[bytes]) -> None:
        """Only look: what is a secret further down is one above, too."""
        calls = CallMasks(self.masks)
        for line in lines:
            if line.startswith(_FACT):
                self._fact(line)
            else:
                self._line(line, calls)

    def _line(self, line: bytes, calls: CallMasks) -> bytes:
        begun = _CALL.match(line)
        resumed = _RESUMED.match(line) if begun is None else None
        match = begun or resumed
        if match is None:
            return self.masks.line(line)
        name = (begun[2] if begun is not None else match[1]).decode()
        tid = _TID.search(line, 0, match.end())
        args = line[match.end() :]
        record = Record(0, 0, int(tid[1]) if tid is not None else 0, None, None, name, args, None, None, RETURNED, b"")
        return line[: match.end()] + calls.args(record)

    def _fact(self, line: bytes) -> bytes:
        """Its words may be a command; it stays JSON."""
        try:
            value = json.loads(line[len(_FACT) :])
        except ValueError:
            return self.masks.line(line)
        if not isinstance(value, dict):
            return line
        changed = {key: self._of_fact(each) for key, each in value.items()}
        end = line[len(line.rstrip(b"\r\n")) :]
        return line if changed == value else _FACT + json.dumps(changed).encode() + end

    def _of_fact(self, value: object) -> object:
        if isinstance(value, list) and value and all(isinstance(word, str) for word in value):
            self.masks.learn_argv(value)
            return self.masks.words(value)
        if isinstance(value, list):
            return [self._of_fact(each) for each in value]
        if isinstance(value, dict):
            return {key: self._of_fact(each) for key, each in value.items()}
        return self.masks.text(value) if isinstance(value, str) else value
