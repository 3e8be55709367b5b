"""The words and colours of verdicts, as a report and an overview print them."""

from __future__ import annotations

WORDS = {"failed": "FAILED", "hung": "HUNG", "degraded": "DEGRADED", "healthy": "HEALTHY", "inconclusive": "NOT CLEAR"}
COLOURS = {"failed": "red", "hung": "red", "degraded": "yellow", "healthy": "green", "inconclusive": "yellow"}
