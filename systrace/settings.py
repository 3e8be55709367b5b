"""Defaults from files and the environment: what an option says counts first, then `SYSTRACE_*`, the user's file, the host's.

    # /etc/systrace.toml, or ~/.config/systrace.toml ($XDG_CONFIG_HOME)
    save-dir = "/var/spool/systrace"    # SYSTRACE_SAVE_DIR
    keep = "30d,2G"                     # SYSTRACE_KEEP
    limits = "/etc/systrace-limits.toml"
    tracer = "strace"
    quiet = true                        # --quiet-if-healthy
    mask = ["order-\\\\d+"]               # patterns of what is hidden beside secrets; SYSTRACE_MASK: one

A file that can't be read, belongs to somebody else or holds nonsense is passed over with one line: no job waits for it.
"""

from __future__ import annotations

import functools
import os
import stat
from pathlib import Path
from typing import Any

from systrace.dataclass import dataclass

HOST = Path("/etc/systrace.toml")
PREFIX = "SYSTRACE_"
NAMES = {"save-dir": str, "keep": str, "limits": str, "tracer": str, "quiet": bool, "mask": list}
_YES = ("1", "yes", "true", "on")
_NO = ("0", "no", "false", "off", "")


@dataclass(frozen=True, slots=True)
class Setting:
    """One value in force, and where it comes from."""

    value: Any
    source: str


@dataclass(frozen=True, slots=True)
class Settings:
    """What is in force by name, and what was wrong with the places."""

    found: dict[str, Setting]
    complaints: list[str]

    def text(self, name: str) -> str | None:
        """A text, None where nothing is set."""
        setting = self.found.get(name)
        return setting.value if setting is not None else None

    @property
    def quiet(self) -> bool:
        """No report where all is well."""
        setting = self.found.get("quiet")
        return setting is not None and setting.value

    @property
    def masks(self) -> list[str]:
        """Patterns of what is to be hidden."""
        setting = self.found.get("mask")
        return setting.value if setting is not None else []


def user_file() -> Path:
    """The user's own."""
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")  # noqa: PTH111 (no home: stays as it is)
    return Path(home) / "systrace.toml"


@functools.cache
def settings() -> Settings:
    """All of them, read once."""
    found: dict[str, Setting] = {}
    complaints: list[str] = []
    for path in (HOST, user_file()):
        values = _read(path, complaints)
        for name, value in values.items():
            _take(found, complaints, name.replace("_", "-"), value, str(path))
    for name, kind in NAMES.items():
        variable = PREFIX + name.replace("-", "_").upper()
        text = os.environ.get(variable)
        if text is None or (text == "" and kind is not bool):
            continue
        _take(found, complaints, name, _read_text(text, kind), variable)
    return Settings(found, complaints)


def _at_once(name: str, flags: int) -> int:
    """Open without waiting for the other end of a pipe."""
    return os.open(name, flags | os.O_NONBLOCK | os.O_NOCTTY)


def _read_text(text: str, kind: type) -> Any:
    if kind is list:
        return [text]
    if kind is bool and text.lower() in (*_YES, *_NO):
        return text.lower() in _YES
    return text


def _read(path: Path, complaints: list[str]) -> dict[str, Any]:
    try:
        with open(path, "rb", opener=_at_once) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                complaints.append(f"{path} is not used: it is no file")
                return {}
            if status.st_uid not in (0, os.geteuid()) or status.st_mode & stat.S_IWOTH:
                complaints.append(f"{path} is not used: others may write it")
                return {}
            import tomllib

            return tomllib.load(file)
    except FileNotFoundError:
        return {}
    except OSError as error:
        if error.errno not in (2, 20):
            complaints.append(f"{path} is not used: {error.strerror}")
    except (ValueError, RecursionError) as error:  # no TOML, no UTF-8
        complaints.append(f"{path} is not used: {error}")
    return {}


def _take(found: dict[str, Setting], complaints: list[str], name: str, value: Any, source: str) -> None:
    kind: Any = NAMES.get(name)
    if kind is None:
        complaints.append(f"{source}: there is no setting {name!r}: it is ignored")
    elif not isinstance(value, kind) or (kind is list and not all(isinstance(each, str) for each in value)):
        wanted = {str: "a text", bool: "true or false", list: "a list of patterns"}[kind]
        complaints.append(f"{source}: {name} is ignored: it takes {wanted}")
    else:
        found[name] = Setting(value, source)
