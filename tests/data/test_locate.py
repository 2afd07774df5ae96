"""Where data are looked for, and what is said where there are none."""

from pathlib import Path

import pytest

from evo_fair.data import find_data, load_dataset
from evo_fair.errors import DataError


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    monkeypatch.setenv("EVO_FAIR_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("EVO_FAIR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "data", tmp_path / "cache" / "data"


def test_the_named_folder_comes_before_the_variable_and_that_before_the_cache(
    places: tuple[Path, Path], tmp_path: Path
) -> None:
    in_data, in_cache = (place / "adult" for place in places)
    in_cache.mkdir(parents=True)
    assert find_data("adult", None) == in_cache
    in_data.mkdir(parents=True)
    assert find_data("adult", None) == in_data
    assert find_data("adult", tmp_path) == tmp_path
    (places[0] / "birds").mkdir()
    assert find_data("image_folder", None, "birds") == places[0] / "birds"


def test_missing_data_say_where_they_were_sought_and_what_to_download(places: tuple[Path, Path]) -> None:
    with pytest.raises(DataError) as caught:
        load_dataset("ham10000")
    message = str(caught.value)
    for part in (
        str(places[0] / "ham10000"),
        str(places[1] / "ham10000"),
        "HAM10000_images_part_1.zip",
        "https",
        "--data",
    ):
        assert part in message
    assert "\n" not in message


def test_a_named_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere does not exist; adult needs: .*adult\.data.*--data"):
        load_dataset("adult", tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="file is not a folder"):
        load_dataset("adult", tmp_path / "file")


@pytest.mark.parametrize("odd", ["~nosuchuser/data", "x" * 256])
def test_odd_paths_are_refused(odd: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="is no path that can be looked up"):
        find_data("adult", Path(odd))
    monkeypatch.setenv("EVO_FAIR_DATA", odd)
    with pytest.raises(DataError, match="is no path that can be looked up"):
        find_data("adult", None)
