"""Events -> sockets, processes and waits: who held what, what each connection did, who waited on what for how long."""

from systrace.streams.books import Listener
from systrace.streams.tracker import Tracker

__all__ = ["Listener", "Tracker"]
