"""What is doubtful about the user's data: one line of standard error for each thing, and the command goes on."""

import logging
import warnings

import pytest

from evo_fair.cli import main
from evo_fair.errors import DataWarning


def test_doubts_are_said_once_on_a_line_each(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def names() -> list[str]:
        for text in ("site 'nan'\nis\x1b[31m taken", "site 'nan'\nis\x1b[31m taken", "an image is there twice"):
            warnings.warn(text, DataWarning, stacklevel=1)
        return []

    monkeypatch.setattr("evo_fair.problem.problem_names", names)
    with pytest.raises(SystemExit) as ended:
        main(["problems"])
    assert ended.value.code == 0
    shown = capsys.readouterr()
    said = ("site 'nan' is\\u001b[31m taken", "an image is there twice")
    assert shown.err == "".join(f"evo-fair: warning: {line}\n" for line in said)
    assert "image_folder.toml" in shown.out


def test_what_matplotlib_says_of_its_own_folders_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """In a home that is read-only it is said by whatever draws, each time."""
    with pytest.raises(SystemExit):
        main(["--version"])
    logging.getLogger("matplotlib").warning("mkdir -p failed for path /.config/matplotlib")
    logging.getLogger("matplotlib.font_manager").warning("building the font cache")
    assert not caplog.records
