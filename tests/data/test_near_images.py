"""The image that a name without a file may mean: one, several, or none at all."""

from pathlib import Path

import pytest

from evo_fair.data.near_images import near_image


@pytest.mark.parametrize(
    ("there", "asked", "named", "found"),
    [
        (["ISIC_1.JPG"], "ISIC_1", [], "ISIC_1.JPG"),
        (["ISIC_1.JPG"], "ISIC_1.jpg", [], "ISIC_1.JPG"),
        (["ISIC_1.JPG"], "isic_1.png", [], "ISIC_1.JPG"),
        (["a/b/1.png"], "1.png", [], "a/b/1.png"),
        (["1.png"], "photos/1.png", [], "1.png"),
        (["a/1.png"], "C:\\me\\A\\1.PNG", [], "a/1.png"),
        ([".hidden/1.png"], "1", [], ".hidden/1.png"),
        (["p.01.png"], "p.01", [], "p.01.png"),
        (["p.png"], "p.01", [], None),  # that is no ending of an image
        (["1.png", "1.jpg"], "1", [], "1.jpg and 1 more of that name"),
        (["1.png", "1.txt"], "1", [], "1.png"),
        (["a/1.png", "b/1.png", "c/1.png"], "1.png", [], "a/1.png and 2 more of that name"),
        (["a/1.png", "b/1.png"], "A/1.jpg", [], "a/1.png"),
        (["a/1.png", "b/1.png"], "c/1.png", [], "a/1.png and 1 more of that name"),
        (["a/1.png", "b/1.png", "b/a/1.png"], "photos/b/A/1.png", [], "b/a/1.png"),
        (["a/1.png", "1.png"], "photos/1.png", [], "1.png and 1 more of that name"),
        (["ba/1.png", "c/1.png"], "a/1.png", [], "ba/1.png and 1 more of that name"),
        (["1.png"], "1.jpg", ["1.jpg", "1.png"], None),  # the table has that one, too
        (["10.png", "21.png"], "1", [], None),
    ],
)
def test_what_has_the_name_is_found(
    tmp_path: Path, there: list[str], asked: str, named: list[str], found: str | None
) -> None:
    for name in there:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert near_image(tmp_path, asked, named) == found


def test_a_link_in_a_circle_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").touch()
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    assert near_image(tmp_path, "1", []) == "a/1.png"
