"""Starting costs nothing that the command does not need: what is imported, not how long it takes."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("psutil", "tabulate", "rich.table", "hpack", "cryptography", "duckdb", "ptrace", "jsonschema", "hypothesis")
STAGES = tuple(
    "parser streams messages decoders bodies rules reporters pipeline kernel tracers sources capture".split()
)


_RUN = """
import atexit, runpy, sys
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
if sys.argv[1:]:
    sys.argv[0] = "systrace"
    runpy.run_module("systrace", run_name="__main__")
else:
    import systrace
"""


def imported(*argv: str) -> set[str]:
    """The modules that are loaded when a command of systrace ends; without arguments, after `import systrace`.

    `-X importtime` would not do: it is silent on what importlib.import_module loads, as commands and plug-ins are.
    """
    done = subprocess.run(
        [sys.executable, "-c", _RUN, *argv], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return set(done.stderr.split())


@pytest.mark.parametrize("argv", [("--version",), ("--help",), ("parse", "--help")], ids=" ".join)
def test_nothing_heavy_at_start(argv: tuple[str, ...]) -> None:
    """Neither third-party packages nor stages: commands import them when they run."""
    modules = imported(*argv)
    assert "systrace.commands.parse" in modules
    assert not [name for name in modules if name in HEAVY or name.startswith(tuple(f"{each}." for each in HEAVY))]
    assert not [name for name in modules if name.startswith(tuple(f"systrace.{stage}" for stage in STAGES))]


def test_parsing_imports_no_tracer_process(tmp_path: Path) -> None:
    """A log without HTTP/2 and certificates needs neither their packages nor ptrace."""
    log = tmp_path / "log.strace"
    log.write_text(
        '9 1700000001.000000 write(1, "done\\n", 5) = 5 <0.000010>\n9 1700000001.000100 +++ exited with 0 +++\n'
    )
    modules = imported("parse", "--format", "json", str(log))
    assert "systrace.pipeline" in modules
    assert not modules & {"ptrace", "cryptography", "hpack", "duckdb", "psutil"}


def test_the_package_alone_imports_nothing() -> None:
    """`import systrace` is for free; names arrive when they are asked for."""
    modules = imported()
    assert not [name for name in modules if name.startswith("systrace.")]
