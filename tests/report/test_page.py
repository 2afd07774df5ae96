import json
import re
import time
from html import unescape

import numpy as np
import pandas as pd
import pytest
from markupsafe import Markup

from evo_fair.errors import EvoFairError, RunError
from evo_fair.evolution import Axis, create_run, describe, write_front
from evo_fair.latency import load_profile
from evo_fair.report import load_run
from evo_fair.report.network_cards import Group, network_cards
from evo_fair.report.operating_point import choose
from evo_fair.report.page import _seen, write_report
from tests.cli.conftest import refusal
from tests.report.browser import CHROMIUM
from tests.report.conftest import AXES, NETWORKS, write_run
from tests.report.folders import write_network

BELIEVED = (Axis("error", "min"),)
EVIL = "<script>window.bad=1</script>|<img src=http://evil.invalid/x onerror='window.bad=2'>"
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")


def inside(path, name):
    text = path.read_text(encoding="utf-8")
    (found,) = re.findall(rf'<script type="application/json" id="{name}">(.*?)</script>', text, re.DOTALL)
    return json.loads(found)


def write_card(run, name, groups, **more):
    card = {"id": name, "part": "validation", "groups": groups, "onnx": {"bytes": 1234}, **more}
    run.path.joinpath("networks").mkdir(exist_ok=True)
    run.path.joinpath("networks", f"{name}.json").write_text(json.dumps(card))


def write_large_run(folder, networks, seed=0):
    """A front without a journal, with ties in every objective and networks that others dominate."""
    random = np.random.default_rng(seed)
    x, y = random.integers(1, networks, (2, networks)) / networks
    front = pd.DataFrame(
        {
            "id": [f"{number:012x}" for number in random.permutation(networks)],
            "accuracy": x,
            "unfairness": y,
            "latency_ms": random.integers(10, 30, networks) / 10,
            "params": random.integers(10, 20, networks),
            "accuracy[sex:female]": np.where(random.random(networks) < 0.1, np.nan, np.round(x, 1)),
            "genome": "1 0",
        }
    )
    run = create_run(folder, {"search": {"objectives": describe(AXES), "constraints": []}})
    write_front(run.front, front)
    return load_run(folder)


def test_the_page_holds_the_front_as_it_is(run):
    path = write_report(run.path)
    assert path == run.path / "report.html"
    content = inside(path, "content")
    assert content["table"]["ids"] == run.front["id"].tolist()
    for name in ("accuracy", "unfairness", "latency_ms", "params"):
        assert content["table"]["columns"][name] == run.front[name].tolist()
    assert content["limits"] == ["latency_ms <= 9", "accuracy >= 0.6"]
    assert len(content["others"]["ids"]) == 3  # evaluated, off the front
    assert [row["generation"] for row in content["search"]] == [1, 2, 3]
    assert [row["networks"] for row in content["search"]] == [3, 6, 9]
    assert [row["front"] for row in content["search"]] == [3, 5, 5]
    assert content["search"][-1]["best"] == {"accuracy": 0.9, "unfairness": 0.1, "latency_ms": 2.0}


def write_believed_run(folder, **columns):
    run = create_run(folder, {"search": {"objectives": describe(BELIEVED), "constraints": []}})
    write_front(run.front, pd.DataFrame([{"id": "a", "error": 0.1, **columns, "genome": "1 0"}]))
    return run


def test_titles_say_what_is_believed(tmp_path):
    accuracies = {"accuracy": 0.9, "worst_group_accuracy": 0.8}
    run = write_believed_run(tmp_path / "run", error_believed=0.2, error_uncertainty=0.1, **accuracies)
    titles = inside(write_report(run.path), "content")["table"]["titles"]
    assert titles == {
        "error": "error",
        "accuracy": "accuracy, believed",
        "worst_group_accuracy": "worst_group_accuracy",
    }


def test_the_same_run_gives_the_same_content(run, tmp_path):
    pages = [write_report(run.path, tmp_path / name) for name in ("a.html", "b.html")]
    assert inside(pages[0], "content") == inside(pages[1], "content")


def test_a_card_shows_groups_with_intervals(run):
    groups = {"sex": {"female": {"samples": 10, "correct": 8}, "male": {"samples": 0, "correct": 0}}}
    write_card(run, run.front["id"][0], groups)
    card = inside(write_report(run.path), "content")["cards"][run.front["id"][0]]
    female, male = card["groups"]
    # Wilson's interval of 8 of 10, as in Brown, Cai and DasGupta 2001: centre (8 + z^2/2) / (10 + z^2).
    assert (female["accuracy"], female["low"], female["high"]) == pytest.approx((0.8, 0.4902, 0.9433), abs=5e-5)
    assert (male["accuracy"], male["low"], male["high"]) == (None, None, None)
    assert card["bytes"] == 1234
    assert card["latency"] == []
    assert card["confusion"] == []


