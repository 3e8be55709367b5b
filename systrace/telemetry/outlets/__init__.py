"""Outlets: one file each, see `systrace.telemetry`."""
