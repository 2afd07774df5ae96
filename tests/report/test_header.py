"""The header's table and figure."""

from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest

from evo_fair.report.header import header_figure, write_header
from evo_fair.report.style import _STYLE

ROWS = [
    {"block": "input", "layer": "output", "variation": 0.1, "frozen": False},
    {"block": "stem", "layer": "conv", "variation": 0.3, "frozen": True},
    {"block": "stem", "layer": "output", "variation": 0.12345678, "frozen": True},
    {"block": "stage1.slot1", "layer": "output", "variation": 0.2, "frozen": False},
]


@pytest.mark.parametrize("threshold", [None, 0.12])
def test_same_rows_same_files(threshold: float | None, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_header(tmp_path / name, ROWS, "sex", threshold, ("10^9.0", "10^3.0"))
    files = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()}
    assert set(files) == {"header.csv", "header.png"}
    table = pd.read_csv(tmp_path / "a" / "header.csv")
    assert table["variation"].tolist() == [0.1, 0.3, 0.123457, 0.2]
    assert table.loc[table["frozen"], "block"].unique().tolist() == ["stem"]


def test_many_blocks_and_a_long_grouping_have_room() -> None:
    rows = [
        {"block": f"stage{number}.slot1", "layer": "output", "variation": 0.1, "frozen": False} for number in range(80)
    ]
    with mpl.rc_context(_STYLE):
        figure = header_figure(pd.DataFrame(rows), "age_band*sex*skin_type*hospital_site", None, ("10^9.0", "10^3.0"))
        figure.draw_without_rendering()
    (panel,) = figure.axes
    label = panel.yaxis.label.get_window_extent()
    assert figure.bbox.y0 <= label.y0
    assert label.y1 <= figure.bbox.y1
    names = panel.get_xticklabels()
    between = names[1].get_position()[0] - names[0].get_position()[0]
    pitch = panel.bbox.width / 80 * between
    assert pitch > 1.3 * names[0].get_fontsize() * figure.dpi / 72
