"""The grid of prunings of one trained network of the tiny problem."""

import dataclasses
import os
import shutil
from html import unescape
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from torch import nn

from evo_fair.auditing.figures import draw_losses
from evo_fair.auditing.findings import find
from evo_fair.auditing.report import write_report
from evo_fair.auditing.report_text import report_text
from evo_fair.auditing.store import ROW_COLUMNS, open_audit, start_audit, write_table
from evo_fair.errors import AuditError, PruningError, UnknownNameError
from evo_fair.jobs import audit_parts
from evo_fair.jobs.audit_network import NetworkGrid, audit_network, plan_of, suited
from evo_fair.jobs.listener import Listener
from evo_fair.jobs.prune_settings import PruneUnit
from evo_fair.nets import Supernet
from evo_fair.problem import load_problem
from evo_fair.proxy.supernets import ensure_supernet
from evo_fair.pruning.task import Dense, Task
from evo_fair.show import markdown

from ..cli.conftest import PROBLEM

GRID = NetworkGrid(
    ("magnitude_l1", "random"),
    scopes=("global",),
    treatments=("none", "finetune"),
    sparsities=(0.3, 0.6),
    seeds=(0, 1),
    epochs=1,
)


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    path = tmp_path_factory.mktemp("problem") / "tiny.toml"
    path.write_text(PROBLEM)
    return load_problem(str(path))


@pytest.fixture(scope="module")
def dense(problem):
    dataset = problem.dataset()
    space = problem.search_space(dataset.input_shape, len(dataset.label_names))
    supernet = Supernet.load(ensure_supernet(problem, dataset, space).path, space)
    network = supernet.extract(space.largest())
    network.calibrate(supernet.normalise(dataset.inputs[dataset.part("train")[:512]]))
    return Dense(network.eval(), None, problem.training.epochs)


@pytest.fixture(scope="module")
def folder(problem, dense, tmp_path_factory):
    return audit_network(problem, GRID, dense, "largest", out=tmp_path_factory.mktemp("audits") / "one")


def test_every_combination_is_made_once(folder):
    networks = pd.read_csv(folder.table)
    # Two structures and sparsities; by magnitude without training once, else with both seeds; and the dense network.
    assert len(networks) == 1 + 2 * 2 * (1 + 2 + 2 + 2)
    pruned = networks[~networks["dense"]]
    factors = ["criterion", "structure", "scope", "treatment", "target", "seed"]
    assert not pruned.duplicated(factors).any()
    assert (pruned.loc[pruned["treatment"] == "finetune", "iterations"] > 0).all()
    assert (pruned.loc[pruned["treatment"] == "none", "iterations"] == 0).all()
    dense = networks.loc[networks["dense"], "params"].item()
    assert pruned["sparsity"].to_numpy() == pytest.approx(1 - pruned["params"].to_numpy() / dense)
    assert networks["macs"].isna().all(), "not counted, which is not 0"
    single = pruned[pruned["structure"] == "unstructured"]
    assert single["sparsity"].to_numpy() == pytest.approx(single["target"].to_numpy(), abs=0.1)


def test_dense_network_is_measured_as_it_is(problem, dense, folder):
    task = Task(problem.dataset(), "class", problem.training)
    networks = pd.read_csv(folder.table)
    labels = task.dataset.labels[task.dataset.part("validation")]
    right = task.predictions(dense.network, "validation") == labels
    assert networks.loc[networks["dense"], "accuracy"].item() == pytest.approx(right.mean())
    assert (folder.predictions[0] == task.predictions(dense.network, "validation")).all()


def test_report_compares_treatments_and_structures(folder):
    text = write_report(folder, find(folder)).read_text()
    assert "One trained network" in text
    assert "28 pruned ones and the dense one\n" in text
    assert "\npart, by class; a loss" in text
    assert "\n- the test part;\n" in text
    for term in ("structure unstructured", "treatment none", "sparsity x criterion random"):
        assert term in text


def test_report_shows_names_of_groups_as_they_are(folder, tmp_path):
    findings = find(folder)
    odd = "<b>3|`$\\frac{$ \x1b[31m*c*"
    changed = dataclasses.replace(findings, losses=findings.losses.replace({"group": {"3": odd}}))
    text = report_text(folder, changed)
    assert markdown(odd) in text
    assert "<b>" not in text
    assert "\x1b" not in text
    (row,) = (line for line in text.splitlines() if line.startswith(f"| {markdown(odd)} |"))
    another = next(line for line in text.splitlines() if line.startswith("| 4 |"))
    assert row.replace("\\|", "").count("|") == another.count("|")
    draw_losses(changed.losses, ("class",), [tmp_path / "losses.svg"])
    assert "3|`$\\frac{$ \\u001b[31m*c*" in unescape((tmp_path / "losses.svg").read_text())


