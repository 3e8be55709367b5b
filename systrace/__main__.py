"""`python -m systrace`, and the console script."""

# signal itself imports enum, which takes so long that a Ctrl-C in it is a traceback.
import _signal  # type: ignore[import-not-found]
import os
import sys

if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # Ctrl-C while modules are imported ends it without a traceback


def main() -> None:
    """Run the command line. Where that can't even be imported, `run` still runs its job."""
    if sys.argv[1:] == ["--version"] and _said_version():
        return
    try:
        from systrace.commands import main as command_line

        command_line()
    except Exception as error:
        if not _become_the_job(error):
            raise


def _said_version() -> bool:
    """Without the command line, whose import takes ten times as long. False: it is to say what went wrong."""
    from systrace import __version__
    from systrace.compiled import how

    try:
        os.write(1, f"systrace {__version__} ({how()})\n".encode())
    except OSError:
        return False
    return True


def _become_the_job(error: Exception) -> bool:
    """What nobody expected, before the job of `systrace run` was started: the job comes first. False: there is none."""
    words = sys.argv[1:]
    course = sys.modules.get("systrace.capture.job")
    if words[:1] != ["run"] or "--strict" in words or (course is not None and course.Course.begun):
        return False
    if "--" in words:
        command = words[words.index("--") + 1 :]
    else:
        command = words[1:] if words[1:2] and not words[1].startswith("-") else []
    if not command:
        return False
    said = f"systrace: {type(error).__name__}: {error}"
    os.write(2, f"{said}: the job runs without being traced\n".encode("ascii", "backslashreplace"))
    for number in (_signal.SIGPIPE, _signal.SIGXFSZ):
        _signal.signal(number, _signal.SIG_DFL)
    try:
        os.execvp(command[0], command)  # noqa: S606
    except OSError as failure:
        os.write(2, f"systrace: {command[0]}: {failure.strerror}\n".encode("ascii", "backslashreplace"))
        sys.exit(127 if isinstance(failure, FileNotFoundError) else 126)


if __name__ == "__main__":
    main()
