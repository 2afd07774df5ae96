import numpy as np
import pandas as pd
import pytest

from evo_fair.errors import RunError
from evo_fair.evolution import Record, check_front, front_of, genome_of, networks_frame, read_front, search, write_front
from evo_fair.evolution.objectives import Axis

from .fakes import FakeEvaluator, FakeSpace, make_plan

AXES = (Axis("accuracy", "max"), Axis("latency_ms"))


def network(number, accuracy, latency, violation=0.0, evaluated=True):
    cheap = {"latency_ms": latency}
    both = {"accuracy": accuracy, "latency_ms": latency}
    return Record(
        id=f"{number:012d}",
        generation=number // 3,
        genome=(number, 1),
        violation=violation,
        objectives=both if evaluated else cheap,
        constraints={"params <= 9": 7, "latency_ms <= 9": latency},
        metrics={"params": 7, "latency_ms": latency} | ({"accuracy": accuracy, "cwv": None} if evaluated else {}),
        groups={"sex": {"female": accuracy, "male": None}} if evaluated else None,
    )


RECORDS = [
    network(0, 0.99, 20.0, violation=0.2, evaluated=False),
    network(1, 0.90, 5.0),
    network(2, 0.80, 3.0),
    network(3, 0.80, 4.0),  # dominated by 2
    network(4, 0.90, 5.0),  # equal to 1
    network(5, 0.99, 1.0, violation=0.1),
    network(6, 0.95, 8.0),
]


@pytest.fixture
def networks():
    return networks_frame(RECORDS, AXES)


def test_a_row_a_network_in_reading_order(networks):
    assert list(networks.columns) == [
        *("id", "generation", "evaluated", "feasible", "front", "violation"),
        *("accuracy", "latency_ms", "params", "cwv", "accuracy[sex:female]", "accuracy[sex:male]", "genome"),
    ]
    assert networks["id"].tolist() == [record.id for record in RECORDS]
    assert networks["feasible"].tolist() == [False, True, True, True, True, False, True]
    assert networks["front"].tolist() == [False, True, True, False, True, False, True]
    assert np.isnan(networks.loc[0, "accuracy"])
    assert networks["params"].dtype == np.int64
    assert networks["cwv"].dtype == np.float64


def test_the_front_is_sorted_and_keeps_ties(networks):
    front = front_of(networks, AXES)
    assert front["id"].str.lstrip("0").tolist() == ["6", "1", "4", "2"]
    assert front["accuracy"].tolist() == [0.95, 0.90, 0.90, 0.80]
    assert list(front.columns) == ["id", "accuracy", "latency_ms", "params", "accuracy[sex:female]", "genome"]
    assert [genome_of(text) for text in front["genome"]] == [(6, 1), (1, 1), (4, 1), (2, 1)]


def test_the_front_does_not_depend_on_the_order_of_the_networks():
    shuffled = networks_frame(RECORDS[::-1], AXES)
    pd.testing.assert_frame_equal(front_of(shuffled, AXES), front_of(networks_frame(RECORDS, AXES), AXES))


def test_a_front_is_read_back_exactly(networks, tmp_path):
    front = front_of(networks, AXES)
    write_front(tmp_path / "front.csv", front)
    assert (tmp_path / "front.csv").read_text().splitlines()[1] == "000000000006,0.95,8.0,7,0.95,6 1"
    pd.testing.assert_frame_equal(read_front(tmp_path / "front.csv"), front)


def test_without_networks_the_frames_are_empty_but_whole(tmp_path):
    empty = networks_frame([], AXES)
    assert empty.empty
    front = front_of(empty, AXES)
    assert list(front.columns) == ["id", "accuracy", "latency_ms", "genome"]
    write_front(tmp_path / "front.csv", front)
    assert read_front(tmp_path / "front.csv").empty


@pytest.mark.parametrize("text", [None, "", "a,b\n1,2\n", 'id,genome\n"1'])
def test_what_is_no_front_is_refused(tmp_path, text):
    if text is not None:
        (tmp_path / "front.csv").write_text(text)
    with pytest.raises(RunError, match=r"front\.csv"):
        read_front(tmp_path / "front.csv")


def test_no_network_of_a_search_beats_its_front(tmp_path):
    plan = make_plan("latency_ms <= 6", "accuracy >= 0.6", budget=100)
    outcome = search(plan, FakeSpace(), FakeEvaluator(), tmp_path / "journal.jsonl", tmp_path / "checkpoint.npz")
    networks = networks_frame(outcome.records, plan.objectives)
    front = front_of(networks, plan.objectives)
    names = [axis.name for axis in plan.objectives]
    assert len(front) > 0
    assert (front["latency_ms"] <= 6).all()
    assert (front["accuracy"] >= 0.6).all()
    feasible = networks.loc[networks["feasible"], names].to_numpy()
    for point in front[names].to_numpy():
        assert not ((feasible <= point).all(axis=1) & (feasible < point).any(axis=1)).any()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("../../x,0.5,3,1 2", "row 2, column 'id': '../../x' is no network's id"),
        ("b,red,3,1 2", "row 2, column 'accuracy': 'red' is no number"),
        ("b,,3,1 2", "row 2, column 'accuracy' is empty"),
        ("b,0.5,3,5e-324", "row 2, column 'genome': '5e-324' is no genome"),
        ("b,0.5,3,1 -2", "row 2, column 'genome': '1 -2' is no genome"),
        ("b,0.5,3,", "row 2, column 'genome' is empty"),
        ("b,0.5", "row 2 has 2 cells, and its header 4"),
        ("a,0.5,3,1 2", "two rows with the id 'a'"),
    ],
)
def test_a_damaged_front_is_refused_naming_row_and_column(tmp_path, row, message):
    path = tmp_path / "front.csv"
    path.write_text(f"id,accuracy,latency_ms,genome\na,0.5,3,1 2\n{row}\n")
    with pytest.raises(RunError, match=message):
        read_front(path, AXES)


def test_a_front_that_lacks_an_objective_is_refused(tmp_path):
    (tmp_path / "front.csv").write_text("id,accuracy,genome\na,0.5,1 2\n")
    with pytest.raises(RunError, match="has no column 'latency_ms': restore it, or search again"):
        read_front(tmp_path / "front.csv", AXES)
    (tmp_path / "journal.jsonl").write_text("")
    told = r"has no column 'latency_ms': delete it, and 'evo-fair search' with --resume makes it again from journal"
    with pytest.raises(RunError, match=told):
        read_front(tmp_path / "front.csv", AXES)


def test_a_front_of_networks_that_the_space_does_not_have_is_refused(tmp_path):
    space = FakeSpace()
    genomes = space.sample(np.random.default_rng(0), 3)
    front = pd.DataFrame({"id": space.ids(genomes), "genome": [" ".join(map(str, genome)) for genome in genomes]})
    check_front(tmp_path, front, space)
    for column, value in (("id", "0123456789ab"), ("genome", "9 9 9 9 9 9"), ("genome", "1 1")):
        damaged = front.copy()
        damaged.loc[1, column] = value
        with pytest.raises(RunError, match=r"the front of .* is damaged, network 2 of it: "):
            check_front(tmp_path, damaged, space)
