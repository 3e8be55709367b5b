"""The life of a socket as calls show it: a table, not TCP's own states, since calls are not segments.

An absent entry means that the event leaves the state as it is.
"""

from __future__ import annotations

STATES: dict[tuple[str, str], str] = {
    ("new", "bind"): "bound",
    ("new", "listen"): "listening",
    ("bound", "listen"): "listening",
    ("new", "connect"): "connecting",
    ("bound", "connect"): "connecting",
    ("failed", "connect"): "connecting",
    ("new", "connected"): "established",
    ("connecting", "connected"): "established",
    ("failed", "connected"): "established",
    ("new", "failed"): "failed",
    ("connecting", "failed"): "failed",
    ("bound", "failed"): "failed",
    ("new", "data"): "established",
    ("bound", "data"): "established",
    ("connecting", "data"): "established",
    ("established", "eof"): "peer-closed",
    ("established", "shut"): "half-closed",
    ("half-closed", "eof"): "finished",
    ("peer-closed", "shut"): "finished",
    ("established", "error"): "broken",
    ("half-closed", "error"): "broken",
    ("peer-closed", "error"): "broken",
    ("connecting", "close"): "abandoned",
    ("new", "close"): "closed",
    ("bound", "close"): "closed",
    ("listening", "close"): "closed",
    ("established", "close"): "closed",
    ("half-closed", "close"): "closed",
    ("peer-closed", "close"): "closed",
    ("finished", "close"): "closed",
    ("failed", "close"): "failed",
    ("broken", "close"): "broken",
}


def after(state: str, happened: str) -> str:
    """The state after something happened."""
    return STATES.get((state, happened), state)
