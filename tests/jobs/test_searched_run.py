"""What a job that goes on from a search refuses of what it is given."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
import pytest

import evo_fair as ef
from evo_fair.evolution import parse_limit, register, sources
from evo_fair.jobs.searched_run import plugin_facts, searched_objectives, supernet_of
from evo_fair.nets.device import CPU
from evo_fair.testing import small_dataset, small_space


@pytest.mark.parametrize(
    ("same_data", "told"),
    [(False, "the data differ from those that the run in found saw"), (True, "the run in found is of another search")],
)
def test_other_data_are_said_before_the_other_space_that_other_labels_make(same_data: bool, told: str) -> None:
    dataset = small_dataset()
    seen = {"data": {"fingerprint": dataset.fingerprint if same_data else "-"}, "space": {"fingerprint": "-"}}
    run = cast("ef.Run", SimpleNamespace(path=Path("found"), configuration=seen))
    with pytest.raises(ef.RunError, match=told):
        supernet_of(run, ef.load_problem("digits"), dataset, small_space(), True, CPU)


class Heard(ef.Listener):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def warned(self, line: str) -> None:
        self.lines.append(line)


def right(counts: ef.Counts) -> object:
    return counts.overall[:, 0, 0]


def test_objectives_of_a_search_that_are_not_here_as_they_were_are_told_and_not_measured() -> None:
    names = ("mcd", "latency_ms", "mine", "changed", "gone", "gone_and_cheap")
    front = pd.DataFrame({f"{name}_believed": [] for name in ("mcd", "mine", "changed", "gone")})
    hashes = sources([ef.Objective("mine", function=right)]) | {
        "changed": "another",
        "gone": "-",
        "gone_and_cheap": "-",
    }
    run = cast(
        "ef.Run",
        SimpleNamespace(
            axes=[ef.Objective(name) for name in names],
            limits=[parse_limit("accuracy >= 0.5")],
            front=front,
            believed=lambda: {"a": {}},
            sources=hashes,
        ),
    )
    for name in ("mine", "changed"):
        register(ef.Objective(name, function=right))
    try:
        heard = Heard()
        assert [one.name for one in searched_objectives(run, heard)] == ["mcd", "mine", "accuracy"]
    finally:
        for name in ("mine", "changed"):
            ef.forget(name)
    assert [line.split(",")[0] for line in heard.lines] == [
        "objective 'changed' has another source here than in the search",
        "objective 'gone' is not known here",
    ]


SEARCHED = {"mine.py": "1", "kinds.py": "2"}


@pytest.mark.parametrize(
    ("begun", "here", "told"),
    [
        (None, SEARCHED, {"plugins": SEARCHED}),  # one that begins records all
        ({}, SEARCHED, {}),
        ({"plugins": {"kinds.py": "2"}}, SEARCHED, {"plugins": {"kinds.py": "2"}}),
        ({}, {"mine.py": "changed", "other.py": "3"}, {"plugins": {"mine.py": "changed", "other.py": "3"}}),
        ({"plugins": {"mine.py": "1"}}, {}, {}),
    ],
)
def test_a_deployment_goes_on_with_a_plugin_of_the_search_that_it_was_begun_without(
    begun: dict[str, Any] | None, here: dict[str, str], told: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evo_fair.jobs.searched_run.facts", lambda: {"plugins": dict(here)} if here else {})
    run = cast("ef.Run", SimpleNamespace(configuration={"plugins": SEARCHED}))
    assert plugin_facts(run, begun) == told
