"""What the README claims is what the tables say. Its code, options and links are tested with all other pages'."""

import csv
import re
from pathlib import Path

import pandas as pd
import pytest

from tests.pages import ROOT

README = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
BENCHMARKS = ROOT / "results" / "benchmarks"


def _table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, comment="#")


def test_the_readme_is_short() -> None:
    assert (ROOT / "README.md").stat().st_size <= 8000


def test_the_readme_names_the_commands_that_there_are() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"\bmake ([a-z]+)", README)) <= set(targets)
    assert {"make demo", "make test", "pip install"} <= set(re.findall(r"make \w+|pip install", README))


def test_the_front_is_said_to_be_no_better_than_random_networks() -> None:
    rows = _gains("ham10000")
    accuracy, unfairness = 100 * rows.loc["accuracy", ENDS], rows.loc["unfairness", ENDS]
    assert accuracy.low < 0 < accuracy.high
    assert unfairness.low < 0 < unfairness.high
    assert "2 seeds" in _first_line("ham10000")
    said = f"accuracy {accuracy.difference:+.1f} points [{accuracy.low:+.1f}, {accuracy.high:+.1f}]"
    assert f"{said}, unfairness {unfairness.difference:+.3f} [{unfairness.low:+.3f}, {unfairness.high:+.3f}]" in README


ENDS = ["difference", "low", "high"]


def _gains(problem: str) -> pd.DataFrame:
    rows = _table(BENCHMARKS / "search_gain" / problem / "comparison.csv")
    return rows[rows["front_minus"] == "random, paired"].set_index("metric")


def _first_line(problem: str) -> str:
    return (BENCHMARKS / "search_gain" / problem / "comparison.csv").read_text(encoding="utf-8").splitlines()[0]


@pytest.mark.parametrize(("problem", "called"), [("cifar10", "[CIFAR-10](docs/science/search.md)"), ("faces", "faces")])
def test_what_a_front_gains_is_the_tables(problem: str, called: str) -> None:
    accuracy = _gains(problem).loc["accuracy"]
    points = [100 * accuracy[end] for end in ("difference", "low", "high")]
    said = f"accuracy {points[0]:+.1f} points [{points[1]:+.1f}, {points[2]:+.1f}]"
    assert f"{called}, {accuracy.networks} pairs: {said}" in README
    assert "2 seeds" in _first_line(problem)
    for metric in ("unfairness", "hypervolume"):  # said not to be shown, on both
        assert _gains(problem).loc[metric].low < 0 < _gains(problem).loc[metric].high
    assert "a lower unfairness and larger hypervolume but with strides" in README


@pytest.mark.parametrize(
    ("problem", "family", "name"), [("cifar10", "resnet-18", "ResNet-18"), ("faces", "mobilenet-v2", "MobileNetV2")]
)
def test_what_a_front_gains_beside_a_known_network_is_the_tables(problem: str, family: str, name: str) -> None:
    rows = _table(BENCHMARKS / "search_gain" / problem / "comparison.csv")
    chosen = rows["front_minus"].str.startswith(family) & (rows["metric"] == "accuracy")
    networks, gain = rows[chosen].iloc[0]["networks"], 100 * rows[chosen].iloc[0][ENDS]
    assert f"beside {name} ({networks}) {gain.difference:+.1f} [{gain.low:+.1f}, {gain.high:+.1f}]" in README


def test_whose_gain_is_shown_is_the_tables() -> None:
    assert _gains("faces").loc["worst_group_accuracy"].low < 0  # that the worst race gains is not shown
    said = "its networks are {} more accurate {}, and in the worst class {} {}"
    parts = []
    for metric in ("accuracy", "worst_group_accuracy"):
        row = 100 * _gains("cifar10").loc[metric, ENDS]
        parts += [f"{row.difference:.1f} points", f"[{row.low:.1f}, {row.high:.1f}]"]
    assert said.format(*parts) in README


