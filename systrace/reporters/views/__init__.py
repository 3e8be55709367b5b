"""One view of an analysis each: its sockets, one conversation, its requests, its calls."""
