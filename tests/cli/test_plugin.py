"""`--plugin FILE`: parts from outside the package go through every command, and a fault in one is one line."""

import json
import shutil
from pathlib import Path

import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper

from evo_fair.cli import main
from evo_fair.plugins import loaded_files
from evo_fair.registries import BLOCK_KINDS, CRITERIA, DATA_SOURCES, METHODS, OBJECTIVES, OPERATORS, STRATEGIES

from ..own_parts import PLUGIN, PROBLEM
from .conftest import refusal


def run(*arguments: object) -> None:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    assert stop.value.code == 0


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    (folder / "stripes.toml").write_text(PROBLEM.replace('["MB", "RB"]', '["MB", "SQ"]'))
    (folder / "mine.py").write_text(PLUGIN)
    return folder


@pytest.fixture(scope="module")
def searched(place: Path) -> Path:
    run(*search_of(place), "--out", place / "run")
    return place / "run"


def search_of(place: Path) -> list[object]:
    wanted = ("--objective", "worst_class_error", "--objective", "layers_in_all", "--constraint", "layers_in_all <= 40")
    return ["search", place / "stripes.toml", "--plugin", place / "mine.py", "--algorithm", "Walk", *wanted]


def test_a_search_with_own_parts_finds_a_front_and_records_them(searched: Path) -> None:
    front = pd.read_csv(searched / "front.csv")
    assert {"worst_class_error", "layers_in_all"} <= set(front)
    told = (searched / "run.toml").read_text()
    assert '[plugins]\n"mine.py" = "' in told
    assert '[parts]\n"algorithm Walk" = "' in told
    assert "[search.sources]" in told
    assert "bands = 3" in told


def test_nothing_of_a_plugin_stays_behind_the_command(searched: Path) -> None:
    assert loaded_files() == ()
    for registry in (BLOCK_KINDS, OBJECTIVES, STRATEGIES, CRITERIA, METHODS, DATA_SOURCES, OPERATORS):
        assert registry.own_names() == []


def test_networks_of_an_own_block_kind_are_on_the_front(searched: Path) -> None:
    cards = [json.loads(path.read_text()) for path in (searched / "networks").glob("*.json")]
    kinds = {block["kind"] for card in cards for block in card["architecture"]}
    assert "SQ" in kinds


