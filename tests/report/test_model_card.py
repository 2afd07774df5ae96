import json
import os
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from evo_fair.errors import EvoFairError, RunError, UnknownNameError
from evo_fair.files import sha256_of
from evo_fair.report.model_card import write_model_card
from tests.cli.conftest import refusal

huggingface_hub = pytest.importorskip("huggingface_hub", reason="needs huggingface_hub: pip install evo-fair[hub]")
EVIL = "<script>alert(1)</script>|b"


def write_network(folder, name, grouping="sex", licence="CC BY 4.0 (UCI, Digits)"):
    """A network of two labels whose logits are 0 and the normalised mean of a 1x2x2 image."""
    folder.mkdir(exist_ok=True)
    weights = numpy_helper.from_array(np.array([[0.0, 0.25]] * 4, np.float32), "w")
    nodes = [helper.make_node("Flatten", ["input"], ["flat"]), helper.make_node("MatMul", ["flat", "w"], ["logits"])]
    ends = [("input", ["batch", 1, 2, 2]), ("logits", ["batch", 2])]
    given, made = ([helper.make_tensor_value_info(end, TensorProto.FLOAT, shape)] for end, shape in ends)
    graph = helper.make_graph(nodes, "tiny", given, made, [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = folder / f"{name}.onnx"
    onnx.save(model, path)
    card = {
        "id": name,
        "evo_fair": "0.1.0",
        "problem": "digits",
        "device": "a-board",
        "data": {"name": "digits", "licence": licence},
        "metrics": {"latency_ms": 1.25},
        "part": "validation",
        "groups": {grouping: {"female": {"samples": 10, "correct": 8}, "nobody": {"samples": 0, "correct": 0}}},
        "input": {"shape": [1, 2, 2], "mean": [100.0], "scale": [0.5]},
        "labels": ["dark", "light"],
        "onnx": {"bytes": path.stat().st_size, "sha256": sha256_of(path)},
        "hashes": {"supernet": "ab" * 32},
    }
    (folder / f"{name}.json").write_text(json.dumps(card))


@pytest.fixture
def name(run):
    name = str(run.front["id"][0])
    write_network(run.path / "networks", name)
    return name


def test_the_folder_is_a_valid_model_card(run, name):
    folder = write_model_card(run.path, name)
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "card.json", "example.py", "model.onnx"]
    card = huggingface_hub.ModelCard.load(folder / "README.md")
    assert (card.data.license, card.data.library_name) == ("cc-by-4.0", "onnx")
    assert card.data.pipeline_tag == "image-classification"
    assert "| female | 10 | 80.0 % | 49.0 to 94.3 % |" in card.text  # Wilson's interval of 8 of 10
    assert "| nobody | 0 | unknown | unknown |" in card.text
    assert "| a-board | predicted | 1.25 |" in card.text
    assert "CC BY 4.0 (UCI, Digits)" in card.text
    for title in ("Intended use", "Data and licence", "For whom it works", "Latency by device", "Limits", "How it was"):
        assert f"## {title}" in card.text


def test_the_loading_example_runs_from_the_folder_alone(run, name, tmp_path):
    """Of 100 taken off and halved, 90 is below 0 and so dark; 110 is light."""
    folder = write_model_card(run.path, name, tmp_path / "out")
    script = "import numpy as np; from example import predict; print(predict(np.full((2,1,2,2), [[[[90]]],[[[110]]]])))"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['dark', 'light']"
    alone = [sys.executable, str(folder / "example.py")]
    assert subprocess.run(alone, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.strip() == "['dark']"


def test_a_deployed_network_brings_its_test_part_and_times(run, name):
    write_network(run.path / "deployed", name, grouping="age")
    table = (
        "id,role,precision,measured_ms,predicted_ms[b],accuracy,accuracy_low,accuracy_high\n"
        f"{name},front,fp32,0.5,0.75,0.9,0.85,0.95\n{name},front,int8,0.2,,0.8,0.7,0.9\n"
    )
    run.path.joinpath("deployed.csv").write_text(table)
    text = write_model_card(run.path, name).joinpath("README.md").read_text()
    assert "| accuracy | 0.9 | 0.85 to 0.95 |" in text
    assert "| b | predicted | 0.75 |" in text
    assert "| the machine that deployed it, one thread | measured | 0.5 |" in text
    assert "### age" in text


def test_text_from_outside_does_no_harm(run):
    name = str(run.front["id"][0])
    write_network(run.path / "networks", name, EVIL, licence=f"{EVIL}: ours\n---\n")
    folder = write_model_card(run.path, name)
    card = huggingface_hub.ModelCard.load(folder / "README.md")
    assert "<script>" not in card.text
    assert r"\|b" in card.text
    assert card.data.license == "other"


def test_another_file_than_the_cards_is_refused(run, name):
    with run.path.joinpath("networks", f"{name}.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(RunError, match="not the file that"):
        write_model_card(run.path, name)
    assert not run.path.joinpath("cards").exists()


def test_a_network_that_is_not_on_the_front_is_refused(run, capsys):
    with pytest.raises(UnknownNameError, match="'nothing'"):
        write_model_card(run.path, "nothing")
    assert "'nothing'" in refusal(capsys, "card", run.path, "nothing")


def test_without_huggingface_hub_it_says_what_brings_it(run, name, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(EvoFairError, match=r"pip install evo-fair\[hub\]"):
        write_model_card(run.path, name)
