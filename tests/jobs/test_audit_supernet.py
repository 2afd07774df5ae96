"""Audits of a tiny problem on the digits: whole, broken off, and refused."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evo_fair.auditing.dense import DenseFacts
from evo_fair.auditing.measure import UNKNOWN, rows_of
from evo_fair.auditing.orders import ORDERS, importance_by_gene, ordered
from evo_fair.auditing.paths import full_width
from evo_fair.auditing.plan import Grid, genomes_of
from evo_fair.auditing.store import AuditFolder, open_audit
from evo_fair.data import Grouping
from evo_fair.errors import AuditError, DataError, DataWarning, UnknownNameError
from evo_fair.jobs.audit_supernet import _Orders, audit_proxy
from evo_fair.nets import Supernet
from evo_fair.problem import load_problem
from evo_fair.proxy import predict_logits
from evo_fair.proxy.supernets import ensure_supernet, proxy_source
from evo_fair.pruning import Samples

from ..cli.conftest import PROBLEM

GRID = Grid(60, ("trained", "taylor", "random"), ("uniform", "global"), (0.3, 0.6), (0, 1))


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    path = tmp_path_factory.mktemp("problem") / "tiny.toml"
    path.write_text(PROBLEM)
    return load_problem(str(path))


@pytest.fixture(scope="module")
def whole(problem, tmp_path_factory):
    """An uninterrupted audit with one worker."""
    return audit_proxy(problem, GRID, out=tmp_path_factory.mktemp("audits") / "whole", jobs=1)


def files_of(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.suffix != ".json" and path.is_file()
    }


def test_rows_and_metrics_are_those_of_the_proxy(problem, whole):
    dataset = problem.dataset()
    space = problem.search_space(dataset.input_shape, len(dataset.label_names))
    plan = whole.plan
    mine = plan.index[plan["order"] == "trained"]
    proxy = proxy_source(problem, dataset, space, ensure_supernet(problem, dataset, space).path).open()
    predictions = proxy.predict(genomes_of(plan.loc[mine]))
    assert (whole.predictions[mine] == predictions).all()
    labels = dataset.labels[dataset.part("validation")]
    networks = pd.read_csv(whole.table, dtype={"base": str})
    assert len(networks) == 60
    assert networks.loc[mine, "accuracy"].tolist() == pytest.approx((predictions == labels).mean(axis=1).tolist())
    rows = whole.rows[whole.rows["id"] == plan["id"][mine[3]]]
    by_class = rows.groupby("class", observed=True)[["samples", "correct"]].sum()
    assert by_class["samples"].tolist() == np.bincount(labels).tolist()
    assert by_class["correct"].tolist() == np.bincount(labels[predictions[3] == labels], minlength=10).tolist()


def test_losses_are_against_the_dense_network_of_the_architecture(whole):
    networks = pd.read_csv(whole.table, dtype={"base": str})
    dense = networks[networks["dense"]].set_index("base")
    assert (networks.loc[networks["dense"], "worst_class_loss"] == 0).all()
    row = networks[~networks["dense"]].iloc[-1]
    columns = [name for name in networks if name.startswith("accuracy[class:")]
    lost = dense.loc[row["base"], columns].to_numpy(float) - row[columns].to_numpy(float)
    assert row["worst_class_loss"] == pytest.approx(lost.max())
    assert row["loss_gap"] == pytest.approx(lost.max() - lost.min())
    assert row["accuracy_loss"] == pytest.approx(dense.loc[row["base"], "accuracy"] - row["accuracy"])


def test_broken_off_anywhere_and_resumed_gives_the_same_files(problem, whole, tmp_path, monkeypatch):
    """Breaks off at every file that a part consists of; finished parts are not measured again."""
    out = tmp_path / "whole"
    plain = AuditFolder.write_part
    kills = iter(range(3))

    def broken(self, part, networks, rows, predictions):
        if part and not self.finished(part) and next(kills, None) is not None:
            self._file(part, "npz").write_bytes(b"half")
            raise KeyboardInterrupt
        plain(self, part, networks, rows, predictions)

    monkeypatch.setattr(AuditFolder, "write_part", broken)
    finished = {}
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            audit_proxy(problem, GRID, out=out, jobs=1, resume=True)
        now = {name: content for name, content in files_of(out).items() if name.startswith("parts/00000")}
        assert len(now) == 3
        assert finished in ({}, now)
        finished = now
    audit_proxy(problem, GRID, out=out, jobs=1, resume=True)
    assert files_of(out) == files_of(whole.path)
    timing = open_audit(out).timing
    assert timing is not None
    assert timing["networks"] == len(whole.plan)  # of all calls together


@pytest.mark.parametrize("file", ["npz", "rows.csv.gz", "json", "networks.csv"])
def test_broken_off_at_a_file_of_the_first_part_and_resumed_gives_the_same_files(
    problem, whole, tmp_path, monkeypatch, file
):
    """The first part tells most: until there is one with a card, the folder looks like an earlier version's."""
    out, rename = tmp_path / "whole", Path.replace

    def broken(self, target):
        if Path(target) == out / "parts" / f"00000.{file}":
            raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", broken)
        with pytest.raises(KeyboardInterrupt):
            audit_proxy(problem, GRID, out=out, jobs=1)
    audit_proxy(problem, GRID, out=out, jobs=1, resume=True)
    assert files_of(out) == files_of(whole.path)
    cards, wanted = ({card.name: card.read_bytes() for card in path.glob("parts/*.json")} for path in (out, whole.path))
    assert cards == wanted


