"""Reading and checking problem files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evo_fair.data import PARTS
from evo_fair.errors import DataError, ProblemError, UnknownNameError
from evo_fair.layers import macs
from evo_fair.problem import load_problem, problem_names

PROBLEMS = Path(__file__).resolve().parents[1] / "problems"

MINIMAL = """
title = "a test"
[data]
source = "digits"
[fairness]
group = "class"
report = ["class"]
[space]
channel_multiple = 4
stem = { widths = [4] }
[[space.stage]]
slots = 1
kinds = ["CB"]
widths = [4, 8]
keep_channels = [4]
[search]
objectives = ["error"]
"""


def written(folder: Path, old: str = "", new: str = "") -> str:
    path = folder / "mine.toml"
    path.write_text(MINIMAL.replace(old, new) if old else MINIMAL)
    return str(path)


def test_every_shipped_problem_loads() -> None:
    cifar10 = ["cifar10", "cifar10_lt", "cifar10_strides"]
    images = [*cifar10, "digits", "faces", "ham10000", "image_folder", "nas_bench_macro"]
    assert problem_names() == sorted([*images, "acs_income", "adult", "table"])
    for name in problem_names():
        problem = load_problem(name)
        assert problem.name == name
        assert problem.title


def test_own_file_gives_a_problem_of_its_name(tmp_path: Path) -> None:
    problem = load_problem(written(tmp_path), data=tmp_path)
    assert (problem.name, problem.folder) == ("mine", tmp_path)
    assert problem.fairness.groupings == ("class",)
    space = problem.search_space((1, 8, 8), 10)
    assert space.size() == 2
    assert load_problem(written(tmp_path)).dataset().input_shape == (1, 8, 8)


def test_an_intersection_that_cannot_be_is_told_with_its_key(tmp_path: Path) -> None:
    path = written(tmp_path, '["class"]', '["class*class"]')
    with pytest.raises(ProblemError, match=r"mine\.toml: \[fairness\] report: .* names a grouping twice"):
        load_problem(path).dataset()


def test_a_problem_is_named_as_a_shell_takes_it(tmp_path: Path) -> None:
    spaced = Path(written(tmp_path)).rename(tmp_path / "my photos.toml")
    assert load_problem(spaced).argument == "'my photos.toml'"
    assert load_problem("digits").argument == "digits"


def test_a_positive_label_that_the_data_lack_is_named_with_its_key(tmp_path: Path) -> None:
    path = written(tmp_path, "[fairness]", 'positive = ["maybe"]\n[fairness]')
    with pytest.raises(ProblemError, match=r"\[data\] positive: unknown positive label 'maybe': expected one of 0, 1,"):
        load_problem(path).dataset()
    three = written(tmp_path, "[fairness]", 'positive = ["3"]\n[fairness]')
    assert load_problem(three).dataset().positive == (3,)


@pytest.mark.parametrize(
    ("given", "devices", "written_down"),
    [('"a"', ("a",), "a"), ('["a"]', ("a",), "a"), ('["a", "b.json"]', ("a", "b.json"), ["a", "b.json"])],
)
def test_a_problem_names_one_device_or_several(
    tmp_path: Path, given: str, devices: tuple[str, ...], written_down: str | list[str]
) -> None:
    search = load_problem(written(tmp_path, "[search]", f"[search]\ndevice = {given}")).search
    assert (search.devices, search.model_dump(mode="json")["device"]) == (devices, written_down)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            '"digits"',
            '"digit"',
            "data.source: unknown data source 'digit': expected one of adult, cifar10, cifar10_lt, digits,",
        ),
        ("widths = [4, 8]", "widths = [4, 9]", "width 9 is not a multiple of 4: stage 1 lists widths"),
        ("slots = 1", "slots = 0", "space.stage.1.slots: expected a number of at least 1, got 0"),
        ("[search]", "[serach]", "serach: there is no such key: fix its name, or take it out"),
        ('objectives = ["error"]', "objectives = []", "search.objectives"),
        ("[search]", '[search]\ndevice = ["a", "b", "a"]', "search.device: 'a' is given twice: name each once"),
        ("[search]", "[search]\ndevice = []", "search.device: [] is no device: give a name or path, or a list as in"),
        ("[search]", "[search]\ndevice = 4", "search.device: 4 is no device"),
        ("[search]", '[search]\ndevice = ["a", 4]', "search.device: ['a', 4] is no device"),
        ("[search]", "[search]\ndevice = [a, b]", "is not valid TOML"),
        ("title", "titel", "titel: there is no such key"),
        ("title =", "# title =", "title: it is missing: write title = "),
        (
            '[fairness]\ngroup = "class"\nreport = ["class"]\n',
            "",
            'fairness: it is missing: write [fairness] and below it group = "class", which',
        ),
        (
            'group = "class"\n',
            "",
            'fairness.group: it is missing: write group = "class", which compares the labels, or',
        ),
        ("[fairness]", "[data.more]\n[fairness]", "data.more: there is no such key: fix its name, or take it out"),
        (
            "[fairness]",
            'missing = ["nan"]\n[fairness]',
            "missing is for the sources image_folder and table: digits says",
        ),
        (
            "[fairness]",
            'folder = "pictures"\n[fairness]',
            "folder is for the sources image_folder and table: digits has its own, leave",
        ),
        (
            "[fairness]",
            'licence = "mine"\n[fairness]',
            "licence is for the sources image_folder and table: digits has its own",
        ),
        ("[fairness]", "fractions = [0.5, 0.2, 0.2]\n[fairness]", "add up to 0.9; make them add up to 1"),
        ("title =", "title", "is not valid TOML"),
        ("title", 'name = "x"\ntitle', "name can't be set here"),
        ('"digits"', '"table"', "[data.table] is missing: the source table needs to know what its columns mean"),
        (
            "[fairness]",
            "[data.table]\nfile = 'a.csv'\nlabel = 'b'\nnumbers = ['c']\n[fairness]",
            "table is for the source table: digits has its own, leave it out",
        ),
        (
            "[fairness]",
            "[data.table]\nfile = 'a.csv'\nlabel = 'b'\nnumber = ['c']\n[fairness]",
            "data.table.number: there",
        ),
        ('"digits"', '"adult"', "a table, whose space has FC stages and no stem"),
        ("[search]", "[training]\nlearning_rate = inf\n[search]", "training.learning_rate"),
        ("widths = [4, 8]", f"widths = [4, {2**53}]", "space.stage.1.widths.2: expected a number of at most 8192, got"),
        ("slots = 1", f"slots = {2**53}", "space.stage.1.slots"),
        ("slots = 1", f"slots = 1\nexpansions = [{2**53}]", "space.stage.1.expansions.1"),
        ("[search]", f"[training]\nepochs = {2**53}\n[search]", "training.epochs"),
        ("[search]", f"[training]\nbatch_size = {2**53}\n[search]", "training.batch_size"),
        ("[search]", "[training]\nlearning_rate = 1e300\n[search]", "training.learning_rate"),
        ("[search]", "[training]\nweight_decay = 1e300\n[search]", "training.weight_decay"),
        ("[search]", f"[proxy]\ncalibration_samples = {2**53}\n[search]", "proxy.calibration_samples"),
        ("[search]", f"[search]\npopulation = {2**53}", "search.population"),
        ("[search]", f"[search]\nbudget = {2**53}", "search.budget"),
        ("[fairness]", f"split_seed = {2**63}\n[fairness]", "'data.split_seed' is a number beyond 64 bits"),
        ("title =", f"title = '{'x' * 140_000}' #", "title: expected a text of at most 2000 characters, got 'xxx"),
    ],
)
def test_wrong_file_is_refused_in_one_line_with_its_path(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ProblemError) as error:
        load_problem(written(tmp_path, old, new))
    assert message in str(error.value)
    assert "mine.toml" in str(error.value)
    assert len(str(error.value)) < 500
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["digit", "none.toml", "../digits"])
def test_unknown_problem_lists_those_there_are(name: str) -> None:
    with pytest.raises(
        UnknownNameError,
        match="acs_income, adult, cifar10, cifar10_lt, cifar10_strides, digits, faces, ham10000, image_folder, nas_",
    ):
        load_problem(name)


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ("slots = 16\nkinds = ['RB']\nwidths = [8192]\nkeep_channels = [8192]", "weights, and at most 268,435,456"),
        ("slots = 1\nkinds = ['DB']\nwidths = [8192]\nkeep_channels = [4]", "MiB for one sample, and at most 4,096"),
    ],
)
def test_a_space_of_networks_that_fit_no_memory_is_refused(tmp_path: Path, stage: str, message: str) -> None:
    path = tmp_path / "large.toml"
    head = "title = 'a'\n[data]\nsource = 'digits'\n[fairness]\ngroup = 'class'\n[space]\nchannel_multiple = 4\n"
    path.write_text(f"{head}stem = {{ widths = [4] }}\n[[space.stage]]\n{stage}\n[search]\nobjectives = ['error']\n")
    with pytest.raises(ProblemError, match=message):
        load_problem(str(path)).search_space((3, 512, 512), 10)


FOLDER = MINIMAL.replace('"digits"', '"image_folder"\nimage_size = 8\nmin_samples = 1')


def pictures(folder: Path) -> Path:
    """Twelve small images of two classes."""
    folder.mkdir(parents=True)
    lines = ["file,label"]
    for i in range(12):
        Image.new("RGB", (8, 8), (20 * i, 0, 0)).save(folder / f"{i}.png")
        lines.append(f"{i}.png,{'ab'[i % 2]}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_a_folder_of_images_is_found_by_the_name_that_its_problem_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVO_FAIR_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("EVO_FAIR_CACHE", str(tmp_path / "cache"))
    text = FOLDER.replace("min_samples", 'folder = "pics"\nlicence = "CC BY 4.0 (someone)"\nmin_samples')
    (tmp_path / "mine.toml").write_text(text)
    named, own = load_problem(str(tmp_path / "mine.toml")), pictures(tmp_path / "data" / "pics")
    dataset = named.dataset()
    assert (dataset.name, dataset.licence) == ("mine", "CC BY 4.0 (someone)")
    own.rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"the data of pics are not in .*data/pics or .*data/pics; image_folder needs"):
        named.dataset()
    again = load_problem(str(tmp_path / "mine.toml"), data=tmp_path / "elsewhere").dataset()
    assert again.fingerprint == dataset.fingerprint
    (tmp_path / "mine.toml").write_text(FOLDER)
    plain = load_problem(str(tmp_path / "mine.toml"), data=tmp_path / "elsewhere").dataset()
    assert (plain.name, plain.licence) == ("mine", "the user's own data")


@pytest.mark.parametrize("name", ["../pics", "/pics", "a/b", "..", ".", "", "a\\\\b"])
def test_the_folder_of_a_problem_is_a_name_and_no_path(tmp_path: Path, name: str) -> None:
    (tmp_path / "mine.toml").write_text(FOLDER.replace("min_samples", f'folder = "{name}"\nmin_samples'))
    with pytest.raises(ProblemError, match=r"mine.toml: data.folder: .* is not the name of one folder"):
        load_problem(str(tmp_path / "mine.toml"))


@pytest.mark.parametrize("source", ["digits", "table"])
def test_a_size_that_the_source_does_not_resize_to_is_refused(tmp_path: Path, source: str) -> None:
    path = tmp_path / "one.toml"
    text = MINIMAL if source == "digits" else (PROBLEMS / "table.toml").read_text()
    path.write_text(text.replace(f'source = "{source}"', f'source = "{source}"\nimage_size = 64'))
    with pytest.raises(ProblemError, match=f"one.toml: data.image_size: {source} does not resize .* 64 .*leave it out"):
        load_problem(str(path))


def test_a_fault_of_form_is_said_in_words_of_a_problem_file(tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text(FOLDER.replace("objectives = [", 'constraints = "macs <= 5"\nobjectives = ['))
    with pytest.raises(ProblemError, match=r"search.constraints: expected a list in brackets.*, got 'macs <= 5'"):
        load_problem(str(tmp_path / "one.toml"))
    (tmp_path / "two.toml").write_text('title = "no data"\ndata = 3\n')
    with pytest.raises(ProblemError, match="data: expected a table of keys"):
        load_problem(str(tmp_path / "two.toml"))


@pytest.mark.parametrize("name", ["cifar10", "faces"])
def test_shipped_spaces_reach_from_small_to_large(name: str) -> None:
    problem = load_problem(name)
    size = problem.data.image_size
    space = problem.search_space((3, size, size), 2)
    small, large = macs(space.decode(np.stack([space.smallest(), space.largest()])))
    assert large > 90 * small


@pytest.mark.data
@pytest.mark.slow
def test_the_faces_are_found_and_every_group_has_samples(
    data_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVO_FAIR_DATA", str(data_folder("utkface").parent))
    faces = load_problem("faces").dataset()
    assert faces.name == "faces"
    assert "UTKFace" in faces.licence
    assert faces.inputs.shape[1:] == (3, 64, 64)
    assert [len(faces.part(part)) for part in PARTS] == [7460, 2712, 3391]
    assert {name: len(grouping.names) for name, grouping in faces.groupings.items()} == {
        "race": 5,
        "age_band": 3,
        "class": 2,
    }
