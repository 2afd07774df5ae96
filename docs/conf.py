"""The site's configuration: MyST pages, the Python reference from docstrings, the commands from their own help."""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from command_pages import write_commands  # beside this file

import evo_fair

project = "evo_fair"
author = "the evo_fair authors"
copyright = "the evo_fair authors, MIT licence"  # noqa: A001 - Sphinx's name
version = release = evo_fair.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["build"]
default_role = "code"  # docstrings write names as Markdown does

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the signature has them
autodoc_preserve_defaults = True
smartquotes = False  # options begin with two dashes
napoleon_google_docstring = True
napoleon_numpy_docstring = False
python_maximum_signature_line_length = 88

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_title = f"evo_fair {release}"
html_show_sphinx = False
html_copy_source = False

write_commands(Path(__file__).parent / "reference" / "commands.md")


_COLON = "\ue000"
"""Stands for a colon while napoleon reads a docstring."""


def setup(app: Any) -> None:
    """Keeps napoleon from reading the first line of a property as `type: description`, where it has a colon."""
    app.connect("autodoc-process-docstring", _hide_colons, priority=400)
    app.connect("autodoc-process-docstring", _show_colons, priority=600)


def _hide_colons(_app: Any, what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    if what in ("attribute", "data", "property") and lines:
        lines[0] = lines[0].replace(":", _COLON)


def _show_colons(_app: Any, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    lines[:] = [line.replace(_COLON, ":") for line in lines]
