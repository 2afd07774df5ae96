"""Files that take a table's raw columns: what they compute, what they cost, and what people hand to them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pandas as pd
import pytest
import torch

import evo_fair as ef
from evo_fair.data import Dataset, TableSettings, load_dataset
from evo_fair.data.table_inputs import UNKNOWN_CODE
from evo_fair.errors import DataError, EvoFairError
from evo_fair.export import columns, export_onnx, onnx_logits, raw_rows
from evo_fair.export.card import file_facts, write_onnx
from evo_fair.export.columns import COLUMNS_INPUT, PREFIX, put_columns_first, takes_columns
from evo_fair.export.quantise import quantise_onnx
from evo_fair.export.reference import open_reference
from evo_fair.files import write_json
from evo_fair.latency import load_profile
from evo_fair.latency.onnx_graph import read_onnx
from evo_fair.latency.predict import predict
from evo_fair.nets.inputs import Scaling
from evo_fair.proxy import predict_logits

SETTINGS: dict[str, Any] = {
    "file": "people.csv",
    "label": "income",
    "groups": {"sex": "sex"},
    "numbers": ["year", "hours"],
    "categories": ["job", "code"],
    "target_encoded": ["place"],
}


def _people(n: int = 400) -> pd.DataFrame:
    """People with years far from 0 beside their spread, missing hours, jobs and codes, and 30 places."""
    rng = np.random.default_rng(0)
    place = rng.integers(0, 30, n)
    hours = rng.normal(40, 10, n).round(2)
    hours[rng.random(n) < 0.2] = np.nan
    return pd.DataFrame(
        {
            "income": np.where(place + rng.normal(0, 9, n) > 15, "high", "low"),
            "sex": np.array(["f", "m"])[rng.integers(0, 2, n)],
            "year": 20_201_200 + rng.integers(0, 4, n),
            "hours": hours,
            "job": np.array(["", "cook", "baker", "pilot"])[rng.integers(0, 4, n)],
            "code": np.array(["", "1", "20", "300"])[rng.integers(0, 4, n)],
            "place": [f"place {number}" for number in place],
        }
    )


def _load(folder: Path, frame: pd.DataFrame, **settings: Any) -> Dataset:
    frame.to_csv(folder / "people.csv", index=False)
    table = TableSettings.model_validate({**SETTINGS, **settings})
    return load_dataset("table", folder, name="people", settings={"table": table}, min_samples=1)


def _network(dataset: Dataset) -> torch.nn.Module:
    torch.manual_seed(0)
    width, labels = dataset.inputs.shape[1], len(dataset.label_names)
    return torch.nn.Sequential(torch.nn.Linear(width, 8), torch.nn.ReLU(), torch.nn.Linear(8, labels)).eval()


def _write(folder: Path, dataset: Dataset) -> tuple[Path, Scaling, torch.nn.Module]:
    network, scaling, path = _network(dataset), Scaling.of(dataset.inputs[dataset.part("train")]), folder / "a.onnx"
    x = scaling(dataset.inputs[dataset.part("validation")])
    parity = write_onnx(path, network, dataset, scaling, x, predict_logits(network, x))
    assert parity.holds
    write_json(path.with_suffix(".json"), file_facts(path, parity, dataset, scaling))
    return path, scaling, network


def _raw(dataset: Dataset, part: str) -> npt.NDArray[np.float32]:
    assert dataset.columns is not None
    return dataset.columns.values[dataset.part(part)]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"target_encoded": []},
        {"described": ["place"]},
        {"described": ["place"], "numbers": []},
        {"numbers": []},
        {"categories": []},
        {"numbers": [], "categories": []},
        {"categories": [], "target_encoded": []},
        {"label": "code", "categories": ["job"], "numbers": ["hours"]},
    ],
)
def test_a_file_computes_from_raw_columns_what_torch_does_from_inputs(tmp_path: Path, settings: dict[str, Any]) -> None:
    frame = _people()
    frame = frame[frame["code"] != ""] if settings.get("label") == "code" else frame
    dataset = _load(tmp_path, frame, **settings)
    path, scaling, network = _write(tmp_path, dataset)
    assert takes_columns(path)
    expected = predict_logits(network, scaling(dataset.inputs[dataset.part("test")]))
    np.testing.assert_allclose(onnx_logits(path, _raw(dataset, "test")), expected, atol=2e-5)


@pytest.mark.parametrize("described", [[], ["place"]])
def test_categories_that_are_not_known_are_none(tmp_path: Path, described: list[str]) -> None:
    dataset = _load(tmp_path, _people(), described=described)
    path, scaling, network = _write(tmp_path, dataset)
    raw = _raw(dataset, "test")[:3].copy()
    raw[0, 2:], raw[1, 2:], raw[2, :] = UNKNOWN_CODE, np.nan, np.nan
    assert dataset.columns is not None
    inputs = dataset.columns.encoding.apply(raw)
    assert (np.delete(inputs[0, 3:], 8) == 0).all()  # but for the rate of other places
    np.testing.assert_allclose(onnx_logits(path, raw), predict_logits(network, scaling(inputs)), atol=2e-5)


def test_preprocessing_that_differs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = _load(tmp_path, _people())
    monkeypatch.setattr(columns, "MISSING_CODE", 1.0)  # as if a missing category was the first one
    with pytest.raises(EvoFairError, match="does not compute what its network does"):
        _write(tmp_path, dataset)
    assert not (tmp_path / "a.onnx").exists()


def test_the_reader_counts_preprocessing_and_the_network(tmp_path: Path) -> None:
    dataset = _load(tmp_path, _people())
    path, _, network = _write(tmp_path, dataset)
    graph = read_onnx(path)
    features = dataset.inputs.shape[1]
    weights = sum(weight.numel() for weight in network.parameters())
    # Of two numbers fill, mean, its rest and the deviation; of 30 places a rate; of each feature a mean and a scale.
    assert graph.params == weights + 2 * 4 + 30 + 2 * features
    assert graph.macs == 8 * features + 8 * 2 + 30
    assert (graph.unknown, graph.batch, graph.input_shape) == ((), 1, (1, 5))
    assert (graph.time_at_least, graph.macs_at_least, graph.params_at_least) == (False, False, False)
    prediction = predict(graph, load_profile("raspberry-pi-4"))
    assert 0 < prediction.latency_ms < 1


def test_eight_bits_leave_preprocessing_alone(tmp_path: Path) -> None:
    dataset = _load(tmp_path, _people())
    path, _, _ = _write(tmp_path, dataset)
    quantise_onnx(path, tmp_path / "b.onnx", _raw(dataset, "train"))
    before, after = (onnx_logits(tmp_path / name, _raw(dataset, "test")) for name in ("a.onnx", "b.onnx"))
    assert (before.argmax(1) == after.argmax(1)).mean() > 0.9
    fronts = [
        [node.SerializeToString() for node in onnx.load(tmp_path / name).graph.node if node.name.startswith(PREFIX)]
        for name in ("a.onnx", "b.onnx")
    ]
    assert sorted(fronts[0]) == sorted(fronts[1])


def test_rows_as_people_have_them_are_what_the_card_says(tmp_path: Path) -> None:
    frame = _people()
    dataset = _load(tmp_path, frame)
    card = _card(_write(tmp_path, dataset)[0])
    assert card["input"]["shape"] == [5]
    assert [column["name"] for column in card["input"]["columns"]] == ["year", "hours", "job", "code", "place"]
    assert dataset.columns is not None
    np.testing.assert_array_equal(raw_rows(card, frame), dataset.columns.values)
    np.testing.assert_array_equal(raw_rows(card, pd.read_csv(tmp_path / "people.csv")), dataset.columns.values)
    strange = frame[:2].assign(job="king", place="nowhere", code="x")
    assert (raw_rows(card, strange)[:, 2:] == UNKNOWN_CODE).all()
    with pytest.raises(DataError, match="the table has no column 'job', which the network takes"):
        raw_rows(card, frame.drop(columns="job"))
    with pytest.raises(DataError, match="column 'hours' has 'many', expected a number"):
        raw_rows(card, frame.assign(hours="many"))


def _card(path: Path) -> dict[str, Any]:
    card: dict[str, Any] = json.loads(path.with_suffix(".json").read_text())
    return card


def test_a_reference_of_the_same_table_is_examined(tmp_path: Path) -> None:
    dataset = _load(tmp_path, _people())
    path, _, _ = _write(tmp_path, dataset)
    assert open_reference(path, dataset).scaling is None  # the card does not say on which data it was trained
    write_json(path.with_suffix(".json"), _card(path) | {"data": {"fingerprint": dataset.fingerprint}})
    assert open_reference(path, dataset).scaling is not None


def test_a_network_of_another_input_is_refused(tmp_path: Path) -> None:
    dataset = _load(tmp_path, _people())
    path, scaling, _ = _write(tmp_path, dataset)
    assert dataset.columns is not None
    with pytest.raises(EvoFairError, match=f"takes '{COLUMNS_INPUT}', not one 'input'"):
        put_columns_first(path, dataset.columns.encoding, scaling)


def test_files_for_images_take_inputs_as_before(dataset: Dataset, tmp_path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)).eval()
    export_onnx(network, dataset.input_shape, tmp_path / "plain.onnx")
    scaling = Scaling.of(dataset.inputs[dataset.part("train")])
    x = scaling(dataset.inputs[dataset.part("validation")])
    write_onnx(tmp_path / "written.onnx", network, dataset, scaling, x, predict_logits(network, x))
    assert (tmp_path / "written.onnx").read_bytes() == (tmp_path / "plain.onnx").read_bytes()
    assert not takes_columns(tmp_path / "written.onnx")


@pytest.mark.slow
def test_a_table_goes_all_the_way(tmp_path: Path) -> None:
    problem = Path(__file__).resolve().parents[2].joinpath("problems", "table.toml").read_text()
    for old, new in (
        ('"label"  #', '"income"  #'),
        ('"table.csv"', '"people.csv"'),
        ('["age", "hours"]', '["year", "hours"]'),
        ("target_encoded = []", 'target_encoded = ["place"]'),
        ("epochs = 20", "epochs = 2"),
        ("budget = 300", "budget = 24"),
        ("population = 32", "population = 12"),
    ):
        assert old in problem
        problem = problem.replace(old, new)
    (tmp_path / "people.toml").write_text(problem)
    _people().to_csv(tmp_path / "people.csv", index=False)
    run = ef.search(ef.load_problem(tmp_path / "people.toml", data=tmp_path), out=tmp_path / "run", seed=0)
    name = str(run.front["id"].iloc[0])
    assert takes_columns(tmp_path / "run" / "networks" / f"{name}.onnx")
    table = ef.deploy(run, networks=[name], epochs=1, int8=True, data=tmp_path)
    assert table["precision"].tolist() == ["fp32", "int8"]
    dataset = ef.load_problem(tmp_path / "people.toml", data=tmp_path).dataset()
    right = onnx_logits(tmp_path / "run" / "deployed" / f"{name}.onnx", _raw(dataset, "test")).argmax(1)
    assert table["accuracy"].iloc[0] == pytest.approx((right == dataset.labels[dataset.part("test")]).mean())
    again = ef.deploy(
        run, networks=[name], references=[tmp_path / "run" / "networks" / f"{name}.onnx"], epochs=1, data=tmp_path,
        out=tmp_path / "again",
    )  # fmt: skip
    assert again["role"].tolist() == ["front", "reference"]
