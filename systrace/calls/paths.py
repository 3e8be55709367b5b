"""Files by their names: those that come with the system or a language are no data of the job."""

from __future__ import annotations

LIBRARIES = (".so", ".py", ".pyc", ".pm", ".rb", ".jar", ".php", ".js", ".node", ".dll")
OF_SYSTEM = ("/usr/", "/lib", "/etc/", "/proc/", "/sys/", "/bin/", "/dev/null", "/dev/tty", "/dev/urandom")


def is_library(path: str) -> bool:
    """Code that a program loads: it tells which client or driver the program uses."""
    return path.endswith(LIBRARIES) or ".so." in path


def is_of_system(path: str) -> bool:
    """No data that a job works on."""
    return path.startswith(OF_SYSTEM)
