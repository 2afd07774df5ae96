"""A page of every kind of folder: found by its file, without harm from names, and fit for any screen."""

import json
import re
from html import unescape

import numpy as np
import pandas as pd
import pytest

from evo_fair.errors import AuditError, EvoFairError, RunError
from evo_fair.report.page import write_report
from evo_fair.report.page_deploy import _order
from evo_fair.report.page_sheet import number
from tests.cli.conftest import refusal
from tests.report.folders import MAKERS, write_audit, write_comparison_of_two, write_deployment, write_pruning
from tests.report.test_page import EVIL, needs_browser

NAMED = {
    "deployment": {"group": EVIL, "member": EVIL},
    "pruning": {"group": EVIL, "member": EVIL},
    "audit": {"group": "sex", "member": EVIL},
    "comparison": {"label": EVIL},
}


@pytest.fixture(params=MAKERS)
def odd(request, tmp_path):
    """A folder of a kind whose names are HTML."""
    return MAKERS[request.param](tmp_path / "odd <b>", **NAMED[request.param])


def tables(path):
    """The tables of a page: by title the rows of cells, texts unescaped as a reader sees them."""
    text = path.read_text(encoding="utf-8")
    found = {}
    for title, body in re.findall(r"<h3>([^<]*)</h3>\s*<div[^>]*>\s*<table[^>]*>(.*?)</table>", text, re.DOTALL):
        rows = re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
        found[unescape(title)] = [
            [unescape(re.sub("<.*?>", "", cell)) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)]
            for row in rows
        ]
    return found


def figures(path):
    text = path.read_text(encoding="utf-8")
    (found,) = re.findall(r'<script type="application/json" id="figures">(.*?)</script>', text, re.DOTALL)
    return {one["title"]: one for one in json.loads(found)}


def test_an_unknown_folder_is_one_line_that_lists_the_kinds(tmp_path, capsys):
    for folder in (tmp_path, tmp_path / "nowhere"):
        told = refusal(capsys, "report", folder)
        for kind in ("a search", "a deployment", "a pruning", "an audit", "a comparison"):
            assert kind in told


@pytest.mark.parametrize("make", [write_audit, write_pruning])
def test_the_command_that_a_page_shows_can_be_copied(make, tmp_path):
    text = write_report(make(tmp_path / "my results")).read_text(encoding="utf-8")
    assert "evo-fair operating-point 'my results' " in unescape(text)


def test_no_name_becomes_a_part_of_a_page(odd):
    text = write_report(odd).read_text(encoding="utf-8")
    assert "<img" not in text.replace("<image", "")
    assert text.count("<script>") == 3  # the library, and the two of the page
    assert "<b>" not in text.split("<script>")[0]


TORN = """
[...document.querySelectorAll('th')].flatMap((head) => [...head.querySelectorAll('.word')].filter((word) =>
  word.getClientRects().length > 1).map((word) => word.textContent))
"""


@needs_browser
def test_a_narrow_screen_tears_no_networks_id(tmp_path, browser):
    folder = write_pruning(tmp_path / "pruned")
    tab = browser.tab()
    tab.open(write_report(folder), 390)
    assert tab.run("[...document.querySelectorAll('tbody th .word')].some((one) => one.textContent.length > 12)")
    assert tab.run(TORN) == []
    assert tab.run("document.documentElement.scrollWidth") <= 390


@needs_browser
def test_on_paper_a_wide_table_tears_no_word_of_its_headings_and_fits(tmp_path, browser):
    folder = write_pruning(tmp_path / "pruned")
    table = pd.read_csv(folder / "pruned.csv")
    for column in ("performance_fairness", "degradation_fairness", "nonzero_params", "bytes", "latency_ms"):
        table[column] = 12345
    for column in ("validation_accuracy", "validation_worst_group_accuracy"):
        table[column] = 0.9259
    table.to_csv(folder / "pruned.csv", index=False)
    tab = browser.tab()
    tab.open(write_report(folder), 1280)
    tab.call("Emulation.setEmulatedMedia", media="print")
    assert tab.run("document.querySelectorAll('th .word').length") > 10
    assert tab.run(TORN) == []
    assert tab.run("[...document.querySelectorAll('th')].some((head) => head.textContent.includes('degradation'))")
    assert tab.run("Math.max(...[...document.querySelectorAll('table')].map((one) => one.offsetWidth))") <= 1240


