"""`evo-fair predict`: tables and JSON of any ONNX network, and one line for what can't be read."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from typer.testing import CliRunner

from evo_fair.cli import app, main
from evo_fair.latency.build_onnx import layers_to_onnx
from evo_fair.layers import Op
from evo_fair.show import visible

from ..latency.onnx_zoo import save, weights
from .conftest import refusal

ROWS = np.array(
    [
        (Op.CONV, 3, 16, 3, 2, 1, 32, 32),
        (Op.DEPTHWISE, 16, 16, 3, 1, 16, 16, 16),
        (Op.GLOBAL_POOL, 16, 16, 1, 1, 1, 16, 16),
        (Op.LINEAR, 16, 10, 1, 1, 1, 1, 1),
    ],
    np.int32,
)


@pytest.fixture
def network(tmp_path: Path) -> Path:
    onnx.save(layers_to_onnx(ROWS), tmp_path / "network.onnx")
    return tmp_path / "network.onnx"


def test_the_table_names_layers_and_totals(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    result = CliRunner().invoke(app, ["predict", str(network), "--device", "raspberry-pi-4"])
    assert result.exit_code == 0
    assert "3x32x32 -> 16 3x3/2" in result.output
    assert "147,616 MACs, 778 parameters" in result.output  # 16*27*256 + 16*9*256 + 160; 448 + 160 + 170
    assert "on raspberry-pi-4:" in result.output
    assert "mean error on networks it did not see: 3.3 %" in result.output


def test_what_is_outside_of_the_fit_is_told_by_time(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    arguments = ["predict", str(network), "--device", "raspberry-pi-4"]
    content = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    outside = [layer["ms"] for layer in content["layers"] if layer["extrapolated"]]
    assert 0 < len(outside) < len(ROWS)
    assert content["extrapolated_share"] == pytest.approx(sum(outside) / content["latency_ms"])
    shown = f"* {len(outside)} layers, {content['extrapolated_share']:.0%} of the time, are outside what the profile"
    assert shown in CliRunner().invoke(app, arguments).output


HOSTILE = ["layer[/red]x", "[bold]a[/bold]\x1b[31m", "a|b\rc\x9b\u202ed", "[link=https://x.org]a[/link]"]


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A network whose layers' names are markup, links and escape codes; one of its operators is nobody's."""
    model = layers_to_onnx(ROWS)
    named = [node for node in model.graph.node if node.op_type in ("Conv", "GlobalAveragePool", "Gemm")]
    for node, name in zip(named, HOSTILE, strict=True):
        node.name = name
    model.graph.node.append(onnx.helper.make_node("Odd[/red]\x1b", [named[0].output[0]], ["odd"], domain="own"))
    model.opset_import.append(onnx.helper.make_opsetid("own", 1))
    onnx.save(model, tmp_path / "hostile[bold].onnx")
    return tmp_path / "hostile[bold].onnx"


def test_names_of_layers_are_shown_as_they_are(hostile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["predict", str(hostile), "--device", "raspberry-pi-4"])
    assert done.value.code == 0
    shown = capsys.readouterr().out
    for name in HOSTILE:
        assert shown.count(visible(name)) == 1
    assert all(character.isprintable() or character == "\n" for character in shown)
    assert f"{hostile} on raspberry-pi-4:" in shown
    assert "Odd[/red]\\x1b" in shown