def test_what_too_few_networks_tell_is_left_out_of_the_report(problem, dense, tmp_path, monkeypatch):
    """Of so small a share no channel goes: nothing flips, and no network is in a band of sparsity."""
    monkeypatch.setattr("evo_fair.auditing.effects.LEAST_TO_LOSE", 2.0)
    grid = NetworkGrid(("magnitude_l1", "lamp"), ("structured",), ("global",), ("none",), (0.001,), (0,))
    audit = audit_network(problem, grid, dense, "largest", out=tmp_path / "a")
    text = write_report(audit, find(audit)).read_text()
    for told in ("over all pruned networks: **", "Fewer than 20 pruned networks", "Not enough flips", "## Operating"):
        assert told in text
    assert not any(name in text for name in ("effects.png", "forecast.png"))
    assert (audit.path / "losses.png").is_file()


def test_resumed_grid_measures_nothing_twice(problem, dense, folder):
    before = {path: path.stat().st_mtime_ns for path in (folder.path / "parts").iterdir()}
    audit_network(problem, GRID, dense, "largest", out=folder.path, resume=True)
    assert before == {path: path.stat().st_mtime_ns for path in (folder.path / "parts").iterdir()}


def test_other_weights_do_not_resume(problem, dense, folder):
    other = Dense(type(dense.network)(dense.network.blocks, 10).eval(), None, 1)
    with pytest.raises(AuditError, match=r"made with network\.sha256"):
        audit_network(problem, GRID, other, "largest", out=folder.path, resume=True)


def test_too_large_a_grid_says_how_long_it_takes(problem, dense, tmp_path):
    with pytest.raises(AuditError, match="an audit of 29 networks takes about"):
        audit_network(problem, GRID, dense, "largest", out=tmp_path / "a", minutes=1e-9)
    measured = open_audit(tmp_path / "a").networks
    assert set(measured["treatment"]) == {"none", *GRID.treatments}, "untrained ones alone would tell too little"


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        ({"sparsities": (1.0,)}, PruningError, r"outside \[0, 1\)"),
        ({"criteria": ("size",)}, UnknownNameError, "unknown criterion 'size'"),
        ({"treatments": ("finetun",)}, UnknownNameError, "did you mean 'finetune'"),
        ({"structures": ("blocks",)}, UnknownNameError, "unknown structure"),
        ({"scopes": ("early",)}, UnknownNameError, "unknown scope"),
        ({"seeds": ()}, AuditError, "at least one"),
        ({"seeds": (1, 0, 1)}, AuditError, r"seeds = \[1, 0, 1\]: name at least one, and each once"),
        ({"structures": ()}, AuditError, r"structures = \[\]: name at least one"),
        ({"sparsities": (0.5, 0.5)}, AuditError, "and each once"),
        ({"treatments": ("none", "none")}, AuditError, "and each once"),
        ({"epochs": -1}, AuditError, "negative"),
        ({"sparsities": (0.0,)}, AuditError, r"the grid has 0 pruned network\(s\)"),
    ],
)
def test_impossible_grids_are_refused(changes, error, told):
    with pytest.raises(error, match=told):
        plan_of(dataclasses.replace(GRID, **changes), "x")


def test_a_single_combination_is_refused():
    with pytest.raises(AuditError, match=r"has 1 pruned network\(s\), and an audit compares two or more"):
        NetworkGrid(("magnitude_l1",), ("structured",), ("global",), ("none",), (0.5,), (0, 1, 2))


def test_a_criterion_that_does_not_suit_is_refused_before_anything_is_measured(problem, tmp_path):
    network = nn.Sequential(nn.Conv2d(1, 6, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(54, 10))
    grid = dataclasses.replace(GRID, criteria=("magnitude_l1", "bn_scale"))
    with pytest.raises(PruningError, match="bn_scale has no value"):
        audit_network(problem, grid, Dense(network.eval(), None, 1), "net", out=tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_of_all_criteria_those_that_suit_stay(problem):
    task = Task(problem.dataset(), "class", problem.training)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10))
    grid = dataclasses.replace(GRID, criteria=("bn_scale", "magnitude_l1", "random"))
    assert suited(grid, task, network).criteria == ("magnitude_l1", "random")
    with pytest.raises(PruningError, match="bn_scale has no value"):
        suited(dataclasses.replace(GRID, criteria=("bn_scale",)), task, network)


def test_what_a_kill_before_the_configuration_left_is_begun_anew(tmp_path):
    plan, out = plan_of(GRID, "x"), tmp_path / "a"
    (out / "parts").mkdir(parents=True)
    (out / ".plan.7.tmp.csv").write_text("half")
    (out / "plan.csv").write_text("whole")
    assert start_audit(out, {"source": "network"}, plan, False).configuration == {"source": "network"}
    with pytest.raises(AuditError, match="exists already"):
        start_audit(out, {"source": "network"}, plan, False)
    (tmp_path / "b" / "parts").mkdir(parents=True)
    (tmp_path / "b" / "parts" / "00000.csv").write_text("measured")
    with pytest.raises(AuditError, match="exists already"):
        start_audit(tmp_path / "b", {"source": "network"}, plan, False)