@needs_browser
def test_a_page_is_drawn_at_any_width_and_asks_nobody(odd, browser):
    path = write_report(odd)
    for width in (1280, 390):
        tab = browser.tab()
        tab.open(path, width)
        assert [url for url in tab.requests if not url.startswith(("file:///", "data:", "blob:"))] == []
        assert tab.run("typeof window.bad") == "undefined"
        assert tab.run("document.querySelectorAll('img, main b').length") == 0
        assert tab.run("document.documentElement.scrollWidth") <= width
        assert tab.run("drawn.length") == tab.run("document.querySelectorAll('figure').length") > 0
        assert tab.errors == []
    box = "document.querySelector('[data-series=\"1\"]')"
    assert tab.run(f"{box}.labels.length") == 1
    shown = f"drawn[{box}.dataset.figure].model('points-1').visible"
    assert tab.run(f"{box}.click(); {shown}") is False
    assert tab.run(f"{box}.click(); {shown}") is True


@pytest.mark.parametrize(
    ("make", "file", "error"),
    [
        (write_deployment, "deployed.csv", RunError),
        (write_deployment, "a.json", RunError),
        (write_pruning, "pruned.csv", RunError),
        (write_pruning, "dense.json", RunError),
        (write_audit, "losses.csv", AuditError),
        (write_audit, "losses_by_factor.csv", AuditError),
        (write_audit, "front.csv", AuditError),
        (write_audit, "effects.csv", AuditError),
        (write_comparison_of_two, "compare.json", RunError),
        (write_comparison_of_two, "fronts.csv", RunError),
        (write_comparison_of_two, "pairs.csv", RunError),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path, make, file, error):
    folder = make(tmp_path / "damaged")
    folder.joinpath(file).write_text("{,\x00")
    with pytest.raises(error, match=re.escape(file)):
        write_report(folder)
    assert not folder.joinpath("report.html").exists()


@pytest.mark.parametrize(
    ("make", "table", "job", "error"),
    [
        (write_deployment, "deployed.csv", "deployment", RunError),
        (write_pruning, "pruned.csv", "pruning", RunError),
        (write_audit, "losses.csv", "audit", AuditError),
    ],
)
def test_a_job_that_was_killed_is_to_be_gone_on_with(tmp_path, make, table, job, error):
    folder = make(tmp_path / "killed")
    folder.joinpath(table).unlink()
    told = f"killed holds no {table}, so the {job} was not finished: go on with it by the same command with --resume$"
    with pytest.raises(error, match=told):
        write_report(folder)


@pytest.mark.parametrize(
    ("make", "file", "command"),
    [
        (write_deployment, "a.json", "deploy"),
        (write_pruning, "dense.json", "prune"),
        (write_audit, "losses_by_factor.csv", "audit"),
        (write_audit, "front.csv", "audit"),
        (write_comparison_of_two, "fronts.csv", "compare"),
    ],
)
def test_a_missing_file_is_named_with_what_makes_it_again(tmp_path, make, file, command):
    folder = make(tmp_path / "killed")
    folder.joinpath(file).unlink()
    with pytest.raises(EvoFairError, match=f"{file} is missing: .*evo-fair {command}"):
        write_report(folder)


def test_a_network_outside_of_the_folder_is_not_read(tmp_path):
    folder = write_deployment(tmp_path / "run")
    text = folder.joinpath("deployed.csv").read_text()
    folder.joinpath("deployed.csv").write_text(text.replace("\na,", "\n../a,"))
    with pytest.raises(EvoFairError):
        write_report(folder)


# ---- what each page says


@pytest.mark.parametrize(
    ("after", "told"),
    [
        ([0.3, 0.2, 0.1], "2 of 2 pairs of networks are in the order that the search put them in; 1 pair more ties."),
        ([0.2, 0.2, 0.1], "2 of 2 pairs of networks are in the order that the search put them in; 1 pair more ties."),
        ([0.2, 0.3, 0.3], "0 of 1 pairs of networks are in the order that the search put them in; 2 pairs more tie."),
        ([0.1, 0.1, 0.1], "no two networks can be put in order."),
    ],
)
def test_pairs_that_tie_are_named(after, told):
    assert _order("error", np.array([0.4, 0.4, 0.2]), np.array(after)) == f"error: {told}"


def test_a_deployment_puts_the_search_beside_the_trained_networks(tmp_path):
    """Accuracies 0.8 and 0.9 are errors of 0.2 and 0.1; believed was 0.25 of the first, and read 0.2 of the second."""
    path = write_report(write_deployment(tmp_path / "run"))
    assert tables(path)["error: the search and after training"][1:] == [
        ["a", "0.25 (0.21 to 0.29)", "0.2 (0.15 to 0.25)", "-0.05"],
        ["b", "0.2", "0.1 (0.05 to 0.15)", "-0.1"],
    ]
    assert "1 of 1 pairs of networks are in the order" in path.read_text(encoding="utf-8")
    assert tables(path)["Accuracy by sex, test part"][1] == ["a, fp32", "70.0 % (60.0 to 80.0 %)"]
    assert tables(path)["Accuracy by sex, test part"][3] == ["b, fp32", "90.0 %"]


def _with_samples(folder, samples, named="accuracy[sex:female]"):
    """The folder of a deployment whose cards say of how many samples an accuracy of the test part is."""
    for name in ("a", "b"):
        path = folder / f"{name}.json"
        figure = {"value": 0.7, "low": 0.6, "high": None, "samples": samples}
        path.write_text(json.dumps(json.loads(path.read_text()) | {"test": {"fp32": {named: figure}}}))
    return folder


def test_a_deployment_shows_what_else_was_searched_beside_what_the_search_said(tmp_path):
    folder = write_deployment(tmp_path / "deployed")
    table = pd.read_csv(folder / "deployed.csv")
    for name, value in {"my_gap[sex]": 0.125, "unfairness[sex]": 0.5}.items():
        table[name], table[f"{name}_low"], table[f"{name}_high"] = value, value - 0.0625, value + 0.0625
    table.to_csv(folder / "deployed.csv", index=False)
    for name in "ab":
        card = json.loads((folder / f"{name}.json").read_text())
        card["searched"] = {"objectives": {"my_gap": 0.375}, "believed": {}}
        (folder / f"{name}.json").write_text(json.dumps(card))
    shown = tables(write_report(folder))
    networks = shown["The trained networks and references"]
    assert [row[-1] for row in networks[:2]] == ["my gap[sex]", "0.125 (0.0625 to 0.1875)"]
    assert [row[-2] for row in networks[:2]] == ["unfairness[sex]", "0.5 (0.4375 to 0.5625)"]
    beside = shown["my gap: the search and after training"]
    assert beside[1] == ["a", "0.375", "0.125 (0.0625 to 0.1875)", "-0.25"]


def test_a_deployment_says_how_many_samples_groups_have(tmp_path):
    """Three networks of one group are rows; one network of it is a column."""
    folder = _with_samples(write_deployment(tmp_path / "run"), 1200)
    assert tables(write_report(folder))["Accuracy by sex, test part"][0] == ["network", "female (1,200 samples)"]
    rows = folder.joinpath("deployed.csv").read_text().splitlines()
    folder.joinpath("deployed.csv").write_text("\n".join(rows[:2]) + "\n")
    assert tables(write_report(folder))["Accuracy by sex, test part"] == [
        ["group", "samples", "a, fp32"],
        ["female", "1,200", "70.0 % (60.0 to 80.0 %)"],
    ]


def test_cards_without_the_number_of_samples_are_shown_without_it(tmp_path):
    shown = tables(write_report(write_deployment(tmp_path / "run")))["Accuracy by sex, test part"]
    assert shown[0] == ["network", "female"]


def test_of_one_network_no_order_is_told(tmp_path):
    folder = write_deployment(tmp_path / "run")
    lines = folder.joinpath("deployed.csv").read_text().splitlines()
    folder.joinpath("deployed.csv").write_text("\n".join(line for line in lines if not line.startswith("b,")) + "\n")
    path = write_report(folder)
    assert len(tables(path)["error: the search and after training"]) == 2
    assert "in order" not in path.read_text(encoding="utf-8")


def test_a_deployment_beside_its_run_finds_the_table(tmp_path):
    folder = write_deployment(tmp_path / "run" / "deployed")
    folder.joinpath("deployed.csv").rename(tmp_path / "run" / "deployed.csv")
    assert "The trained networks and references" in tables(write_report(folder))


def test_cards_of_an_earlier_version_say_what_they_lack(tmp_path):
    deployed = write_report(write_deployment(tmp_path / "deployed", searched=False)).read_text(encoding="utf-8")
    pruned = write_report(write_pruning(tmp_path / "pruned", intervals=False)).read_text(encoding="utf-8")
    assert "say what the search believed: run" in deployed.replace("&#39;", "'")
    assert "An earlier version left no intervals" in pruned


def test_a_pruning_says_who_pays(tmp_path):
    path = write_report(write_pruning(tmp_path / "run"))
    heads, first, _ = tables(path)["Change of accuracy by sex, in points"]
    assert heads == ["network", "everyone", "female", "other"]
    assert first == ["magnitude-0.5-0", "-5.0 (-8.0 to -2.0) *", "-10.0 (-25.0 to +5.0)", "+0.0"]
    assert set(figures(path)) == {
        "accuracy by sparsity",
        "accuracy of the worst group by sparsity",
        "unfairness by sparsity",
        "Change of accuracy by sex, in points, at a target of 50 %",
    }


def test_an_audit_says_who_loses_and_how_sure_that_is(tmp_path):
    path = write_report(write_audit(tmp_path / "run"))
    text = path.read_text(encoding="utf-8")
    assert (
        "By sex, at a sparsity of 25 to 50 %: female loses most, 10.0 (9.0 to 11.0) points of 90.0 % (20 samples)"
        in text
    )
    assert tables(path)["Loss of accuracy by class, in points"][1][:4] == ["NA", "20", "90.0 %", "1.0 (0.0 to 2.0)"]
    effects = tables(path)["Effects on the change of accuracy by class, in points (clusters: networks)"]
    assert effects[1] == ["female", "-2.0 (-3.0 to -1.0)", "< 0.001"]
    assert tables(path)["Flips of predictions, forecast and observed"][1][2:] == [
        "0.8 (0.7 to 0.9)",
        "10.0 %",
        "12.5 %",
    ]
    few = write_report(write_audit(tmp_path / "few", effects=False)).read_text(encoding="utf-8")
    assert "not enough pruned networks" in few
    assert "not enough flips" in few


def test_what_rounding_left_of_zero_is_shown_as_zero():
    assert [number(value) for value in (1.1102230246251565e-16, -1e-17, 0.0, 1e-6)] == ["0", "0", "0", "1e-06"]


def test_a_comparison_has_the_fronts_and_their_indicators(tmp_path):
    folder = write_comparison_of_two(tmp_path / "compared")
    path = write_report(folder)
    found = tables(path)
    assert len(found["Networks of the fronts: one"]) == 1 + 5
    assert [row[0] for row in found["Hypervolume by label"][1:]] == ["one", "two"]
    # All but two networks of the second's front are the first's own, and the first lost none of its own to it.
    assert found["Share of a row's front that a column's front dominates"][1] == ["one", "", "0.0 %"]
    assert "Hypervolume over the search" in figures(path)


def test_a_comparison_of_before_says_how_to_make_it_anew(tmp_path):
    folder = write_comparison_of_two(tmp_path / "compared")
    folder.joinpath("compare.json").unlink()
    with pytest.raises(RunError, match="compare"):
        write_report(folder)


@pytest.mark.parametrize("end", ["low", "high"])
def test_a_deployment_without_an_end_of_an_interval_is_refused_by_its_column(tmp_path, end):
    folder = write_deployment(tmp_path / "d")
    path = folder / "deployed.csv"
    table = pd.read_csv(path)
    column = next(name for name in table if name.startswith("accuracy[") and name.endswith(f"_{end}"))
    table.rename(columns={column: "other"}).to_csv(path, index=False)
    with pytest.raises(RunError, match=rf"deployed\.csv has no column '{re.escape(column)}'"):
        write_report(folder)


def test_a_band_that_begins_with_no_number_is_refused_by_its_row(tmp_path):
    folder = write_audit(tmp_path / "a")
    path = folder / "losses_by_factor.csv"
    head, row = path.read_text().splitlines()
    cells = row.split(",")
    path.write_text(f"{head}\n{','.join([*cells[:2], 'null', *cells[3:]])}\n")
    with pytest.raises(AuditError, match="row 1, column 'band': 'null' begins with no number"):
        write_report(folder)
