"""Options that take one value are given once: of two devices the last would be taken without a word."""

from typing import Any

import typer
from typer.core import TyperCommand

__all__ = ["OnceCommand"]


class OnceCommand(TyperCommand):
    """A command that refuses a second value of an option that takes one; a flag may be there twice."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parses as Typer does; raises `BadParameter` naming an option that was given more than once."""
        seen: set[str] = set()
        for parameter in self.make_parser(ctx).parse_args(args=list(args))[2]:
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