def test_letters_that_the_terminal_does_not_know_are_written_out(
    hostile: Path, command_line: list[str], tmp_path: Path
) -> None:
    path = hostile.rename(tmp_path / "東京.onnx")
    arguments = [*command_line, "predict", str(path), "--device", "raspberry-pi-4"]
    environment = os.environ | {"PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert "\\u6771\\u4eac.onnx on raspberry-pi-4:" in done.stdout


def test_names_in_json_are_those_of_the_file(hostile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["predict", str(hostile), "--device", "raspberry-pi-4", "--json"])
    shown = capsys.readouterr().out
    assert all(character.isprintable() or character == "\n" for character in shown)
    assert {layer["name"] for layer in json.loads(shown)["layers"]} >= set(HOSTILE)


def test_json_adds_up(network: Path) -> None:
    result = CliRunner().invoke(app, ["predict", str(network), "--device", "pixel-3", "--json"])
    content = json.loads(result.stdout)
    assert content["model"] == str(network)
    total = content["network_ms"] + sum(layer["ms"] for layer in content["layers"])
    assert content["latency_ms"] == pytest.approx(total)
    assert [layer["op"] for layer in content["layers"]] == ["conv", "depthwise", "global_pool", "linear"]


def test_unknown_operators_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    model = layers_to_onnx(ROWS)
    model.graph.node[-1].op_type = "Magic"  # the last node is the identity that names the output
    onnx.save(model, tmp_path / "x.onnx")
    result = CliRunner().invoke(app, ["predict", str(tmp_path / "x.onnx"), "--device", "pixel-3"])
    assert "not in the total, because the model does not know them: Magic (1 nodes" in result.output


def shown(path: Path, *arguments: str, device: str = "raspberry-pi-4") -> str:
    """What the command says below its table, on one line."""
    result = CliRunner().invoke(app, ["predict", str(path), "--device", device, *arguments])
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_figures_say_whether_they_are_per_sample(tmp_path: Path) -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"])]
    save(tmp_path / "x.onnx", nodes, weights(w=(4, 3, 1, 1)), {"x": ["N", 3, 8, 8]})
    one = shown(tmp_path / "x.onnx")
    assert "per sample, the first axis being the batch (of 1): x 1x3x8x8" in one
    eight = shown(tmp_path / "x.onnx", "--input-shape", "8,3,8,8")
    assert "per sample, the first axis being the batch (of 8): x 8x3x8x8" in eight
    assert "768 MACs" in one
    assert "768 MACs" in eight
    save(tmp_path / "x.onnx", [helper.make_node("MatMul", ["x", "w"], ["y"])], weights(w=(20, 4)), {"x": [128, 1, 20]})
    assert "for one run on the whole input: x 128x1x20" in shown(tmp_path / "x.onnx")


def test_inputs_take_shapes_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nodes = [
        helper.make_node("Conv", ["l", "w"], ["a"]),
        helper.make_node("Conv", ["r", "w"], ["b"]),
        helper.make_node("GlobalAveragePool", ["a"], ["p"]),
        helper.make_node("GlobalAveragePool", ["b"], ["q"]),
        helper.make_node("Sub", ["p", "q"], ["y"]),
    ]
    sizes = {"l": [1, 3, "H", "W"], "r": [1, 3, "P", "Q"]}
    save(tmp_path / "x.onnx", nodes, weights(w=(4, 3, 1, 1)), sizes)
    text = shown(tmp_path / "x.onnx", "--input-shape", "l=1,3,8,8", "--input-shape", "r=1,3,4,4")
    assert f"{12 * (64 + 16)} MACs" in text
    line = refusal(capsys, "predict", tmp_path / "x.onnx", "--device", "pixel-3", "--input-shape", "1,3,8,8")
    assert "'r' of dynamic shape (1, 3, P, Q): give --input-shape, such as r=1,3,224,224" in line
    line = refusal(capsys, "predict", tmp_path / "x.onnx", "--device", "pixel-3", "--input-shape", "z=1,3,8,8")
    assert "has the inputs 'l', 'r'" in line


def test_a_lower_bound_says_at_least_and_no_mean_error(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Magic", ["c", "v"], ["y"], domain="own"),
    ]
    save(tmp_path / "x.onnx", nodes, weights(w=(4, 3, 1, 1), v=(100, 30)), {"x": [1, 3, 8, 8]})
    text = shown(tmp_path / "x.onnx")
    assert "raspberry-pi-4: at least " in text
    assert "at least 768 MACs, at least 3,016 parameters, peak at least" in text
    assert "own.Magic (1 nodes, 99.5% of the parameters, multiplications unknown)" in text
    assert "mean error" not in text
    assert " ms, 90 % within" not in shown(tmp_path / "x.onnx", device="raspberry-pi-4-pooled")
    result = CliRunner().invoke(app, ["predict", str(tmp_path / "x.onnx"), "--device", "raspberry-pi-4", "--json"])
    content = json.loads(result.stdout)
    assert content["held_out_mape"] is None
    assert all(content["at_least"].values())
    assert content["not_counted"][0]["params_share"] == pytest.approx(3000 / 3016)


def test_what_stands_for_an_operator_is_said(tmp_path: Path) -> None:
    nodes = [helper.make_node("Einsum", ["x", "w"], ["y"], equation="bij,jk->bik")]
    save(tmp_path / "x.onnx", nodes, weights(w=(20, 30)), {"x": [1, 10, 20]})
    text = shown(tmp_path / "x.onnx")
    assert "at least " in text
    assert " 6,000 MACs, 600 parameters" in text
    assert "Einsum (1 nodes, 100.0% of the MACs)" in text
    assert "mean error" not in text


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ("1,3,a", "'1,3,a' is no shape: give sizes above 0"),
        ("1,3,0,5", "is no shape"),
        ("", "is no shape"),
        ("1,3,8,8", "does not fit"),
        ("x=", "is no shape"),
        ("1,3,9999999999999999999999", "the size 99999999999999999999 is above 16,777,216: give a smaller one"),
        ("1,1,99999999,8", "'1,1,99999999,8': the size 99999999 is above 16,777,216: give a smaller one"),
    ],
)
def test_a_wrong_shape_is_refused(shape: str, message: str, network: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refusal(capsys, "predict", network, "--device", "pixel-3", "--input-shape", shape)
    assert message in line


def test_what_is_no_network_or_device_is_refused(
    network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.onnx").write_text("hello")
    assert "is no ONNX model" in refusal(capsys, "predict", tmp_path / "text.onnx", "--device", "pixel-3")
    assert "cannot read" in refusal(capsys, "predict", tmp_path / "absent.onnx", "--device", "pixel-3")
    (tmp_path / "run" / "networks").mkdir(parents=True)
    told = refusal(capsys, "predict", tmp_path / "run", "--device", "pixel-3")
    assert told.endswith(f"{tmp_path / 'run'} is a folder: give an ONNX file")
    (tmp_path / "run" / "networks" / "a.onnx").write_text("")
    for folder in (tmp_path / "run", tmp_path / "run" / "networks"):
        told = refusal(capsys, "predict", folder, "--device", "pixel-3")
        assert told.endswith(f"{folder} is a folder: give an ONNX file, such as {tmp_path}/run/networks/a.onnx")
    assert "unknown device 'pixel-9'" in refusal(capsys, "predict", network, "--device", "pixel-9")
    (tmp_path / "newer.json").write_text('{"schema": 2}')
    line = refusal(capsys, "predict", network, "--device", tmp_path / "newer.json")
    assert "has schema 2: this evo_fair reads up to 1" in line