def test_a_search_with_own_parts_goes_on_where_it_was(searched: Path, place: Path) -> None:
    broken = place / "broken"
    shutil.copytree(searched, broken)
    lines = (searched / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (broken / "journal.jsonl").write_bytes(b"".join(lines[: len(lines) // 2]))
    (broken / "front.csv").unlink()
    run(*search_of(place), "--out", broken, "--resume")
    for name in ("journal.jsonl", "front.csv"):
        assert (broken / name).read_bytes() == (searched / name).read_bytes()


def test_a_run_resumed_with_another_plugin_or_none_says_so(
    searched: Path, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN + "\n# a comment\n")
    other = [tmp_path / "mine.py" if part == place / "mine.py" else part for part in search_of(place)]
    line = refusal(capsys, *other, "--out", searched, "--resume")
    assert line == (
        f"evo-fair: the plugin mine.py is another one than when {searched} began: restore it, or choose another --out"
    )
    (tmp_path / "more.py").write_text("")
    line = refusal(capsys, *search_of(place), "--plugin", tmp_path / "more.py", "--out", searched, "--resume")
    assert line == f"evo-fair: {searched} was made without the plugin more.py: leave it out, or choose another --out"
    plain = search_of(place)
    del plain[2:4]
    assert "unknown data source 'stripes'" in refusal(capsys, *plain, "--out", searched, "--resume")


def test_a_run_of_an_own_source_deploys_with_its_plugin_and_is_measured_by_its_objective(
    searched: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = pd.read_csv(searched / "front.csv")["id"][0]
    arguments = ["deploy", searched, "--plugin", place / "mine.py", "--network", chosen, "--epochs", "1"]
    run(*arguments)
    table = pd.read_csv(searched / "deployed.csv")
    assert table["id"].tolist() == [chosen]
    own = "worst_class_error[site]"
    assert {f"{own}_low", f"{own}_high"} <= set(table)
    card = json.loads((searched / "deployed" / f"{chosen}.json").read_text())
    assert card["test"]["fp32"][own]["value"] == table[own][0]
    assert not [name for name in table if name.startswith("layers_in_all")]  # training does not change it
    assert f"worst class error, by site: {chosen}, {table[own][0]:.3f}" in capsys.readouterr().out
    assert '[plugins]\n"mine.py"' in (searched / "deployed" / "run.toml").read_text()
    run(*arguments, "--resume")


def test_a_deployment_needs_the_plugin(searched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "unknown data source 'stripes'" in refusal(capsys, "deploy", searched, "--out", searched.parent / "none")


def test_own_methods_and_criteria_prune_and_go_on(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = place / "pruned"
    methods = ("--method", "cut_and_train", "--method", "smallest_output")
    arguments = [
        "prune",
        place / "stripes.toml",
        "--plugin",
        place / "mine.py",
        *methods,
        "--epochs",
        "1",
        "--out",
        out,
    ]
    run(*arguments)
    first = (out / "pruned.csv").read_bytes()
    frame = pd.read_csv(out / "pruned.csv")
    assert frame["method"].tolist() == ["dense", "cut_and_train", "smallest_output"]
    assert frame["sparsity"][1] == pytest.approx(0.5, abs=0.1)
    settings = json.loads((out / "settings.json").read_text())
    assert set(settings["parts"]) == {"method cut_and_train", "method smallest_output"}
    (out / "cut_and_train-0.5-0.json").unlink()
    run(*arguments, "--resume")
    assert (out / "pruned.csv").read_bytes() == first
    changed = place / "changed"
    changed.mkdir()
    (changed / "mine.py").write_text(PLUGIN.replace("request.epochs", "request.epochs + 1"))
    arguments[3] = changed / "mine.py"
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main([*map(str, arguments), "--resume"])
    assert stop.value.code == 2
    assert "the plugin mine.py is another one" in capsys.readouterr().err.splitlines()[-1]


def test_own_criteria_are_audited_in_one_network_and_in_the_supernet(place: Path) -> None:
    both = ["audit", place / "stripes.toml", "--plugin", place / "mine.py", "--criterion", "smallest_output"]
    one = [*both, "--network", "largest", "--structure", "structured", "--scope", "global", "--treatment", "none"]
    one += ["--sparsity", "0.3", "--sparsity", "0.6", "--seeds", "1", "--out", place / "audit-one"]
    run(*one)
    run(*one, "--resume")
    assert "smallest_output" in set(pd.read_csv(place / "audit-one/networks.csv")["criterion"])
    many = [*both, "--networks", "12", "--seeds", "1", "--out", place / "audit-many"]
    run(*many)
    run(*many, "--resume")
    assert "smallest_output" in set(pd.read_csv(place / "audit-many/networks.csv")["criterion"])
    assert '[plugins]\n"mine.py"' in (place / "audit-many/audit.toml").read_text()


def model_with(operator: str, path: Path) -> Path:
    """A model of one operator of the domain `own`, whose output has no shape in the file."""
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 8, 8])]
    outputs = [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)]
    nodes = [helper.make_node(operator, ["x"], ["y"], domain="own"), helper.make_node("Relu", ["y"], ["z"])]
    graph = helper.make_graph(nodes, "g", inputs, outputs)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path


def test_an_own_operator_is_predicted(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = model_with("Mix", place / "mix.onnx")
    arguments = ["predict", model, "--device", "raspberry-pi-4", "--json"]
    assert "for want of that of 'y', which own.Mix makes" in refusal(capsys, *arguments)
    (place / "talks.py").write_text(PLUGIN + "\nprint('my parts')\n")
    run(*arguments, "--plugin", place / "talks.py")
    captured = capsys.readouterr()
    told = json.loads(captured.out)  # what a plugin prints is not among it
    assert captured.err == "my parts\n"
    assert told["macs"] == 4 * 4 * 64


def test_operators_of_onnx_and_of_its_runtime_that_have_no_price_can_be_given_one(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for operator, domain in (("Det", ""), ("MyOwn", "com.microsoft")):
        name = f"{domain}.{operator}".lstrip(".")
        inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 8, 8])]
        outputs = [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)]
        nodes = [helper.make_node(operator, ["x"], ["y"], domain=domain), helper.make_node("Exp", ["y"], ["z"])]
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        graph = helper.make_graph(nodes, "g", inputs, outputs)
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), place / "priced.onnx")
        text = (
            f"import evo_fair as ef\n@ef.onnx_operator({name!r}, shapes=lambda node: [(1, 4)])\n"
            "def cost(node):\n    return ef.LayerCost('activation', 4, 4, h_in=8, w_in=8, macs=256)\n"
        )
        (place / "price.py").write_text(text)
        arguments = ["predict", place / "priced.onnx", "--device", "raspberry-pi-4", "--json"]
        capsys.readouterr()
        run(*arguments, "--plugin", place / "price.py")
        told = json.loads(capsys.readouterr().out)
        assert (told["macs"], told["unknown"]) == (256, [])


