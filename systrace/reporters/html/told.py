"""Text and times of a trace as the page may hold them."""

from __future__ import annotations

from systrace.masking.masks import Masks
from systrace.model import Evidence
from systrace.words import clean

_LONGEST = 400  # characters of a text


class Told:
    """Makes text harmless, masks what is known to be a secret, and counts time from the log's beginning."""

    def __init__(self, evidence: Evidence) -> None:
        self.masks: Masks = evidence.masks
        self._known = evidence.source.first_ns is not None
        self.first = evidence.source.first_ns or 0

    def text(self, text: str | bytes, limit: int = _LONGEST) -> str:
        """One line; secrets that were learnt since the analysis was masked are masked as well."""
        if self.masks.any_known and not self.masks.shown and text:
            raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
            if spans := self.masks.known(raw):
                text = self.masks.data(raw, spans)
        return clean(text, limit)

    def at(self, ns: int | None) -> int | None:
        """Microseconds since the first line; None where nobody knows."""
        return (ns - self.first) // 1000 if ns is not None and self._known else None