def test_another_setting_does_not_resume(problem, whole):
    with pytest.raises(AuditError, match=r"was made with grid.seed = 0, not 5"):
        audit_proxy(problem, dataclasses.replace(GRID, seed=5), out=whole.path, jobs=1, resume=True)
    with pytest.raises(AuditError, match="--resume"):
        audit_proxy(problem, GRID, out=whole.path, jobs=1)


def test_a_grid_too_large_for_its_time_says_how_long_it_takes(problem, tmp_path):
    with pytest.raises(
        AuditError, match=r"takes about \d+ seconds more at .* networks a second, and --time allows 1e-09 minutes"
    ):
        audit_proxy(problem, GRID, out=tmp_path / "a", jobs=1, minutes=1e-9)
    assert open_audit(tmp_path / "a").finished(0), "what was measured stays"


def test_unknown_criteria_are_refused(problem, tmp_path):
    with pytest.raises(UnknownNameError, match="unknown criterion 'magntude'"):
        audit_proxy(problem, dataclasses.replace(GRID, criteria=("magntude",)), out=tmp_path / "a")


def test_a_group_without_samples_is_named(problem, tmp_path, monkeypatch):
    dataset = problem.dataset()
    nobody = Grouping("ward", ("a", "b"), np.where(dataset.split == 1, 0, np.arange(len(dataset)) % 2))
    torn = dataclasses.replace(dataset, groupings=dict(dataset.groupings) | {"ward": nobody})
    monkeypatch.setattr(type(problem), "dataset", lambda self: torn)
    with pytest.raises(DataError, match="ward 'b' has 0 in validation"):
        audit_proxy(problem, GRID, out=tmp_path / "a", group="ward")
    assert not (tmp_path / "a").exists()


def test_samples_of_unknown_group_have_rows_of_their_own(problem):
    dataset = problem.dataset()
    some = Grouping("ward", ("a", "b"), np.arange(len(dataset)) % 3 - 1)
    told = dataclasses.replace(dataset, groupings=dict(dataset.groupings) | {"ward": some})
    predictions = np.zeros((2, len(dataset.part("validation"))), np.uint8)
    rows = rows_of(["x", "y"], predictions, told, "validation", ["ward"])
    assert set(rows["group"]) == {"a", "b", UNKNOWN}
    assert rows.groupby("id")["samples"].sum().tolist() == [predictions.shape[1]] * 2
    assert rows["correct"].sum() == 2 * (dataset.labels[dataset.part("validation")] == 0).sum()


@pytest.fixture(scope="module")
def supernet(problem):
    dataset = problem.dataset()
    space = problem.search_space(dataset.input_shape, len(dataset.label_names))
    return Supernet.load(ensure_supernet(problem, dataset, space).path, space)


@pytest.fixture(scope="module")
def samples(problem, supernet):
    dataset = problem.dataset()
    return Samples(
        supernet.normalise(dataset.inputs[:96]), dataset.labels[:96].copy(), (dataset.labels[:96] % 3).astype("i2")
    )


