"""Captures without the command line, as the tests of the tracers make them."""

from tests.tracers.conftest import Done, Going, python, sleeper, start

__all__ = ["Done", "Going", "python", "sleeper", "start"]
