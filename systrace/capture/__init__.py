"""A job (or a process) under trace, from the command line's options to the report: the course of `run` and `attach`."""
