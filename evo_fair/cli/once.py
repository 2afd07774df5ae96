"""Options that take one value are given once: of two devices the last would be taken without a word."""

from typing import Any

import typer
from typer.core import TyperCommand

__all__ = ["OnceCommand"]

_INSTEAD = {"--jobs": ("--workers", "N makes N of its pieces at once")}
"""What does the same, or nearly, in commands that lack an option of others, and how."""


class OnceCommand(TyperCommand):
    """A command that refuses a second value of an option that takes one; a flag may be there twice."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parses as Typer does; raises `BadParameter` naming an option that was given more than once."""
        seen: set[str] = set()
        for parameter in self.parsed(ctx, args)[2]:
            one = (
                parameter.param_type_name == "option"
                and not parameter.multiple
                and not getattr(parameter, "is_flag", False)
            )
            name = max(parameter.opts, key=len)
            if one and name in seen:
                raise typer.BadParameter(f"{name} is given more than once, and this command takes one: give it once")
            seen.add(name)
        return super().parse_args(ctx, args)

    def parsed(self, ctx: Any, args: list[str]) -> Any:
        """What Typer's parser makes of the arguments.

        Raises its `NoSuchOption`, which tells of an option of other commands what does the same in this one.
        """
        try:
            return self.make_parser(ctx).parse_args(args=list(args))
        except typer.TyperException as error:
            other, does = _INSTEAD.get(getattr(error, "option_name", ""), ("", ""))
            if any(other in parameter.opts for parameter in self.params) and hasattr(error, "possibilities"):
                error.message = f"{error.format_message()}; in this command {other} {does}"
                error.possibilities = None
            raise