def test_help_lists_the_parts_of_a_plugin(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command, names in {
        "search": ("Walk", "worst_class_error", "nsga2", "latency_ms"),
        "prune": ("cut_and_train", "smallest_output", "lottery-ticket", "fairgrape"),
    }.items():
        run(command, "--help", "--plugin", place / "mine.py")
        text = "".join(capsys.readouterr().out.split()).replace("│", "")
        for name in names:
            assert name in text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "plugin {path} does not exist: give the Python file that registers your parts"),
        ("\nprint(", "plugin {path}, line 2: SyntaxError: '(' was never closed; fix it"),
        ("\n\n1 / 0", "plugin {path}, line 3: ZeroDivisionError: division by zero; fix it"),
        ("import sys\nsys.exit(3)", "plugin {path}, line 2: it ends the process (exit 3)"),
        ("import nowhere_to_be_found", "plugin {path}, line 1: ModuleNotFoundError: No module named 'nowhere_to_be"),
        ("raise BaseException('odd')", "plugin {path}, line 1: BaseException: odd; fix it"),
        ("x = '\0'", "plugin {path}"),
        ("\xe9".encode("latin-1"), "plugin {path}"),
        (
            "import evo_fair as ef\n@ef.objective(direction='up')\ndef f(counts): ...",
            ", line 2: direction 'up' of objec",
        ),
        ("import evo_fair as ef\n@ef.objective\ndef f(counts): ...", ", line 2: @objective stands without brackets"),
        ("import evo_fair as ef\n@ef.criterion\ndef f(counts): ...", ", line 2: @criterion stands without brackets"),
        (
            "import evo_fair as ef\n@ef.criterion()\ndef f(network): ...",
            "criterion 'f' can't be called with (network, s",
        ),
        ("import evo_fair as ef\n@ef.strategy()\nclass F: ...", "algorithm 'F' can't be called with (space, rng, popu"),
        (
            "import evo_fair as ef\n@ef.method('magnitude')\ndef f(a, b, c): ...",
            "there is a method 'magnitude' already",
        ),
        ("import evo_fair as ef\n@ef.method('taylor')\ndef f(a, b, c): ...", "'taylor' is a criterion already"),
        ("import evo_fair as ef\n@ef.method('a b')\ndef f(a, b, c): ...", "'a b' is no name for a method"),
        ("import evo_fair as ef\n@ef.source('digits')\ndef f(request): ...", "there is a data source 'digits' already"),
        ("import evo_fair as ef\n@ef.source(colour=1)\ndef f(request): ...", "data source 'f' can't be declared so"),
        ("import evo_fair as ef\n@ef.source(settings={'positive': int})\ndef f(r): ...", "can't take 'positive'"),
        (
            "import evo_fair as ef\n@ef.source(settings=['bands'])\ndef f(r): ...",
            "'f' are ['bands']: give a kind",
        ),
        ("import evo_fair as ef\n@ef.onnx_operator('Relu')\ndef f(node): ...", "there is an ONNX operator 'Relu' alre"),
        ("from evo_fair.extend import *\nadd_kind(Kind('SQ', ()))", "line 2: block kind SQ: its last unit, and no o"),
        ("from evo_fair.extend import *\nadd_kind(Kind('sq', ()))", "line 2: block kind sq: its last unit, and no o"),
        ("import evo_fair as ef\nef.onnx_operator('own.X')(3)", "line 2: ONNX operator 'own.X' is 3: give a function"),
    ],
)
def test_a_plugin_with_a_fault_is_one_line(
    text: str | bytes | None, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.py"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    line = refusal(capsys, "search", "digits", "--plugin", path, "--out", tmp_path / "run")
    assert line.startswith("evo-fair: plugin ")
    assert told.format(path=path) in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["mine.txt", "no-name.py"])
