"""The command line: one thin file per sub-command, found by walking this package; the one that is asked for is imported.

A command parses options, calls the stages and a reporter, and nothing else. This is the only place that prints errors
and chooses exit statuses. Modules here import typer at the top and everything else inside the command, because
`--help` and completion import all of them.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import gc
import importlib
import os
import pkgutil
import re
import shutil
import signal
import sys
from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperGroup

from systrace.errors import SystraceError, UsageError

# Ctrl-C ends other commands at once and by the signal itself, wherever Python is. These leave something behind unless they
# are unwound: a tracer, a recording, a changed process. What they need is imported before KeyboardInterrupt may come.
_UNWOUND = {
    "run": "systrace.capture.job",
    "attach": "systrace.capture.attaching",
    "keepalive": "systrace.kernel.keepalive",
    "check": "systrace.probes",
    "sink": "systrace.probes.sink",
}
_WrongUsage: Any = typer.BadParameter.__base__  # click's UsageError, which typer carries under changing names
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)  # write(2), without a file's name

EXAMPLES = """Examples:
  systrace attach 4711
  systrace parse job.strace.gz
  systrace run -- ./nightly_export.sh"""


class _Commands(TyperGroup):
    """The sub-commands; what is none of them gets one line that says what may have been meant."""

    def make_context(self, *args: Any, **more: Any) -> Any:
        """As typer's; its complaints about options are one line of ours."""
        with _one_line():
            return super().make_context(*args, **more)

    def invoke(self, ctx: Any) -> Any:
        """The same for the options of a sub-command."""
        with _one_line():
            return super().invoke(ctx)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As typer's.

        Raises:
            UsageError: there is no such command.
        """
        if args and args[0][:1] not in ("", "-") and args[0] not in self.commands and not ctx.resilient_parsing:
            raise UsageError(f"there is no command {_meant(args[0], list(self.commands))}")
        if args and args[0] in _UNWOUND and not ctx.resilient_parsing:
            importlib.import_module(_UNWOUND[args[0]])
            if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # one that is ignored stays so (nohup, &)
                signal.signal(signal.SIGINT, signal.default_int_handler)
        return super().resolve_command(ctx, args)


@contextlib.contextmanager
def _one_line() -> Iterator[None]:
    """What typer has to say about a command line, in the form of every other error."""
    try:
        yield
    except _WrongUsage as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # `systrace` alone: its help
            raise
        words = error.ctx.command_path.split()[1:] if error.ctx is not None and error.ctx.parent is not None else []
        said = re.sub(r"not a valid int(?:eger)?(?: range)?\b", "no whole number", error.format_message().rstrip("."))
        lead = f"{words[-1]}: " if words else ""
        usage = " ".join(["systrace", *words[-1:], "--help"])
        raise UsageError(f"{lead}{said[:1].lower()}{said[1:]}; see `{usage}`") from None


def _meant(given: str, commands: list[str]) -> str:
    from difflib import get_close_matches

    from systrace.shell import word
    from systrace.words import safe

    name = safe(word(given))
    near = get_close_matches(given.lower(), commands, 1)
    if os.path.exists(given):  # noqa: PTH110 (pathlib raises for names with a NUL)
        return f"{name}: did you mean `systrace parse {name}`?"
    if given.isascii() and given.isdecimal():
        return f"{name}: did you mean `systrace attach {name}`?"
    return f"{name}: did you mean `systrace {near[0]}`?" if near else f"{name}: `systrace --help` lists them"


app = typer.Typer(
    cls=_Commands,
    add_completion=True,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Why does the job hang? Runs, attaches to or reads traces of a batch job and says which socket failed, why, "
    "which lines prove it, and what to do.",
    epilog="\b\n" + EXAMPLES,
)


def _version(wanted: bool) -> None:
    if wanted:
        from systrace import __version__
        from systrace.compiled import how

        typer.echo(f"systrace {__version__} ({how()})")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    from systrace.settings import settings

    if masks := settings().masks:
        from systrace.masking.fields import also_hide

        try:
            also_hide(masks)
        except SystraceError as error:
            say(f"{error}: this mask is not used")


def main() -> None:
    """Run the command line; every expected error is one line on standard error, and Ctrl-C is silent to the last moment."""
    try:
        try:
            _main()
        finally:
            _end_on_interrupt()  # Python takes its time to end, and would show where it was
    except KeyboardInterrupt:  # wherever it came, in a handler of another error too
        _end_on_interrupt()
        sys.exit(128 + signal.SIGINT)


def _modules(words: list[str]) -> list[str]:
    """Those that a command line needs: one command's where it begins with its name, else all."""
    names = [module.name for module in pkgutil.iter_modules(__path__)]
    return words if words[:1] and words[0] in names and "_SYSTRACE_COMPLETE" not in os.environ else names


def _end_on_interrupt() -> None:
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _main() -> None:
    for name in _modules(sys.argv[1:2]):
        importlib.import_module(f"{__name__}.{name}")
    gc.set_threshold(50_000, 50, 100)  # most of what an analysis makes lives to its end: looking for garbage costs 10 %
    atexit.register(gc.freeze)  # nor at the end: Python looks through all that there is before it throws it away
    try:
        app(terminal_width=min(max(shutil.get_terminal_size().columns, 40), 80) - 2)
    except SystraceError as error:
        say(error)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # `| head`: the reader has seen enough
        _drop_output()
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        if error.errno not in _UNWRITABLE or error.filename is not None:
            raise
        _drop_output()
        say(f"cannot write standard output: {error.strerror}")
        sys.exit(SystraceError.exit_code)


def _drop_output() -> None:
    """What is still buffered would fail once more when Python ends."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(text: str | SystraceError) -> None:
    """One line on standard error, with nothing in it that a terminal obeys."""
    from systrace.words import safe

    with contextlib.suppress(OSError):
        print(f"systrace: {safe(str(text))}", file=sys.stderr)  # noqa: T201
