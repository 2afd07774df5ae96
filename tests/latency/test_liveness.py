"""Tensors alive at once, on graphs small enough to count by hand."""

from evo_fair.latency.liveness import Liveness


def test_a_tensor_lives_to_its_last_use() -> None:
    alive = Liveness()
    alive.run((), {"x": 10})
    alive.run(["x"], {"a": 20})
    alive.run(["a"], {"b": 5})
    alive.run(["b"], {"c": 24})
    assert alive.peak(["c"]) == 10 + 20
    alive.run(["c", "x"], {"d": 1})
    assert alive.peak(["d"]) == 10 + 5 + 24
    assert alive.peak(["d", "a"]) == 10 + 20 + 5 + 24


def test_what_is_made_in_place_needs_no_room_but_keeps_its_own() -> None:
    alive = Liveness()
    alive.run((), {"x": 10})
    alive.run(["x"], {"a": 20})
    alive.share("view", "a")
    alive.run(["x"], {"b": 4})
    alive.run(["view", "b"], {"c": 1})
    assert alive.peak(["c"]) == 10 + 20 + 4


def test_inputs_and_results_that_nobody_reads_count() -> None:
    alive = Liveness()
    alive.run((), {"x": 10, "unused": 7})
    assert alive.peak([]) == 17
    alive.run(["x"], {"a": 1, "b": 8})
    assert alive.peak(["a"]) == 10 + 1 + 8
