"""Writes the page of all commands from what the commands say of themselves, so that the two never differ."""

from pathlib import Path
from typing import Any

import typer

from evo_fair.cli import app
from evo_fair.cli.own_parts import with_names

__all__ = ["commands_page", "write_commands"]

_HEAD = """# Commands

This page is generated from the commands' own help: `evo-fair NAME --help` says the same.
Every command ends with 0 when it is done, with 2 and one line when the input is wrong,
with 130 when it was interrupted, and with 1 when evo_fair itself has a fault.
"""


def write_commands(path: Path) -> None:
    """Writes the page, unless it is there already as it should be."""
    text = commands_page()
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def commands_page() -> str:
    """The page in Markdown: a section a command, with a table of its arguments and one of its options."""
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    return "\n".join([_HEAD, *(_section(name, command) for name, command in commands.items())])


def _section(name: str, command: Any) -> str:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option"]
    usage = " ".join(["evo-fair", name, *(_placeholder(each) for each in arguments), "[OPTIONS]"])
    text = " ".join((command.help or "").split("\f")[0].split())
    rows = [f"| {_names(each)} | {_cell(_said(each))} |" for each in (*arguments, *options)]
    table = ["| argument or option | meaning |", "|---|---|", *rows] if rows else []
    return "\n".join([f"## {name}", "", f"```text\n{usage}\n```", "", _cell(text), "", *table, ""])


def _placeholder(argument: Any) -> str:
    return f"{argument.name.upper()}{'...' if argument.nargs == -1 else ''}"


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{_placeholder(parameter)}`"
    return ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))


def _said(parameter: Any) -> str:
    said = with_names(parameter.help or "")
    default = parameter.default
    shown = isinstance(default, str | int | float) and not isinstance(default, bool) and default != ""
    return f"{said} Default: {default}." if shown and "efault" not in said else said


def _cell(text: str) -> str:
    """Text as Markdown shows it: a table's bars and angle brackets are data."""
    for character in ("\\", "|", "*", "_", "<", ">", "`"):
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())
