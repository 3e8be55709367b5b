"""What `run` and `attach` share on the command line means the same in both."""

from __future__ import annotations

import inspect
import typing

import pytest

from systrace.commands import attach, options, run


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("save", options.Save),
        ("style", options.Style),
        ("tracer", options.TracerName),
        ("string_limit", options.Strings),
    ],
)
def test_shared_options_are_one(name: str, kind: object) -> None:
    for command in (attach.attach, run.run):
        assert typing.get_type_hints(command, include_extras=True)[name] == kind
    defaults = [inspect.signature(command).parameters[name].default for command in (attach.attach, run.run)]
    assert defaults[0] == defaults[1]