CONFUSION = {
    "overall": {"cat": {"cat": 3, "dog": 1}, "dog": {"dog": 2}},
    "by_group": {"sex": {"female": {"cat": {"dog": 1}}, "male": {}}},
}


def test_confusion_is_a_table_for_all_and_for_each_group(run):
    """Only labels that occur are in a table: the bird, which none is and none was taken for, is left out."""
    extra = {"labels": ["bird", "cat", "dog"], "confusion": CONFUSION}
    write_card(run, run.front["id"][0], {}, **extra)
    card = inside(write_report(run.path), "content")["cards"][run.front["id"][0]]
    assert card["confusion"] == [
        {"title": "all samples", "labels": ["cat", "dog"], "rows": [[3, 1], [0, 2]]},
        {"title": "sex: female", "labels": ["cat", "dog"], "rows": [[0, 1], [0, 0]]},
        {"title": "sex: male", "labels": [], "rows": []},
    ]


@pytest.mark.parametrize("wrong", [{"overall": 3, "by_group": {}}, {"overall": {"a": {"b": -1}}, "by_group": {}}, {}])
def test_a_damaged_confusion_is_one_line(run, wrong):
    write_card(run, run.front["id"][0], {}, confusion=wrong)
    with pytest.raises(RunError, match="confusion"):
        write_report(run.path)


def test_several_devices_each_have_their_latency_and_none_is_there_twice(tmp_path):
    """`latency_ms` is that of the first device, whose name is in the objectives."""
    axes = (AXES[0], Axis("latency_ms[a]", unit="ms"), Axis("latency_ms[b]", unit="ms"))
    configuration = {"search": {"objectives": describe(axes), "constraints": []}}
    configuration["devices"] = [{"name": "a", "sha256": "x"}, {"name": "b", "sha256": "y"}]
    run = create_run(tmp_path / "two", configuration)
    front = pd.DataFrame(
        {
            "id": ["n", "m"],
            "accuracy": [0.9, 0.8],
            "latency_ms[a]": [2.0, 1.0],
            "latency_ms[b]": [3.0, 4.0],
            "latency_ms": [2.0, 1.0],
            "genome": "1 0",
        }
    )
    write_front(run.front, front)
    content = inside(write_report(run.path), "content")
    assert list(content["table"]["columns"]) == ["accuracy", "latency_ms[a]", "latency_ms[b]"]
    assert content["table"]["goal"] == "latency_ms[a]"
    assert ["devices", "a, b"] in content["facts"]


def test_latency_by_layer_is_of_each_device_whose_profile_is_at_hand(tmp_path):
    write_network(tmp_path, "n")
    known = load_profile("raspberry-pi-4")
    devices = {known.name: known.sha256, "pixel-3": load_profile("pixel-3").sha256, "mine": "x", "pixel-1": "another"}
    found = network_cards(tmp_path, ["n"], devices)["n"]["latency"]
    assert [one["device"] for one in found] == ["raspberry-pi-4", "pixel-3"]
    for one in found:
        assert one["total_ms"] == pytest.approx(one["fixed_ms"] + sum(layer["ms"] for layer in one["layers"]))


@pytest.mark.parametrize("table", [False, True])
def test_a_card_says_whether_its_file_prepares_columns(tmp_path, table):
    write_network(tmp_path, "n")
    path = tmp_path / "n.json"
    card = json.loads(path.read_text())
    card["input"] |= {"columns": [{"name": "age", "kind": "number"}]} if table else {}
    path.write_text(json.dumps(card))
    assert network_cards(tmp_path, ["n"], {})["n"]["prepares_columns"] is table


@pytest.mark.parametrize(("network", "told"), [(False, "frozen weights"), (True, "own weights, pruned")])
def test_caveats_say_whose_weights_they_are(tmp_path, network, told):
    run = write_run(tmp_path / "run")
    if network:
        with run.path.joinpath("run.toml").open("a") as file:
            file.write("\n[network]\nname = 'mine'\n")
    content = inside(write_report(run.path), "content")
    assert any(told in line for line in content["caveats"])
    assert (["network", "mine"] in content["facts"]) is network


def test_the_first_caveat_is_that_a_search_has_not_ended(run):
    first = inside(write_report(run.path), "content")["caveats"][0]
    assert first == f"T{run.unfinished[1:]}."
    run.write_front()
    assert "has not ended" not in " ".join(inside(write_report(run.path), "content")["caveats"])


