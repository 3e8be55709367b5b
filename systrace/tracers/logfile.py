"""The old place of `systrace.sources.logfile`, for scripts of others that read recordings."""

from __future__ import annotations

from systrace.sources.logfile import recordings

__all__ = ["recordings"]
