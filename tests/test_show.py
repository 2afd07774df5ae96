"""Texts from outside in terminals, Markdown and figures: shown as they are, whatever they hold."""

import ast
import io
import json
import re
import shlex
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from rich.console import Console

import evo_fair
from evo_fair.report.style import common_legend, save_figure
from evo_fair.show import figure_label, markdown, markdown_code, markdown_table, say, shell_word, visible
from evo_fair.tables import Table, plain_console, print_table

HOSTILE = (
    "layer[/red]x",
    "[bold]a[/bold]",
    "[link=https://example.com]a[/link]",
    ":smile:",
    "\x1b[31mred\x1b[0m",
    "\x1b]8;;https://example.com\x07link\x1b]8;;\x07",
    "\x9b31mred",
    "a\rb",
    "a\nb",
    "a\tb",
    "\x00",
    "a\u202eb",
    "a\u200bb",
    "a\u2028b",
    "\udcff",
    "a|b",
    "<script>alert(1)</script>",
    "&lt;",
    "![a](https://example.com/x.png)",
    "`a`",
    "*a*b_c_",
    "a\\|b",
    "$\\frac{1}{0$ and $x$",
    "_a",
    "naïve 東京 می\u200cخواهم",
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("layer[/red]x", "layer[/red]x"),
        ("\x1b[31mred", "\\u001b[31mred"),
        ("a\r\nb\tc\x7f\x9b", "a\\r\\nb\\tc\\u007f\\u009b"),
        ("a\u202eb\u200b\ufeff\U000e0041", "a\\u202eb\\u200b\\ufeff\\udb40\\udc41"),
        ("\udcff", "\\udcff"),
        ("naïve 東京 €\xa05 می\u200cخواهم", "naïve 東京 €\xa05 می\u200cخواهم"),
        (Path("a\x1b"), "a\\u001b"),
    ],
)
def test_what_can_not_be_seen_is_written_out(text: object, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize("text", HOSTILE)
def test_json_stays_the_same_json(text: str) -> None:
    assert json.loads(visible(json.dumps([text], ensure_ascii=False))) == [text]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_line_stays_one_line(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    say(text, "and another")
    assert capsys.readouterr().out == f"{visible(text)}\nand another\n"
    say(text, err=True)
    assert capsys.readouterr().err == f"{visible(text)}\n"


@pytest.mark.parametrize("colours", [False, True])
@pytest.mark.parametrize("text", HOSTILE)
def test_a_table_shows_its_cells_as_they_are(text: str, colours: bool) -> None:
    table = Table(title=text)
    table.add_column(text)
    table.add_column("right", justify="right")
    table.add_row(text, 3)
    # A user's own console may read markup.
    console = Console(width=150, file=io.StringIO(), force_terminal=colours, color_system=None)
    console.print(table)
    lines = console.file.getvalue().replace("\x1b[1m", "").replace("\x1b[3m", "").replace("\x1b[0m", "").splitlines()
    assert [line.count(visible(text)) for line in lines] == [1, 1, 1]
    assert lines[2].split()[-1] == "3"


@pytest.mark.parametrize("text", HOSTILE)
def test_a_plain_console_reads_no_markup(text: str) -> None:
    console = plain_console()
    console.file = io.StringIO()
    console.print(visible(text), soft_wrap=True)
    assert console.file.getvalue() == f"{visible(text)}\n"


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a|b", "a\\|b"),
        ("a\\|b", "a\\\\\\|b"),
        ("<=50K & <b>", "&#60;=50K &#38; &#60;b&#62;"),
        ("&lt;", "&#38;lt;"),
        ("female*under 40", "female\\*under 40"),
        ("age_band", "age_band"),
        ("_a_ b_", "\\_a\\_ b\\_"),
        ("`a`", "\\`a\\`"),
        ("[0.1, 0.2]", "[0.1, 0.2]"),
        ("![a](b)", "![a\\](b)"),
        ("[a][b]", "[a\\][b]"),
        ("~~a~~ $x$", "\\~\\~a\\~\\~ \\$x\\$"),
        (":smile: a:b", "\\:smile: a:b"),
        ("https://x.org www.x.org a@x.org", "https&#58;//x.org www&#46;x.org a&#64;x.org"),
        ("a\nb", "a\\\\nb"),
        ("\x1b", "\\\\u001b"),
        (12, "12"),
    ],
)
def test_markdown_holds_the_text_and_nothing_that_it_could_mean(text: object, escaped: str) -> None:
    assert markdown(text) == escaped


