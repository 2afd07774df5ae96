import json
import os
import re
import runpy
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from evo_fair.data.decoding import decode_pixels
from evo_fair.errors import EvoFairError, RunError, UnknownNameError
from evo_fair.report.model_card import write_model_card
from tests.cli.conftest import refusal
from tests.report.conftest import write_run
from tests.report.folders import write_network

huggingface_hub = pytest.importorskip("huggingface_hub", reason="needs huggingface_hub: pip install evo-fair[hub]")
EVIL = "<script>alert(1)</script>|b"


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
    bare = subprocess.run(alone, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (bare.returncode, bare.stdout) == (1, "")
    assert bare.stderr.strip() == "give files of pictures: python example.py picture.jpg [more.jpg ...]"


def _run_example(folder, *arguments):
    command = [sys.executable, str(folder / "example.py"), *map(str, arguments)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def _example(folder, shape):
    """The names of the example of a network that takes such a shape; its file is left as it is."""
    path = folder / "card.json"
    card = json.loads(path.read_text())
    path.write_text(json.dumps(card | {"input": card["input"] | {"shape": list(shape)}}))
    return runpy.run_path(str(folder / "example.py"))


def _pictures(folder):
    """Files of every kind that a reader can get wrong, with edges to see it: turned, transparent, grey, and others."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (37, 53, 4), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    images = {
        "turned.jpg": (Image.fromarray(noise[..., :3]), {"exif": exif}),
        "transparent.png": (Image.fromarray(noise), {}),
        "grey.jpg": (Image.fromarray(noise[..., 0]), {}),
        "grey_transparent.png": (Image.fromarray(noise[..., :2], "LA"), {}),
        "palette.png": (Image.fromarray(noise[..., :3]).quantize(16), {"transparency": 3}),
        "printed.jpg": (Image.fromarray(noise, "CMYK"), {}),
        "small.png": (Image.fromarray(noise[:3, :2, :3]), {}),
    }
    for name, (image, options) in images.items():
        image.save(folder / name, **options)
    return [folder / name for name in images]


def test_the_example_reads_pictures_as_evo_fair_does(run, name, tmp_path):
    folder = write_model_card(run.path, name)
    read = _example(folder, (3, 16, 16))["read_picture"]
    for path in _pictures(tmp_path):
        expected = decode_pixels(path.read_bytes(), 16)
        assert expected.std() > 10, "nothing to see"
        assert read(path).dtype == np.uint8
        np.testing.assert_array_equal(read(path), expected, err_msg=path.name)


def test_the_example_reads_pictures_in_grey_for_one_channel(run, name, tmp_path):
    """Each channel of a grey picture is the grey one; of a colour it is its luma (ITU-R 601-2)."""
    read = _example(write_model_card(run.path, name), (1, 16, 16))["read_picture"]
    for path in _pictures(tmp_path):
        expected = decode_pixels(path.read_bytes(), 16)
        grey = expected[:1] if path.name.startswith("grey") else np.tensordot([0.299, 0.587, 0.114], expected, 1)[None]
        assert read(path).shape == (1, 16, 16)
        np.testing.assert_allclose(read(path), grey, atol=0 if path.name.startswith("grey") else 1)


def test_the_example_is_asked_for_files_and_prints_labels_with_probabilities(run, name, tmp_path):
    """Logits are 0 and the sum of (value - 100) / 8 over four values: at 90 the share of light is 1 / (1 + e^5)."""
    folder = write_model_card(run.path, name)
    for value in (90, 110):
        Image.new("L", (9, 5), value).save(tmp_path / f"{value}.png")
    files = [tmp_path / "90.png", tmp_path / "110.png"]
    done = _run_example(folder, *files)
    assert done.stdout.splitlines() == [f"{files[0]}: dark, 99.3 %", f"{files[1]}: light, 99.3 %"], done.stderr
    text = folder.joinpath("README.md").read_text()
    assert "python example.py picture.jpg" in text
    assert "predict([read_picture(" in text
    assert "as grey of 2 x 2 pixels" in text


def test_the_example_refuses_what_is_no_picture_and_other_shapes_in_a_line(run, name, tmp_path):
    folder = write_model_card(run.path, name)
    Image.fromarray(np.full((4, 4), 40_000, np.uint16)).save(tmp_path / "deep.png")
    (tmp_path / "text.jpg").write_text("text")
    for file, told in (
        ("deep.png", "is not 8 bits a channel"),
        ("text.jpg", "cannot identify"),
        ("none.jpg", "No such"),
    ):
        done = _run_example(folder, tmp_path / file)
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
        assert f"{file} can't be read: " in done.stderr
        assert told in done.stderr
    predict = runpy.run_path(str(folder / "example.py"))["predict"]
    for shape in ((1, 2, 2, 1), (2, 2), (1, 2, 2)):
        told = rf"shape \[batch, 1, 2, 2\] \(channels, height, width\), got {re.escape(str(list(shape)))}: read_picture"
        with pytest.raises(ValueError, match=told):
            predict(np.zeros(shape))


@pytest.mark.parametrize(
    ("changed", "pictures"),
    [({"shape": [3]}, False), ({"shape": [2, 8, 8]}, False), ({"shape": [3, 8, 8]}, True), ({"columns": []}, False)],
)
def test_a_network_that_takes_no_pictures_has_the_example_for_arrays(run, name, changed, pictures):
    path = run.path / "networks" / f"{name}.json"
    card = json.loads(path.read_text())
    path.write_text(json.dumps(card | {"input": card["input"] | changed}))
    folder = write_model_card(run.path, name)
    for file in ("example.py", "README.md"):
        assert ("read_picture" in folder.joinpath(file).read_text()) is pictures


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
    by_group, test = text.split("## On the test part")
    assert "On the validation part, with Wilson intervals" in by_group
    assert "| female | 10 |" in by_group
    assert "| accuracy | 0.9 |" in test


def test_figures_of_the_test_part_say_of_how_many_samples_they_are(run, name):
    write_network(run.path / "deployed", name)
    heads = [f"{figure}{end}" for figure in ("accuracy[sex:m]", "unfairness[sex]") for end in ("", "_low", "_high")]
    row = f"{name},front,fp32,0.5,1.0,0.7575,1.0,0.1,0.0,0.2"
    run.path.joinpath("deployed.csv").write_text(",".join(["id,role,precision,measured_ms", *heads]) + f"\n{row}\n")
    path = run.path / "deployed" / f"{name}.json"
    figure = {"value": 1.0, "low": 0.7575, "high": 1.0}
    test = {"fp32": {"accuracy[sex:m]": figure | {"samples": 12}, "unfairness[sex]": figure}}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"test": test}))
    text = write_model_card(run.path, name).joinpath("README.md").read_text()
    assert "| figure | samples | value | 95 % interval |" in text
    assert "| accuracy[sex:m] | 12 | 1 | 0.7575 to 1 |" in text
    assert "| unfairness[sex] |  | 0.1 | 0 to 0.2 |" in text


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


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"format": 99}, "has the format 99, and this evo_fair reads up to 1: update it"),
        ({"format": "1"}, "has the format '1', and this evo_fair"),
        ({"labels": ["dark"]}, r": labels are 1, and .*\.onnx has 2 outputs: make it again"),
        (
            {"input": {"shape": [1, 2, 2], "mean": ["x"], "scale": [0.5]}},
            r"input\.mean\.0: .*valid number.*make it again",
        ),
        ({"input": {"shape": [1, 2, 2], "mean": [1.0, 2.0], "scale": [0.5]}}, r"input: .*2 values of mean, 1 of scale"),
        ({"input": {"shape": "1x2", "mean": [1.0], "scale": [0.5]}}, r"input\.shape: .*valid list"),
    ],
)
def test_a_card_that_was_changed_by_hand_is_refused_by_file_and_key(run, name, changed, told):
    path = run.path / "networks" / f"{name}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    with pytest.raises(RunError, match=f"{name}.json.*{told}"):
        write_model_card(run.path, name)
    assert not run.path.joinpath("cards").exists()


def test_a_network_that_is_not_on_the_front_is_refused(run, capsys):
    with pytest.raises(UnknownNameError, match="'nothing'"):
        write_model_card(run.path, "nothing")
    assert "'nothing'" in refusal(capsys, "card", run.path, "nothing")


def test_a_search_that_was_killed_is_to_be_gone_on_with(run, name):
    run.path.joinpath("networks", f"{name}.json").unlink()
    with pytest.raises(RunError, match=rf"{name}.json is missing: make it again with 'evo-fair search --resume'"):
        write_model_card(run.path, name)
    run.path.joinpath("front.csv").unlink(missing_ok=True)
    run.path.joinpath("journal.jsonl").write_text("")
    with pytest.raises(RunError, match="has no network on its front: search on with --resume"):
        write_model_card(run.path, name)


def test_without_huggingface_hub_it_says_what_brings_it(run, name, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(EvoFairError, match=r"pip install 'evo-fair\[hub\]'"):
        write_model_card(run.path, name)


def test_a_search_for_several_devices_has_a_latency_for_each(run, name):
    path = run.path / "networks" / f"{name}.json"
    card = json.loads(path.read_text()) | {
        "devices": ["a-board", "a-phone"],
        "metrics": {"latency_ms": 1.25, "latency_ms[a-board]": 1.25, "latency_ms[a-phone]": 0.5},
        "hashes": {"profile": "ab", "profiles": {"a-board": "ab", "a-phone": "cd"}},
    }
    path.write_text(json.dumps(card))
    text = write_model_card(run.path, name).joinpath("README.md").read_text()
    assert "| a-board | predicted | 1.25 |\n| a-phone | predicted | 0.5 |" in text
    assert "| SHA-256 of the profile of a-board | ab |\n| SHA-256 of the profile of a-phone | cd |" in text
    assert "SHA-256 of the profile |" not in text


@pytest.mark.parametrize(("network", "weights"), [(False, "of the supernet"), (True, "of the network that was pruned")])
def test_the_card_says_whose_weights_they_are(tmp_path, network, weights):
    run = write_run(tmp_path / "run")
    if network:
        with run.path.joinpath("run.toml").open("a") as file:
            file.write("\n[network]\nname = 'mine'\n")
    name = str(run.front["id"][0])
    write_network(run.path / "networks", name)
    text = write_model_card(run.path, name).joinpath("README.md").read_text()
    assert f"| weights | {weights} |" in text
    assert ("supernet: a training" in text) is not network


def _files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (["README.md"], "holds a README.md that is of no card, and not a card of"),
        (["example.py", "notes.txt"], "holds notes.txt, which is no part of a card"),
        (["README.md", ".git"], "holds .git, which is no part of a card"),
    ],
)
def test_a_folder_with_other_things_is_left_alone(run, name, tmp_path, capsys, files, told):
    for file in files:
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out" / file).write_text("mine")
    line = refusal(capsys, "card", run.path, name, "--out", tmp_path / "out")
    assert told in line
    assert line.endswith("give a new folder")
    assert _files(tmp_path / "out") == dict.fromkeys(files, b"mine")


def test_a_card_takes_the_place_of_none_but_its_own(run, name, tmp_path):
    other = str(run.front["id"][1])
    write_network(run.path / "networks", other)
    folder = write_model_card(run.path, name, tmp_path / "out")
    first = _files(folder)
    (folder / "README.md").write_text("changed")
    (folder / ".model.7-7.tmp.onnx").write_text("half")
    (folder / "__pycache__").mkdir()
    with pytest.raises(RunError, match=f"holds the card of '{name}', and not a card of {other}: give a new folder"):
        write_model_card(run.path, other, folder)
    (write_model_card(run.path, name, folder) / ".model.7-7.tmp.onnx").unlink()
    (folder / "__pycache__").rmdir()
    assert _files(folder) == first


def test_a_card_whose_writing_was_killed_is_made_again(run, name, tmp_path):
    folder = write_model_card(run.path, name, tmp_path / "out")
    first = _files(folder)
    for file in ("README.md", "example.py", "model.onnx"):
        (folder / file).unlink()
        write_model_card(run.path, name, folder)
        assert _files(folder) == first


def test_a_file_in_the_place_of_the_folder_is_refused(run, name, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    assert "file is a file: give a new folder" in refusal(capsys, "card", run.path, name, "--out", tmp_path / "file")
    below = refusal(capsys, "card", run.path, name, "--out", tmp_path / "file" / "x")
    assert "file is a file; give a folder in its place" in below
    assert (tmp_path / "file").read_text() == "mine"
