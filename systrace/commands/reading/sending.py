"""`parse --otlp URL`: the spans of each recording go to a collector, beside its reports."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from systrace.commands import say
from systrace.errors import SystraceError
from systrace.reporters import REPORTERS, write_whole
from systrace.telemetry.outlets.otlp import endpoint, post

if TYPE_CHECKING:
    from systrace.model import Analysis


class Sender:
    """One for a command line: a collector that failed is not waited for again."""

    def __init__(self, url: str) -> None:
        """Check the URL.

        Raises:
            UsageError: it is none.
        """
        endpoint(url)
        self._url, self._failed = url, False

    def __call__(self, analysis: Analysis) -> None:
        """Send its spans; what goes wrong is said in a line."""
        if self._failed:
            return
        body = io.BytesIO()
        write_whole(REPORTERS["otlp"], analysis, body)
        try:
            post(self._url, body.getvalue())
        except SystraceError as error:
            self._failed = True
            say(f"--otlp: {error}")
