"""Commands that have an option for each plug-in of a folder: a new file there is a new option."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperOption


class Plugged(TyperCommand):
    """Its plug-ins are imported where an option is none of its own, or is to be shown: a plain start does without.

    What was given for them is in the context's `obj`: name -> text, or True.
    """

    _needed = True

    def plugged(self) -> list[TyperOption]:
        """The options."""
        raise NotImplementedError

    def get_params(self, ctx: Any) -> list[Any]:
        """As typer's, with the plug-ins before --help."""
        *known, last = super().get_params(ctx)
        return [*known, *(self.plugged() if self._needed else ()), last]

    def look(self, ctx: Any, args: list[str]) -> None:
        """Find out whether plug-ins are needed for a command line."""
        own = {name for each in self.params for name in each.opts}
        words = args[: args.index("--")] if "--" in args else args
        unknown = (word for word in words if word.startswith("-") and word.partition("=")[0] not in own)
        self._needed = ctx.resilient_parsing or any(unknown)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As typer's."""
        self.look(ctx, args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """As typer's; the function has a parameter for each of the other options only."""
        given = {each.name: ctx.params.pop(each.name, None) for each in (self.plugged() if self._needed else ())}
        ctx.obj = {name: value for name, value in given.items() if value not in (None, False)}
        return super().invoke(ctx)


def option(name: str, metavar: str, help: str) -> TyperOption:  # noqa: A002 (typer's word)
    """`--NAME METAVAR`; a flag where there is no metavar."""
    if not metavar:
        return TyperOption(param_decls=[f"--{name}"], is_flag=True, default=False, help=help)
    return TyperOption(param_decls=[f"--{name}"], metavar=metavar, default=None, help=help)
