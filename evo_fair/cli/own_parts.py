"""`--plugin FILE` and the lists of names in help texts: both come to every command that parts can be chosen in."""

import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from evo_fair.cli.once import OnceCommand

__all__ = ["OpenCommand", "takes_plugins", "with_names"]

PluginOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin",
        metavar="FILE",
        help="A Python file of your own that is run first: what it registers can be chosen by name; can be repeated.",
    ),
]


def takes_plugins(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the option `--plugin`, which `OpenCommand` has seen to when the command runs."""

    @wraps(command)
    def run(*arguments: Any, plugin: list[Path] | None = None, **options: Any) -> None:
        del plugin
        command(*arguments, **options)

    own = inspect.signature(command, eval_str=True)
    option = inspect.Parameter("plugin", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=PluginOption)
    run.__signature__ = own.replace(parameters=[*own.parameters.values(), option])  # type: ignore[attr-defined]
    return run


class OpenCommand(OnceCommand):
    """A command that runs plugins before it reads its other arguments, and lists in its help what there then is."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parses as `OnceCommand` does; raises `PluginError` for a plugin that can't be run."""
        values = self.parsed(ctx, args)[0]
        if files := values.get("plugin"):
            from evo_fair.plugins import load_plugins

            load_plugins(files)
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Writes the help with names in the places of `{algorithms}` and its like."""
        for parameter in self.params:
            text = getattr(parameter, "help", None)
            if text and "{" in text:
                parameter.help = with_names(text)  # type: ignore[attr-defined]
        super().format_help(ctx, formatter)


def with_names(text: str) -> str:
    """A help text with the names that there are in the places of `{algorithms}` and its like."""
    from evo_fair.registries import CRITERIA, METHODS, OBJECTIVES, STRATEGIES

    lists: dict[str, Iterable[str]] = {
        "algorithms": STRATEGIES,
        "criteria": CRITERIA,
        "methods": METHODS,
        "objectives": OBJECTIVES,
    }
    for place, names in lists.items():
        text = text.replace(f"{{{place}}}", ", ".join(names))
    return text