@pytest.mark.parametrize("criterion", ORDERS)
def test_orders_leave_full_width_networks_as_they_are(supernet, samples, criterion):
    changed = ordered(supernet, criterion, 3, samples)
    same = all((changed.weights[name] == tensor).all() for name, tensor in supernet.weights.items())
    assert same == (criterion == "trained")
    for genome in full_width(supernet.space, np.random.default_rng(0), 4):
        logits = []
        for net in (supernet, changed):
            network = net.extract(genome)
            network.calibrate(samples.x)
            logits.append(predict_logits(network.eval(), samples.x))
        assert np.abs(logits[0] - logits[1]).max() < 1e-3


def test_channels_stand_by_falling_magnitude(supernet, samples):
    """A channel planted to be the smallest of its group in every tensor comes last, and the largest first."""
    planted = ordered(supernet, "trained", 0, samples)
    for name in ("stage1.slot1.MB.expand", "stage1.slot1.MB.depthwise"):
        planted.weights[f"{name}.weight"][3] *= 1e-3
        planted.weights[f"{name}.weight"][5] *= 1e3
    planted.weights["stage1.slot1.MB.project.weight"][:, 3] *= 1e-3
    sizes = planted.weights["stage1.slot1.MB.expand.weight"].abs().sum((1, 2, 3))
    found = ordered(planted, "magnitude_l1", 0, samples).weights["stage1.slot1.MB.expand.weight"].abs().sum((1, 2, 3))
    assert found[0] == sizes[5]
    assert found[-1] == sizes[3]


def test_importance_is_known_for_the_genes_of_each_kind(supernet):
    space = supernet.space
    base = space.largest()
    names = {space.gene_names[gene] for gene in importance_by_gene(supernet, base)}
    kinds = {block.name: block.kind for block in space.architecture(base)}
    assert names == {"stem.width", "stage1.width"} | {
        f"{name}.keep" for name, kind in kinds.items() if kind.name in ("MB", "RB")
    }


def test_dense_facts_come_back_as_they_were(whole):
    facts = DenseFacts.read(whole.path / "dense.npz")
    assert facts.logits.shape == (whole.plan["dense"].sum(), len(facts.target), 10)
    dense = whole.predictions[whole.plan["dense"].to_numpy(bool)]
    assert (facts.logits.argmax(axis=2) == dense).all()
    assert facts.share["class"].sum() == pytest.approx(1)
    assert ((facts.complexity["class"] > 0) & (facts.complexity["class"] < 1)).all()


def test_a_damaged_order_in_the_cache_is_made_anew(problem, supernet, tmp_path, monkeypatch):
    dataset = problem.dataset()
    stored = ensure_supernet(problem, dataset, supernet.space)
    monkeypatch.setenv("EVO_FAIR_CACHE", str(tmp_path))
    settings = (stored, supernet.space, dataset, "class", 64)
    path = _Orders(*settings).file("magnitude_l1")
    _Orders(*settings).supernet("magnitude_l1")
    whole = path.read_bytes()
    path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    _Orders(*settings).supernet("magnitude_l1")
    assert path.read_bytes() == whole


def test_parts_that_are_not_as_they_were_written_are_measured_anew(problem, whole, tmp_path):
    out = shutil.copytree(whole.path, tmp_path / "a")
    parts = out / "parts"
    first, second = (parts / f"0000{number}.npz" for number in (0, 1))
    first.write_bytes(second.read_bytes())
    table = parts / "00001.networks.csv"
    table.write_text(table.read_text().replace("0.", "1.", 1))
    audit_proxy(problem, GRID, out=out, jobs=1, resume=True)
    assert files_of(out) == files_of(whole.path)


def test_other_groupings_without_samples_are_left_out_of_an_audit(problem, tmp_path, monkeypatch):
    dataset = problem.dataset()
    nobody = Grouping("ward", ("a", "b"), np.where(dataset.split == 1, 0, np.arange(len(dataset)) % 2))
    torn = dataclasses.replace(dataset, groupings=dict(dataset.groupings) | {"ward": nobody})
    monkeypatch.setattr(type(problem), "dataset", lambda self: torn)
    fairness = problem.fairness.model_copy(update={"report": ("class", "ward")})
    asked = problem.model_copy(update={"fairness": fairness})
    with pytest.warns(DataWarning, match="'ward' is left out of the audit: .*ward 'b' has 0 in validation"):
        found = audit_proxy(asked, dataclasses.replace(GRID, networks=8), out=tmp_path / "a", jobs=1)
    assert set(found.rows["grouping"]) == {"class"}
