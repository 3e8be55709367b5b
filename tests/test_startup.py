"""Starting costs nothing that the command does not need: what is imported, not how long it takes."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("psutil", "tabulate", "rich.table", "hpack", "cryptography", "duckdb", "ptrace", "jsonschema", "hypothesis")
STAGES = tuple(
    "parser streams messages decoders bodies rules reporters pipeline kernel tracers sources capture probes telemetry".split()
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


@pytest.mark.parametrize("argv", [("--help",), ("parse", "--help")], ids=" ".join)
def test_nothing_heavy_at_start(argv: tuple[str, ...]) -> None:
    """Neither third-party packages nor stages: commands import them when they run."""
    modules = imported(*argv)
    assert "systrace.commands.parse" in modules
    assert not [name for name in modules if name in HEAVY or name.startswith(tuple(f"{each}." for each in HEAVY))]
    assert not [name for name in modules if name.startswith(tuple(f"systrace.{stage}" for stage in STAGES))]


def test_the_version_needs_no_command_line() -> None:
    """Nor anything else: typer's import alone takes five times as long as Python's start."""
    modules = imported("--version")
    assert not [name for name in modules if name.startswith(("systrace.commands", "typer", "re."))]


def test_a_report_imports_no_other_format(tmp_path: Path) -> None:
    """Nine of ten formats bring a library of their own."""
    log = tmp_path / "short.strace"
    log.write_text(
        '9 1.0 execve("/bin/true", ["true"], 0x1) = 0\n9 1.1 exit_group(0) = ?\n9 1.2 +++ exited with 0 +++\n'
    )
    for form, own in (("table", "table"), ("json", "json"), ("markdown", "markdown")):
        modules = imported("parse", "--format", form, str(log))
        formats = {name.rpartition(".")[2] for name in modules if name.startswith("systrace.reporters.formats.")}
        assert own in formats
        assert not formats & {"har", "html", "junit", "otlp", "pcapng", "perfetto"}
        assert "ssl" not in modules


def test_a_command_imports_no_other_command() -> None:
    """Their options would all be made, and thrown away."""
    modules = imported("parse", "--help")
    assert not modules & {"systrace.commands.run", "systrace.commands.attach", "systrace.commands.doctor"}


def test_a_job_does_not_wait_for_the_analysis() -> None:
    """Nouns and parser are half of all imports: the analyst has them in its own process, the job does not wait for it."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys, systrace.capture.job; print(*sys.modules)"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    late = ("systrace.model", "systrace.parser", "systrace.masking", "systrace.pipeline", "systrace.rules")
    assert not [name for name in done.stdout.split() if name.startswith(late)]


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