@pytest.mark.parametrize("width", [1, 4])
def test_the_time_of_an_audit_is_told_by_what_all_workers_measure(tmp_path, monkeypatch, width):
    """Eight parts of a minute each take four workers two minutes, and one worker eight."""
    clock = iter([0.0] + [60.0 * (1 + part // width) for part in range(8)])
    monkeypatch.setattr(audit_parts, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(audit_parts, "_measured", lambda team, predict, parts: ((part, (None, {})) for part in parts))
    for table in ("metrics_of", "rows_of"):
        monkeypatch.setattr(audit_parts, table, lambda ids, *_: pd.DataFrame({"id": ids}))
    plan = pd.DataFrame({"id": list("abcdefgh"), "order": "trained"})
    folder = start_audit(tmp_path / "a", {"part_size": 1}, plan, resume=False)
    monkeypatch.setattr(type(folder), "write_part", lambda *_: None)

    def measure():
        audit_parts.run_parts(folder, None, "", "", (), None, 1, 2.0, Listener(), team=SimpleNamespace(width=width))

    if width == 4:
        measure()
    else:
        with pytest.raises(AuditError, match=r"about 7 minutes more at .* --time allows 2 minutes"):
            measure()


def test_ids_are_unique():
    assert plan_of(NetworkGrid(), "net")["id"].is_unique
    assert np.isclose(plan_of(GRID, "net")["target"].max(), 0.6)


def test_rows_have_the_same_bytes_whoever_writes_them(tmp_path, monkeypatch):
    """pandas puts the name of the file into what it packs, and a temporary one holds the process's number."""
    rows = pd.DataFrame([["x", "sex", "f", "NA", 3, 2]], columns=ROW_COLUMNS)
    write_table(tmp_path / "a.csv.gz", rows)
    monkeypatch.setattr(os, "getpid", lambda: 12345)
    write_table(tmp_path / "b.csv.gz", rows)
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "a.csv.gz", keep_default_na=False), rows)


@pytest.mark.parametrize("order", ["../../x", "size", "trained-1"])
def test_a_plan_that_was_changed_does_not_resume(tmp_path, order):
    """Its orders of channels name files."""
    plan = pd.DataFrame({"id": ["x", "y"], "order": "trained"})
    start_audit(tmp_path / "a", {"part_size": 2}, plan, resume=False)
    path = tmp_path / "a" / "plan.csv"
    assert start_audit(tmp_path / "a", {"part_size": 2}, plan, resume=True).plan.equals(plan)
    path.write_text(path.read_text().replace("trained", order, 1))
    with pytest.raises(AuditError, match=r"plan\.csv is not the plan of this audit"):
        start_audit(tmp_path / "a", {"part_size": 2}, plan, resume=True)


def test_damaged_parts_are_named_where_no_card_tells_them(problem, folder, tmp_path):
    """Those of earlier versions have none; else a part that is not as it was written is measured anew."""
    copied = tmp_path / "a"
    shutil.copytree(folder.path, copied)
    table = copied / "parts" / "00001.networks.csv"
    whole = table.read_bytes()
    assert open_audit(copied).finished(1)
    table.write_bytes(whole.replace(b"largest", b"smallest", 1))
    assert not open_audit(copied).finished(1)
    table.write_bytes(whole)
    for card in copied.glob("parts/*.json"):
        card.unlink()

    def refused(name, content):
        path = copied / "parts" / name
        before = path.read_bytes()
        path.write_bytes(content(before))
        audit = open_audit(copied)
        with pytest.raises(AuditError, match=rf"{name}.*: remove the part's files and go on with --resume"):
            _ = audit.networks, audit.rows, audit.predictions
        path.write_bytes(before)

    refused("00001.networks.csv", lambda content: content.replace(b"largest", b"smallest", 1))
    refused("00001.networks.csv", lambda content: content.replace(b"0.", b"red", 1))
    refused("00001.networks.csv", lambda content: content.replace(b"accuracy", b"acuracy", 1))
    refused("00001.rows.csv.gz", lambda content: content[:-20])
    refused("00001.rows.csv.gz", lambda content: b"rows")
    refused("00001.npz", lambda content: content[:-20])
    refused("00001.npz", lambda content: (copied / "dense.npz").read_bytes())


def test_networks_of_nearly_the_same_sparsity_have_names_of_their_own() -> None:
    grid = dataclasses.replace(GRID, sparsities=(0.12345678, 0.1234567, 0.5))
    names = plan_of(grid, "net")["id"]
    assert names.is_unique
    assert names.str.contains("-0.5-").any()
    assert PruneUnit("ballot", 0.12345678, 0).name == "ballot-0.12345678-0"
    assert PruneUnit("ballot", 0.9, 0).name == "ballot-0.9-0"
