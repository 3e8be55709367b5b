"""What the shell's Tab completes beyond options: causes, formats, tracers, processes. Imported at each start, so lazily."""

from __future__ import annotations

from collections.abc import Iterator

MOST = 500  # processes: nobody reads a longer list


def causes(incomplete: str) -> list[tuple[str, str]]:
    """For `explain`: the causes, with what they are (which zsh and fish show), and the glossary."""
    from systrace.rules.pages import pages

    known = [(name, page.summary) for name, page in pages().items()] + [("terms", "What the words of reports mean.")]
    return [each for each in known if each[0].startswith(incomplete)]


def formats(incomplete: str) -> list[str]:
    """For --format."""
    from systrace.reporters import REPORTERS

    return [name for name in REPORTERS if name.startswith(incomplete)]


def tracers(incomplete: str) -> list[str]:
    """For --tracer."""
    from systrace.capture import choosing

    return [name for name in choosing.names() if name.startswith(incomplete)]


def pids(incomplete: str) -> list[tuple[str, str]]:
    """For PID: the processes that may be looked at, the youngest first, with their names (which zsh and fish show)."""
    found = ((str(pid), names) for pid, names in _processes() if str(pid).startswith(incomplete))
    return [(pid, " ".join(sorted(names, key=len, reverse=True))) for pid, names in found]


def names(incomplete: str) -> list[str]:
    """For --name: what the processes that may be looked at are called."""
    every = {name for _pid, names in _processes() for name in names}
    return sorted(name for name in every if name.startswith(incomplete))


def _processes() -> Iterator[tuple[int, set[str]]]:
    """Number and names; names that a shell or a terminal could take for something else are left out."""
    from systrace.kernel import naming

    for pid in naming.visible()[:MOST]:
        names = {name for name in naming.names_of(pid) if _plain(name)}
        yield pid, names


def _plain(name: str) -> bool:
    return name.isascii() and all(char.isalnum() or char in "._+@%=-" for char in name) and not name.startswith("-")
