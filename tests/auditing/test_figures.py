"""Names in an audit's figures lie within them and apart, however many and long they are."""

from types import SimpleNamespace

import matplotlib as mpl
import pandas as pd
import pytest

from evo_fair.auditing import figures
from evo_fair.auditing.figures import draw_effects, draw_forecast, draw_losses
from evo_fair.report.style import _STYLE, folded

LONG = "actinic keratoses and intraepithelial carcinoma"


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are drawn, laid out as they are saved."""
    found = []

    def save(make, _paths):
        with mpl.rc_context(_STYLE):
            found.append(make())
            found[0].draw_without_rendering()

    monkeypatch.setattr(figures, "save_figure", save)
    return found


def boxes(figure, *texts):
    found = [text.get_window_extent() for text in texts]
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in found)
    assert all(figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1 for box in found)
    return found


def apart(found):
    return not any(one.overlaps(other) for place, one in enumerate(found) for other in found[:place])


@pytest.mark.parametrize("groups", [[str(number) for number in range(40)], [LONG, f"{LONG}, 2"]], ids=["many", "long"])
def test_the_groups_of_losses_are_told_apart(drawn, groups):
    rows = [{"grouping": "class", "group": group, "band": "0 to 50 %", "loss": 0.1} for group in groups]
    losses = pd.DataFrame(rows).assign(low=0.0, high=0.2)
    draw_losses(losses, ["class"], [])
    (panel,) = drawn[0].axes
    assert apart(boxes(drawn[0], *panel.texts))
    assert panel.bbox.width > drawn[0].dpi
    looks = {(bar[0].get_marker(), bar[0].get_color()) for bar in panel.containers}
    assert len(looks) == len(groups)


def test_long_terms_of_effects_leave_room_for_the_figure(drawn):
    terms = [f"sparsity x {LONG} {number}" for number in range(20)]
    table = pd.DataFrame({"term": terms, "estimate": 0.1, "low": 0.0, "high": 0.2})
    draw_effects([("class", table), ("age_band", table), ("sex", table)], [])
    for panel in drawn[0].axes:
        assert apart(boxes(drawn[0], *panel.get_yticklabels()))
        boxes(drawn[0], panel.xaxis.label)
        assert panel.bbox.width > drawn[0].dpi


def test_the_labels_of_effects_are_whole_where_two_panels_are_beside_each_other(drawn):
    terms = [f"sparsity x criterion magnitude_l1 {number}" for number in range(9)]
    table = pd.DataFrame({"term": terms, "estimate": 0.1, "low": 0.0, "high": 0.2})
    draw_effects([("class", table), ("age_band", table)], [])
    assert apart(boxes(drawn[0], *(panel.xaxis.label for panel in drawn[0].axes)))


@pytest.mark.parametrize("groups", [[str(number) for number in range(40)], [LONG, f"{LONG}, 2"]], ids=["many", "long"])
def test_the_groups_of_a_forecast_are_readable(drawn, groups):
    quality = pd.DataFrame(
        {"score": "fitted", "grouping": "class", "group": groups, "auc": 0.7, "low": 0.6, "high": 0.8}
    )
    risk = pd.DataFrame({"grouping": "class", "group": groups, "forecast": 0.1, "observed": 0.1})
    risk.loc[0, ["forecast", "observed"]] = 0.0
    risk.loc[len(groups) - 1, "observed"] = 0.07
    draw_forecast(SimpleNamespace(quality=quality, risk=risk), [])
    left, right = drawn[0].axes
    assert apart(boxes(drawn[0], *left.get_yticklabels()))
    assert apart(boxes(drawn[0], right.xaxis.label, *right.texts))
    assert folded(groups[-1]) in {text.get_text() for text in right.texts}, "it is farthest off the forecast"
    assert len(right.texts) > 1
    assert not any(text.get_window_extent().overlaps(left.bbox) for text in right.texts)
