"""The command line: one module a command, parsing and printing only."""

import errno
import io
import logging
import sys
import warnings
from typing import Any

import typer

from evo_fair import __version__
from evo_fair.cli.audit import audit
from evo_fair.cli.calibrate import calibrate
from evo_fair.cli.card import card
from evo_fair.cli.compare import compare
from evo_fair.cli.deploy import deploy
from evo_fair.cli.devices import devices
from evo_fair.cli.interrupts import deaf_to_the_end
from evo_fair.cli.once import OnceCommand
from evo_fair.cli.operating_point import operating_point
from evo_fair.cli.own_parts import OpenCommand, takes_plugins
from evo_fair.cli.plot import plot
from evo_fair.cli.predict import predict
from evo_fair.cli.problems import problems
from evo_fair.cli.prune import prune
from evo_fair.cli.report import report
from evo_fair.cli.search import search
from evo_fair.cli.train import train
from evo_fair.errors import DataWarning, EvoFairError, quote
from evo_fair.plugins import unloaded_afterwards
from evo_fair.show import say

__all__ = ["app", "main"]

app = typer.Typer(
    name="evo-fair",
    help="Finds small, fast and fair neural networks for a device, and says for whom they work.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_CLOSED = (problems, devices, plot, compare, operating_point, report, card)
"""Commands in which nothing of the user's own can be chosen."""

for command in (
    problems,
    devices,
    train,
    search,
    deploy,
    plot,
    compare,
    prune,
    audit,
    operating_point,
    report,
    card,
    predict,
    calibrate,
):
    name = command.__name__.replace("_", "-")
    if command in _CLOSED:
        app.command(name, cls=OnceCommand)(command)
    else:
        app.command(name, cls=OpenCommand)(takes_plugins(command))


_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""A full disk can meet libraries, too, when they write their own caches."""


def _version(wanted: bool) -> None:
    if wanted:
        say(f"evo-fair {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Finds small, fast and fair neural networks for a device, and says for whom they work."""


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: str | None = None,
) -> None:
    """Shows what is odd about the user's data on one line, and other warnings as Python does."""
    if issubclass(category, DataWarning):
        text = " ".join(str(message).split())
        if text not in _SHOWN:  # a command can load the same data twice
            _SHOWN.add(text)
            say(f"evo-fair: warning: {text}", err=True)
    else:
        _PYTHONS_OWN(message, category, filename, lineno, file, line)


_PYTHONS_OWN = warnings.showwarning
_SHOWN: set[str] = set()


def main(arguments: list[str] | None = None) -> None:
    """Runs a command and ends the process: 0 done, 2 wrong input (one line), 130 interrupted, 1 and a trace a fault.

    Without `arguments` they are the process's own; once that was interrupted, a second Ctrl-C changes nothing.
    """
    warnings.showwarning = _show_warning
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # else a home that is read-only is three lines, each time
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal or pipe that knows few letters gets the others' numbers
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with unloaded_afterwards():
            _run(arguments)
    except SystemExit as end:
        if arguments is None and end.code == 130:
            deaf_to_the_end()
        raise


def _run(arguments: list[str] | None) -> None:
    try:
        code = app(arguments, standalone_mode=False)
    except EvoFairError as error:
        sys.exit(_refuse(str(error)))
    except typer.TyperException as error:
        message = _said(error)  # empty where the command's help was printed instead
        sys.exit(_refuse(message) if message else 0)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            sys.exit(_refuse(f"{error.filename}: {error.strerror}; give another path"))
        if error.errno not in _NO_ROOM:
            raise
        sys.exit(_refuse(f"cannot write {error.filename or 'a file'}: {error.strerror}; make room, then run it again"))
    except (typer.Abort, KeyboardInterrupt):  # the latter before a command has begun
        code = 130
    if code == 130:  # what typer makes of Ctrl-C; what can be resumed has said so itself and ended the process
        say("interrupted", err=True)
    sys.exit(code if isinstance(code, int) else 0)


def _said(error: typer.TyperException) -> str:
    """What Typer says of wrong options and, where it leaves that out, the value."""
    from pydantic import ValidationError

    message, cause = error.format_message(), error.__cause__
    if message.startswith("Got unexpected extra argument"):
        message += ": name the option that it is for, as in --data FOLDER, or leave it out"
    return f"{message}, got {quote(cause.errors()[0]['input'])}" if isinstance(cause, ValidationError) else message


def _refuse(message: str) -> int:
    say(f"evo-fair: {' '.join(message.split())}", err=True)
    return 2
