"""Rules that watch for what the outlets tell: one file for each style, see `systrace.telemetry`."""