def test_the_whole_network_is_among_the_facts_of_a_search_of_its_pruned_forms(tmp_path):
    facts = dict(inside(write_report(write_run(tmp_path / "own", initial="known").path), "content")["facts"])
    assert facts["the whole network's"] == "accuracy 0.9, unfairness 0.3, latency on a board (ms) 8"
    networks = [NETWORKS[-1], *NETWORKS[:-1]]
    unevaluated = write_run(tmp_path / "limited", networks=networks, initial="known")
    facts = dict(inside(write_report(unevaluated.path), "content")["facts"])
    assert facts["the whole network's"] == "latency on a board (ms) 9.5"
    facts = dict(inside(write_report(write_run(tmp_path / "supernet").path), "content")["facts"])
    assert "the whole network's" not in facts


@pytest.mark.parametrize(
    ("groups", "told"),
    [({"sex": {"f": {"samples": 1, "correct": 2}}}, "2 correct of 1"), ({"sex": 3}, "groups.sex"), (None, "groups")],
)
def test_a_damaged_card_is_one_line(run, groups, told):
    write_card(run, run.front["id"][0], groups)
    with pytest.raises(RunError, match=re.escape(told)):
        write_report(run.path)


def test_an_empty_group_has_no_interval():
    assert Group(samples=0, correct=0).interval() is None


def test_a_front_without_its_journal_has_a_page_and_says_what_is_missing(run):
    run.write_front()
    run.path.joinpath("journal.jsonl").unlink()
    text = unescape(write_report(run.path).read_text(encoding="utf-8"))
    assert "how the search went is not known" in text


def test_findings_are_on_the_page(run):
    run.path.joinpath("findings.txt").write_text("error: tells 90 % <b>& more\n")
    assert "<li>error: tells 90 % &lt;b&gt;&amp; more</li>" in write_report(run.path).read_text(encoding="utf-8")


def test_options_in_the_text_are_in_one_piece(run):
    run.path.joinpath("findings.txt").write_text("what is left, --trainings finds out\n")
    told = '<li>what is left, <span class="whole">--trainings</span> finds out</li>'
    assert told in write_report(run.path).read_text(encoding="utf-8")


def test_deployed_networks_are_shown_with_their_intervals(run):
    table = "id,role,precision,macs,accuracy,accuracy_low,accuracy_high\na,front,fp32,50636,0.95,0.9,0.98\n"
    run.path.joinpath("deployed.csv").write_text(table)
    content = inside(write_report(run.path), "content")
    assert content["deployed"]["columns"] == ["id", "role", "precision", "macs", "accuracy"]
    assert content["deployed"]["rows"] == [["a", "front", "fp32", "50,636", "0.95 (0.9 to 0.98)"]]


def test_no_text_from_outside_becomes_a_part_of_the_page(tmp_path):
    axes = (*AXES[:2], Axis("latency_ms", unit="ms", label=EVIL))
    run = write_run(tmp_path / "odd <b>", axes)
    write_card(run, run.front["id"][0], {EVIL: {EVIL: {"samples": 3, "correct": 1}}})
    run.path.joinpath("findings.txt").write_text(EVIL)
    text = write_report(run.path).read_text(encoding="utf-8")
    assert "<img" not in text.replace("<image", "")
    assert text.count("<script>") == 4  # the library, and the three of the page
    assert "<b>" not in text.split("<script>")[0].replace("<b style", "")
    assert inside(run.path / "report.html", "content")["cards"][run.front["id"][0]]["groups"][0]["group"] == EVIL


@pytest.mark.parametrize("name", ["report.pdf", "report"])
def test_a_report_is_html(run, name, tmp_path):
    with pytest.raises(EvoFairError, match=r"ends in \.html"):
        write_report(run.path, tmp_path / name)


def test_without_bokeh_it_says_what_brings_it(run, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "bokeh", None)
    with pytest.raises(EvoFairError, match=r"pip install 'evo-fair\[report\]'"):
        write_report(run.path)


def test_the_command_refuses_a_folder_without_a_run(tmp_path, capsys):
    assert "nowhere is no folder: give the folder of" in refusal(capsys, "report", tmp_path / "nowhere")


def test_a_folder_within_a_jobs_own_is_refused_with_that(run):
    (run.path / "networks").mkdir()
    with pytest.raises(RunError, match=r"holds nothing that a report is made of: give .*, such as .*ham$"):
        write_report(run.path / "networks")


def test_a_run_without_a_front_is_refused(tmp_path):
    run = write_run(tmp_path / "none", networks=[(None, None, 9.5, 99_000)])
    with pytest.raises(RunError, match="no network on its front"):
        write_report(run.path)


