"""Options that take one value: a second one is refused, whichever command and option it is."""

import pytest

from evo_fair.cli import app

from .conftest import refusal


def _single_options() -> list[tuple[str, str]]:
    import typer

    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    return [
        (name, parameter.opts[0])
        for name, command in commands.items()
        for parameter in command.params
        if parameter.param_type_name == "option" and not parameter.multiple and not parameter.is_flag
    ]


@pytest.mark.parametrize(("command", "option"), _single_options())
def test_a_second_value_is_refused(command: str, option: str, capsys: pytest.CaptureFixture[str]) -> None:
    message = refusal(capsys, command, "x", option, "1", f"{option}=2")
    assert (
        message
        == f"evo-fair: Invalid value: {option} is given more than once, and this command takes one: give it once"
    )


@pytest.mark.parametrize("command", ["deploy", "prune", "train"])
def test_an_option_of_other_commands_is_sent_to_what_does_it_here(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    message = refusal(capsys, command, "x", "--jobs", "2")
    assert message.startswith("evo-fair: No such option: --jobs")
    assert message.endswith("; in this command --workers N makes N of its pieces at once")


def test_an_option_that_nothing_does_is_just_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    assert refusal(capsys, "plot", "x", "--jobs", "2").startswith("evo-fair: No such option: --jobs")
    assert "--workers" not in refusal(capsys, "plot", "x", "--jobs", "2")


def test_what_can_be_repeated_still_can(capsys: pytest.CaptureFixture[str]) -> None:
    for repeated in (["--objective", "error", "--objective", "eror"], ["--resume", "--resume", "--objective", "eror"]):
        assert "unknown objective 'eror'" in refusal(capsys, "search", "digits", *repeated)
