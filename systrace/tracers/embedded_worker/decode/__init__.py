"""How calls are printed: one file per family, each entering its decoders under the kernel's names.

A call without a decoder is printed with its six argument words, so every name may be asked for.
"""

from __future__ import annotations

from collections.abc import Callable

from systrace.registry import Registry
from systrace.tracers.embedded_worker.text import pointer, signed
from systrace.tracers.embedded_worker.tracee import Args, Decoder, Tracee

DECODERS: Registry[Decoder] = Registry(__name__)
Format = Callable[[Tracee, int], str]


def plain(*formats: Format) -> Callable[[Tracee, Args], str]:
    """An `enter` that prints one argument per format."""

    def enter(tracee: Tracee, args: Args) -> str:
        return ", ".join([form(tracee, value) for form, value in zip(formats, args, strict=False)])

    return enter


def integer(_tracee: Tracee, value: int) -> str:
    """A C int."""
    return str(signed(value))


def size(tracee: Tracee, value: int) -> str:
    """A size_t."""
    return str(value & 0xFFFFFFFF if tracee.abi.word == 4 else value)


def address(_tracee: Tracee, value: int) -> str:
    """A pointer, not followed."""
    return pointer(value)


def descriptor(tracee: Tracee, value: int) -> str:
    """A descriptor and what it stands for."""
    fd = value if value < 0x8000_0000 else signed(value)
    return f"{fd}{tracee.files.text(tracee.tid, fd)}"


def new_descriptor(tracee: Tracee, _args: Args, value: int) -> str:
    """A `result` that is a descriptor which did not exist before."""
    files, coverage = tracee.files, tracee.coverage
    files.forget(value)
    text = files.text(tracee.tid, value)
    if not coverage.covers(value):
        tracee.fresh.append(value)
    elif not coverage.full:
        files.keep(value, text)
    return f"{value}{text}"


def unknown(_tracee: Tracee, args: Args) -> str:
    """The `enter` of calls that have no decoder."""
    return ", ".join([hex(value) for value in args])


UNKNOWN = Decoder(unknown)
