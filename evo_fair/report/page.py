"""`report.html`: a run's front, choice, cards and search in one file that opens offline, without any request."""

import json
from pathlib import Path
from typing import Any

from evo_fair.arguments import as_path
from evo_fair.errors import EvoFairError
from evo_fair.files import write_text
from evo_fair.report.page_content import page_content
from evo_fair.report.run import load_run
from evo_fair.show import visible

__all__ = ["write_report"]

_FOLDER = Path(__file__).parent
_PARTS = {"style": "page.css", "choose_code": "page_choose.js", "view_code": "page_view.js"}


def write_report(folder: str | Path, out: str | Path | None = None) -> Path:
    """Writes the report of a search's run as one HTML file.

    The page holds all that it needs: it opens without a network and asks nothing of any
    server. It needs the extra `report` (Bokeh).

    Args:
        folder: The run's folder.
        out: The file, whose name ends in `.html`. Default: `report.html` in the run's
            folder.

    Returns:
        The path of the file.

    Raises:
        EvoFairError: Bokeh is missing, or `out` is no .html file.
        RunError: The folder holds no whole run.

    Example:
        >>> ef.write_report("results/digits", "report.html").name
        'report.html'
    """
    target = as_path("out", out) if out is not None else as_path("folder", folder) / "report.html"
    if target.suffix != ".html":
        raise EvoFairError(f"can't write {target.name!r}: the name of a report ends in .html")
    _check_installed()
    run = load_run(folder)
    write_text(target, _page(page_content(run)))
    return target


def _check_installed() -> None:
    try:
        import bokeh  # noqa: F401  # the drawing library is an extra
    except ImportError as reason:
        raise EvoFairError(
            "a report is drawn by Bokeh, which is missing: 'pip install evo-fair[report]' brings it"
        ) from reason


def _page(content: dict[str, Any]) -> str:
    """The whole page; every text from outside gets into it as escaped HTML or as JSON without `<`."""
    from bokeh.resources import Resources
    from jinja2 import Environment, StrictUndefined

    from evo_fair.report.page_figures import front_figures, search_figure

    figures = front_figures(content["axes"], content["table"]["columns"])
    if content["search"] is not None:
        figures.append(search_figure())
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["visible"] = visible
    template = environment.from_string((_FOLDER / "page.html").read_text(encoding="utf-8"))
    parts = {name: (_FOLDER / file).read_text(encoding="utf-8") for name, file in _PARTS.items()}
    code = "\n".join(Resources(mode="inline", components=["bokeh"]).js_raw)
    data = {"content_json": _in_script(content), "figures_json": _in_script(figures)}
    return template.render(content=content, figures=figures, bokeh=_closed(code), **parts, **data) + "\n"


def _in_script(value: Any) -> str:
    """JSON that can stand within a `<script>`: nothing in it ends the script or begins a comment."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _closed(code: str) -> str:
    """A library's code that can stand within a `<script>`."""
    return code.replace("</script", "<\\/script").replace("<!--", "<\\!--")
