"""`python -m systrace`, and the console script."""

# signal itself imports enum, which takes so long that a Ctrl-C in it is a traceback.
import _signal  # type: ignore[import-not-found]

if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # Ctrl-C while modules are imported ends it without a traceback

from systrace.commands import main

if __name__ == "__main__":
    main()
