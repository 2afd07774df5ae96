"""`report.html`: what a job's folder holds, in one file that opens offline, without any request.

Each kind of folder has a module `page_KIND` that reads it and says what the page shows. What all pages have in common
is made here: the skeleton with its security policy, the styles, the drawing library and the data within the page.
"""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unicodedata import category

from evo_fair.arguments import as_path
from evo_fair.errors import EvoFairError
from evo_fair.files import write_text
from evo_fair.report.page_kinds import kind_of
from evo_fair.report.page_sheet import Sheet
from evo_fair.show import visible

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["REPORT", "write_report"]

_FOLDER = Path(__file__).parent
REPORT = "report.html"
"""The file's name in the folder that it tells of."""

_LONGEST_WHOLE = 16
"""Letters of a word, in a table's headings, that is never torn."""
_BRACKET = re.compile(r"(?<=.)(?=\[)")
_OPTION = re.compile(r"--[a-z][a-z-]*")
"""A command's option, which a line's end must not tear."""


def write_report(folder: str | Path, out: str | Path | None = None) -> Path:
    """Writes the report of a job's folder as one HTML file and returns its path.

    The page holds all that it needs: it opens without a network and asks nothing of any server. It needs the extra
    `report` (Bokeh).

    Args:
        folder: What a search, a deployment, a pruning, an audit or a comparison wrote.
        out: The file, whose name ends in .html. Default: `report.html` in the folder.

    Returns:
        The path of the file.

    Raises:
        EvoFairError: Bokeh is missing, or `out` is no .html file.
        RunError: The folder is of none of these kinds, or something in it is missing or damaged.
        AuditError: It is an audit, and something in it is missing or damaged.

    Example:
        >>> ef.write_report("results/digits", "report.html").name
        'report.html'
    """
    place = as_path("folder", folder)
    target = as_path("out", out) if out is not None else place / REPORT
    if target.suffix != ".html":
        raise EvoFairError(f"can't write {target.name!r}: the name of a report ends in .html")
    _check_installed()
    write_text(target, _page(kind_of(place).sheet(place)))
    return target


def _check_installed() -> None:
    try:
        import bokeh  # noqa: F401  # the drawing library is an extra
    except ImportError as reason:
        raise EvoFairError(
            "a report is drawn by Bokeh, which is missing: pip install 'evo-fair[report]' brings it"
        ) from reason


def _page(sheet: Sheet) -> str:
    """The whole page; every text from outside gets into it as escaped HTML or as JSON without `<`."""
    from bokeh.resources import Resources
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        finalize=_seen,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["visible"] = visible
    environment.filters["prose"] = _prose
    environment.filters["words"] = _words
    figures = [figure | {"number": number} for number, figure in enumerate(sheet.figures)]
    library = "\n".join(Resources(mode="inline", components=["bokeh"]).js_raw)
    return (
        environment.get_template(sheet.template).render(
            sheet=sheet,
            content=sheet.content,
            figures=figures,
            style=_text("page.css"),
            library=_closed(library),
            code=[_text(name) for name in ("page_shell.js", *sheet.code)],
            content_json=_in_script(sheet.data),
            figures_json=_in_script([{name: figure[name] for name in figure if name != "key"} for figure in figures]),
        )
        + "\n"
    )


def _seen(value: object) -> object:
    """What a template inserts; characters in a text that nobody sees, or that turn what follows, are written out."""
    from markupsafe import Markup

    if not isinstance(value, str) or isinstance(value, Markup) or value.isprintable():
        return value
    return "".join(visible(one) if category(one) == "Cf" else one for one in value)


def _prose(text: str) -> "Markup":
    """Escaped text in which line ends tear no option; substituting in `Markup` itself would escape the tags again."""
    from markupsafe import Markup, escape

    return Markup(_OPTION.sub(r'<span class="whole">\g<0></span>', str(escape(text))))


def _words(text: str) -> "Markup":
    """Escaped text whose words no narrow column tears, but for long ones; a bracket may begin a line."""
    from markupsafe import Markup, escape

    def whole(word: str) -> str:
        return f'<span class="word">{escape(word)}</span>' if len(word) <= _LONGEST_WHOLE else str(escape(word))

    return Markup(" ".join("<wbr>".join(map(whole, _BRACKET.split(word))) for word in text.split(" ")))


def _text(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _in_script(value: Any) -> str:
    """JSON that can stand within a `<script>`: nothing in it ends the script or begins a comment."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _closed(code: str) -> str:
    """A library's code that can stand within a `<script>`."""
    return code.replace("</script", "<\\/script").replace("<!--", "<\\!--")