def test_a_file_that_is_no_plugin_is_one_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / name).write_text("")
    assert f"plugin {'' if name.endswith('.py') else tmp_path}" in refusal(
        capsys, "train", "digits", "--plugin", tmp_path / name
    )


SEARCH = ("search", "--objective", "worst_class_error", "--objective", "layers_in_all", "--algorithm", "Walk")
PRUNE = ("prune", "--epochs", "1")


@pytest.mark.parametrize(
    ("old", "new", "command", "told"),
    [
        ("return 1 - right.min(axis=1)", "return 1 / 0", SEARCH, "objective 'worst_class_error' fails with ZeroDivi"),
        (
            "return 1 - right.min(axis=1)",
            "return 0.5",
            SEARCH,
            "objective 'worst_class_error' returned 0.5, which is no",
        ),
        (
            "return (layers[:, :, 0] > 0)",
            "layers[:] = 0\n    return (layers[:, :, 0] > 0)",
            SEARCH,
            "changes the array",
        ),
        ("return genomes\n", "return genomes + 99\n", SEARCH, "algorithm 'Walk' asks for"),
        ("return genomes\n", "return genomes.astype(float)\n", SEARCH, "algorithm 'Walk' asks for float64 [4, "),
        ("worth = np.where", "worth = nowhere", SEARCH, "algorithm 'Walk' fails with NameError: name 'nowhere'"),
        ('{"best": self.best', '{"best": np.array([self])', SEARCH, "keeps Python objects in the state 'best'"),
        (
            "return Scores(weights, channels)",
            "return Scores({}, {})",
            (*PRUNE, "--method", "smallest_output"),
            "gives no",
        ),
        (
            "channels = {}",
            "1 / 0",
            (*PRUNE, "--method", "smallest_output"),
            "criterion 'smallest_output' fails with Zer",
        ),
        (
            "return Pruned(",
            "return len(",
            (*PRUNE, "--method", "cut_and_train"),
            "method 'cut_and_train' fails with Ty",
        ),
        ("    steps = task", "    exit()\n    steps = task", (*PRUNE, "--method", "cut_and_train"), "ends the process"),
        ("    assert request", "    return None\n    assert request", SEARCH, "data source 'stripes' gives NoneType"),
        ('["bands"] == 3', '["bands"] == 4', SEARCH, "data source 'stripes' fails with AssertionError"),
        ('{"bands": int}', "{}", SEARCH, "data.bands: there is no such key"),
    ],
)
def test_a_part_with_a_fault_is_one_line_with_its_name(
    old: str,
    new: str,
    command: tuple[str, ...],
    told: str,
    place: Path,
    searched: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert old in PLUGIN
    (tmp_path / "mine.py").write_text(PLUGIN.replace(old, new))
    capsys.readouterr()
    full = [command[0], place / "stripes.toml", "--plugin", tmp_path / "mine.py", *command[1:], "--out", tmp_path / "o"]
    with pytest.raises(SystemExit) as stop:
        main([str(part) for part in full])
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert stop.value.code == 2
    assert last.startswith("evo-fair: ")
    assert told in last
    if "fails with" in told:
        assert "mine.py:" in last


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "    return ef.LayerCost(",
            "    return repr(",
            "fails with TypeError: repr() takes no keyword arguments (mine.py:",
        ),
        (
            "    samples, channels",
            "    return None\n    samples, channels",
            "returns None: it has to return an ef.LayerCost",
        ),
        ('ef.LayerCost("conv", channels', 'ef.LayerCost("conv", 0', "sizes are whole numbers from 1"),
        ("samples, channels, height, width =", "samples, =", "ONNX operator 'own.Mix' fails with ValueError"),
        ("lambda node: [node.inputs[0]]", "lambda node: [(0,)]", "gives the shapes [(0,)] for 1 outputs"),
    ],
)
def test_an_operator_with_a_fault_is_one_line_with_its_name(
    old: str, new: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert old in PLUGIN
    (tmp_path / "mine.py").write_text(PLUGIN.replace(old, new))
    model = model_with("Mix", tmp_path / "mix.onnx")
    assert told in refusal(capsys, "predict", model, "--device", "raspberry-pi-4", "--plugin", tmp_path / "mine.py")