def test_what_searched_strides_gain_is_the_tables() -> None:
    rows = _gains("cifar10_strides")
    accuracy, worst = (100 * rows.loc[metric, ENDS] for metric in ("accuracy", "worst_group_accuracy"))
    whole, part = (f"{row.difference:.1f} [{row.low:.1f}, {row.high:.1f}]" for row in (accuracy, worst))
    assert f"; {whole} and {part} where strides are searched, too" in README
    pairs = rows.loc["accuracy", "networks"]
    gain = f"{accuracy.difference:+.1f} [{accuracy.low:+.1f}, {accuracy.high:+.1f}]"
    assert f"strides searched, {pairs}: {gain}" in README
    unfairness, volume = (rows.loc[metric, ENDS] for metric in ("unfairness", "hypervolume"))
    assert unfairness.high < 0 < volume.low
    lower = f"{unfairness.difference:+.3f} [{unfairness.low:+.3f}, {unfairness.high:+.3f}]"
    larger = f"{volume.difference:+.2f} [{volume.low:+.2f}, {volume.high:+.2f}]"
    assert f"but with strides ({lower}, {larger})" in README


@pytest.mark.parametrize(
    ("difference", "ratio"),
    [
        ("accuracy_minus_mobilenet", "unfairness[age_band]_to_mobilenet"),
        ("accuracy_minus_like", "unfairness[age_band]_to_like"),
    ],
)
def test_the_headline_is_the_tables(difference: str, ratio: str) -> None:
    table = _table(ROOT / "results" / "headline" / "table.csv")
    (row,) = table[table["roles"].fillna("").str.contains("for all groups")].to_dict("records")
    ends = [100 * row[f"{difference}_{end}"] for end in ("low", "high")]
    assert f"accuracy {100 * row[difference]:+.1f} points [{ends[0]:+.1f}, {ends[1]:+.1f}]" in README
    lower = [100 * (1 - row[ratio]), 100 * (1 - row[f"{ratio}_high"]), 100 * (1 - row[f"{ratio}_low"])]
    assert f"unfairness {lower[0]:.1f} % lower [{lower[1]:.1f}, {lower[2]:.1f}]" in README
    assert f"{row['times_smaller']:.1f} times smaller, {row['times_faster_here']:.1f} times faster" in README
    assert f"{row['times_faster[raspberry-pi-4]']:.1f} times faster" in README


def test_what_the_supernet_knows_is_the_tables() -> None:
    guided = _table(BENCHMARKS / "guided_search.csv").set_index("what")["tau"]
    said = f"tau {guided['frozen error, scored networks']:.2f}, with size and genes {guided['believed']:.2f}"
    assert f"{said}, size alone {guided['multiply-accumulates']:.2f}" in README
    for data, name in (("HAM10000", "proxy_fidelity"), ("Faces", "proxy_fidelity_faces")):
        taus = _table(BENCHMARKS / f"{name}.csv")
        taus = taus[taus["metric"] == "accuracy"].set_index("pair")
        proxy, size = taus.loc["proxy, one seed"], taus.loc["size, one seed"]
        said = f"{data}, accuracy: {proxy.tau:.2f} [{proxy.low:.2f}, {proxy.high:.2f}]"
        assert f"{said}, size alone {size.tau:.2f} [{size.low:.2f}, {size.high:.2f}]" in README


def test_latency_errors_are_the_tables() -> None:
    with (BENCHMARKS / "latency_accuracy.csv").open(encoding="utf-8") as file:
        rows = {row[0]: row for row in csv.reader(line for line in file if not line.startswith("#"))}
    pi, odroid = rows["raspberry-pi-4, TFLite fp32"], rows["odroid-n2-plus, TFLite fp32"]
    said = f"{float(pi[3]):.1f} % mean error on a Raspberry Pi 4 ({pi[1]} networks), {float(odroid[3]):.1f} % on an"
    assert said in README
    front = _table(BENCHMARKS / "latency_front.csv")
    assert f"of {len(front)} networks of a front, timed on an x86 machine, {front['within'].sum()} within" in README


def test_gains_of_pruned_forms_are_the_tables() -> None:
    table = _table(BENCHMARKS / "own_network" / "faces-mobilenet-v2" / "differences.csv")
    rows = table.set_index(["share", "less", "metric"]).sort_index()
    sixth, third = sorted(set(table["share"]))
    for other in ("uniform", "ballot", "dense"):
        gain = 100 * rows.loc[(sixth, other, "accuracy")]
        points = "points " if other == "uniform" else ""
        said = {"uniform": "uniform pruning", "ballot": "`ballot`", "dense": "the whole network"}[other]
        assert f"{gain.value:+.1f} {points}[{gain.low:+.1f}, {gain.high:+.1f}] beside {said}" in README
    assert rows.loc[(third, "ballot", "accuracy")].low < 0  # that it is better there is not shown
    unfairness = table[table["metric"] == "unfairness"]
    assert (unfairness["high"] > 0).all()
