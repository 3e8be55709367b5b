"""Saved logs: which files are one recording, whether they are strace's at all, their lines."""