@pytest.mark.parametrize(
    ("text", "code"), [("a<b", "`a<b`"), ("a`b", "`` a`b ``"), ("``", "``` `` ```"), ("", "`  `"), ("a\nb", "`a\\nb`")]
)
def test_code_in_markdown_ends_where_it_is_to(text: str, code: str) -> None:
    assert markdown_code(text) == code


def test_a_markdown_table_has_the_cells_that_it_was_given() -> None:
    lines = markdown_table(["a|b", "n"], [[text, 1] for text in HOSTILE]).splitlines()
    assert lines[:2] == ["| a\\|b | n |", "| --- | ---: |"]
    assert len(lines) == 2 + len(HOSTILE)
    for line in lines[2:]:
        assert line.replace("\\\\", "").replace("\\|", "").count("|") == 3
        assert "<" not in line


@pytest.mark.parametrize("word", ["results/a b", "it's", "a;b", "", "$HOME", "kit (2)"])
def test_a_word_of_a_command_is_one_word_to_a_shell(word: str) -> None:
    assert shell_word(word) != word
    assert shlex.split(shell_word(word)) == [word]


@pytest.mark.parametrize("word", ["results/digits", "naïve", "東京/kit-1_2.csv"])
def test_a_word_that_needs_no_quotes_has_none(word: str) -> None:
    assert shell_word(word) == word


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.filterwarnings("ignore:Matplotlib currently does not support")
def test_a_figure_is_drawn_with_the_label_as_it_is(text: str, tmp_path: Path) -> None:
    def make() -> Figure:
        figure = Figure()
        panel = figure.subplots()
        panel.plot([0, 1], [0, 1], label=figure_label(text))
        panel.set_xticks([0, 1], [figure_label(text), "b"])
        panel.set_xlabel(figure_label(text))
        panel.annotate(figure_label(text), (0, 0))
        common_legend(figure, [panel], 1)
        (legend,) = figure.legends
        shown = [one.get_text() for one in [*legend.get_texts(), panel.xaxis.label, *panel.texts]]
        assert len(shown) == 3
        assert all(one.replace("\\$", "$").strip() == visible(text).strip() for one in shown)
        return figure

    save_figure(make, [tmp_path / "a.png", tmp_path / "a.svg", tmp_path / "a.pdf"])


def _calls(tree: ast.AST) -> set[str]:
    """The names that a module calls, as far as they are written out."""
    found = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {ast.unparse(name) for name in found}


def test_nothing_is_printed_past_the_printers_of_this_kind() -> None:
    package = Path(evo_fair.__file__).parent
    own = {package / "show.py", package / "tables.py", package / "latency" / "measure.py"}  # runs on boards, alone
    banned = {
        "print",
        "typer.echo",
        "typer.secho",
        "Console",
        "Text.from_markup",
        "sys.stdout.write",
        "sys.stderr.write",
    }
    for path in package.rglob("*.py"):
        if path not in own:
            text = path.read_text(encoding="utf-8")
            assert not _calls(ast.parse(text)) & banned, path
            assert "rich.table" not in text, path
            assert "rich.console" not in text, path
            assert '" | ".join' not in text, path


def test_a_narrow_terminal_breaks_no_word_of_a_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "30")
    table = Table("networks")
    for heading in ("network", "multiply accumulates", "unfairness"):
        table.add_column(heading, justify="right")
    table.add_row("e794737ca60b", "1,228,864", "0.5 [0.4, 0.6]")
    print_table(table)
    printed = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).split()
    assert {"e794737ca60b", "1,228,864", "unfairness", "accumulates"} <= set(printed)


@pytest.mark.parametrize("columns", ["40", "60", "80"])
def test_a_narrow_terminal_loses_no_column_of_a_table(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", columns)
    table = Table()
    table.add_column("layer", overflow="fold")
    for heading in ("operator", "shape", "MACs", "params", "ms", "share"):
        table.add_column(heading, justify="right")
    row = ("Conv", "32x112x112 -> 32 3x3/1", "3,612,672", "288", "0.1234", "12.3%")
    table.add_row("/features/features.1/conv/conv.0/Conv", *row)
    print_table(table)
    printed = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).split()
    assert {"share", *" ".join(row).split()} <= set(printed)