SLIDE = """
(name, position) => {
  const slider = document.querySelector(`[data-name="${name}"] input[type=range]`);
  slider.value = position;
  slider.dispatchEvent(new Event("input"));
}
"""
CHOSEN = """
new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done({
  id: document.getElementById("chosen").dataset.id,
  costs: [...document.querySelectorAll("#costs li")].map((item) => ({ ...item.dataset })),
}))))
"""


def set_sliders(tab, positions):
    tab.run("document.getElementById('reset').click()")
    for name, position in positions.items():
        tab.run(f"({SLIDE})({json.dumps(name)}, {position})")
    return tab.run(CHOSEN)


@needs_browser
def test_on_paper_figures_keep_the_width_that_they_were_drawn_for(run, browser):
    widths = (
        "[...document.querySelectorAll('figure')].map((one) => Math.round(parseFloat(getComputedStyle(one).width)))"
    )
    tab = browser.tab()
    tab.open(write_report(run.path), width=800)
    drawn = tab.run(widths)
    tab.run("dispatchEvent(new Event('beforeprint'))")
    tab.call("Emulation.setEmulatedMedia", media="print")
    assert tab.run(widths) == drawn


@needs_browser
def test_on_paper_figures_have_no_toolbars(run, browser):
    tab = browser.tab()
    tab.open(write_report(run.path))
    tab.run(
        "const all = (root) => [...root.querySelectorAll('*')].flatMap("
        " (one) => [one, ...(one.shadowRoot ? all(one.shadowRoot) : [])]);"
        "const seen = () => all(document).filter((one) => one.classList.contains('bk-Toolbar'))"
        " .map((one) => getComputedStyle(one).visibility)"
    )
    assert set(tab.run("seen()")) == {"visible"}
    tab.call("Emulation.setEmulatedMedia", media="print")
    assert set(tab.run("seen()")) == {"hidden"}


@needs_browser
@pytest.mark.parametrize("seed", [0, 1])
def test_sliders_choose_what_operating_point_chooses(tmp_path, browser, seed):
    """Of a front with ties in every objective and dominated networks, under up to four limits, with each goal."""
    run = write_large_run(tmp_path / "run", 60, seed)
    tab = browser.tab()
    tab.open(write_report(run.path))
    tab.run(
        "const more = document.getElementById('more-limits');"
        "for (const name of ['params', 'accuracy[sex:female]']) {"
        " more.value = name; more.dispatchEvent(new Event('change')); }"
    )
    random = np.random.default_rng(seed)
    goals = {
        "latency_ms": "min",
        "unfairness": "min",
        "accuracy": "max",
        "params": "min",
        "accuracy[sex:female]": "max",
    }
    found = set()
    for _ in range(60):
        goal, direction = list(goals.items())[random.integers(len(goals))]
        option = json.dumps(json.dumps({"name": goal, "direction": direction}, separators=(",", ":")))
        tab.run(f"document.getElementById('goal').value = {option}")
        names = random.choice(list(goals), random.integers(0, 5), replace=False)
        most = {name: tab.run(f"Number(document.querySelector('[data-name=\"{name}\"] input').max)") for name in names}
        chosen = set_sliders(tab, {name: int(random.integers(1, most[name] + 1) ** 0.9) for name in names})
        limits = [cost["limit"] for cost in chosen["costs"]]
        assert len(limits) == len(names)
        way = {"minimise": goal} if direction == "min" else {"maximise": goal}
        expected = choose(run.front, limits, axes=run.axes, **way)
        assert chosen["id"] == ("" if expected.point is None else expected.point["id"])
        for shown, cost in zip(chosen["costs"], expected.costs, strict=True):
            assert shown["best"] == "null" if cost.best is None else float(shown["best"]) == cost.best
            assert shown["cost"] == "null" if cost.cost is None else float(shown["cost"]) == cost.cost
        found.add(chosen["id"])
    assert len(found) > 5
    assert tab.errors == []


@needs_browser
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_asks_nobody_and_obeys_no_label(tmp_path, browser, width):
    axes = (*AXES[:2], Axis("latency_ms", unit="ms", label=EVIL))
    run = write_run(tmp_path / "odd | <b>", axes)
    write_card(run, run.front["id"][0], {EVIL: {EVIL: {"samples": 3, "correct": 1}}})
    tab = browser.tab()
    tab.open(write_report(run.path), width)
    assert [url for url in tab.requests if not url.startswith(("file:///", "data:", "blob:"))] == []
    assert tab.run("typeof window.bad") == "undefined"
    assert tab.run("document.querySelectorAll('img, main b:not([style])').length") == 0
    assert tab.run("document.documentElement.scrollWidth") <= width
    tab.run("document.getElementById('more-limits').append(new Option('of a long name '.repeat(9)))")
    assert tab.run("document.documentElement.scrollWidth") <= width
    assert tab.errors == []


@needs_browser
def test_a_believed_figure_has_the_digits_that_its_error_leaves(tmp_path, browser):
    run = write_believed_run(tmp_path / "run", error_believed=0.123456, error_uncertainty=0.0456)
    tab = browser.tab()
    tab.open(write_report(run.path), width=390)
    cells = "[...document.querySelectorAll('#networks-body td')].map((cell) => cell.innerText)"
    assert tab.run(cells)[0] == "0.123 ± 0.046"
    assert tab.errors == []


@needs_browser
def test_confusion_is_shown_of_the_group_that_is_chosen(run, browser):
    for number, name in enumerate(run.front["id"]):
        more = {} if number else {"labels": ["cat", "dog"], "confusion": CONFUSION}
        write_card(run, name, {}, **more)
    tab = browser.tab()
    tab.open(write_report(run.path))
    set_sliders(tab, {"accuracy": 99})  # the first, of the highest accuracy
    cells = "[...document.querySelectorAll('.confusion tbody tr')].map((row) => row.innerText.split(/\\s+/).join(' '))"
    assert tab.run(cells) == ["cat 3 1 75.0 %", "dog · 2 100.0 %"]
    choose = "const one = document.getElementById('confusion-of'); one.value = 'sex: female'; "
    tab.run(f"{{ {choose} one.dispatchEvent(new Event('change')); }}")
    assert tab.run(cells) == ["cat · 1 0.0 %", "dog · · unknown"]
    set_sliders(tab, {})  # the fastest, whose card is of an earlier version
    assert "Confusion within groups is not known" in tab.run("document.getElementById('card-body').innerText")
    assert tab.errors == []


@needs_browser
def test_a_single_objective_stands_over_the_places_on_the_front(tmp_path, browser):
    run = write_run(tmp_path / "one", AXES[2:])
    tab = browser.tab()
    tab.open(write_report(run.path))
    assert tab.run("drawn.length") == 2
    assert tab.run("drawn[0].model('within').data.x") == list(range(1, len(run.front) + 1))
    assert tab.errors == []


@needs_browser
def test_every_control_has_a_name_and_a_keyboard_moves_a_slider(run, browser):
    tab = browser.tab()
    tab.open(write_report(run.path))
    unnamed = (
        "[...document.querySelectorAll('input, select, button')].filter("
        "(one) => !one.labels?.length && !one.ariaLabel && !one.textContent).length"
    )
    assert tab.run(unnamed) == 0
    tab.run("document.querySelector('[data-name=accuracy] input').focus()")
    for kind in ("keyDown", "keyUp"):
        tab.call("Input.dispatchKeyEvent", type=kind, key="End", code="End", windowsVirtualKeyCode=35)
    assert [cost["limit"] for cost in tab.run(CHOSEN)["costs"]] == ["accuracy >= 0.9"]
    assert tab.run("document.activeElement.getAttribute('aria-valuetext')") == "accuracy >= 0.9"


@needs_browser
@pytest.mark.slow
def test_ten_thousand_networks_stay_fluid(tmp_path, browser):
    """From a slider's move to the new picture; half a second is for a machine that does much else meanwhile."""
    run = write_large_run(tmp_path / "large", 10_000)
    tab = browser.tab()
    tab.open(write_report(run.path))
    times = []
    for position in range(100, 1100, 100):
        begun = time.perf_counter()
        tab.run(f"({SLIDE})('accuracy', {position})")
        assert tab.run(CHOSEN)["id"]
        times.append(time.perf_counter() - begun)
    assert np.median(times) < 0.5
    time.sleep(0.5)  # the many points follow when the slider rests
    drawn = "drawn[0].model('within').data.id.length"
    kept = int((run.front["accuracy"] >= sorted(set(run.front["accuracy"]))[999]).sum())
    assert tab.run(f"new Promise((done) => setTimeout(() => done({drawn}), 1))") == kept


def test_what_nobody_sees_in_a_name_is_written_out():
    """An override turns what follows from right to left, and two groups may differ in a space of no width alone."""
    assert _seen("old\u202e, or\nold\u200b") == "old\\u202e, or\nold\\u200b"
    assert _seen("نمی\u200cخواهم") == "نمی\u200cخواهم", "a joiner is spelling"
    script = Markup("'\u202e'")
    assert _seen(script) is script
