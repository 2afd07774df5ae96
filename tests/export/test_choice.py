"""Which networks of a front are deployed."""

import numpy as np
import pandas as pd
import pytest

from evo_fair.errors import RunError, UnknownNameError
from evo_fair.evolution import Axis
from evo_fair.export.choice import choose_networks, usual_choice

AXES = (Axis("error", "min", "", ""), Axis("speed", "max", "", ""))
FRONT = pd.DataFrame(
    {"id": ["slow", "middle", "odd", "fast"], "error": [0.1, 0.15, 0.28, 0.3], "speed": [1.0, 8.0, 8.5, 10.0]}
)


def test_usual_choice_is_the_best_in_each_objective_and_one_between_them() -> None:
    """Scaled to 0 to 1, `middle` is (0.25, 2/9) away from the best, nearer than any other."""
    assert usual_choice(FRONT, AXES) == ["slow", "fast", "middle"]


def test_one_network_is_the_choice_of_every_objective() -> None:
    assert usual_choice(FRONT[:1], AXES) == ["slow"]


def test_named_networks_come_in_their_order_once() -> None:
    assert choose_networks(FRONT, AXES, ["fast", "slow", "fast"]) == ["fast", "slow"]
    assert choose_networks(FRONT, AXES, ["all"]) == ["slow", "middle", "odd", "fast"]


def test_unknown_network_and_empty_front_are_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown network of the front 'fats': .*did you mean 'fast'"):
        choose_networks(FRONT, AXES, ["fats"])
    with pytest.raises(UnknownNameError, match=r"odd, fast, or all; give --network once for each; did you mean"):
        choose_networks(FRONT, AXES, ["slow,fast"])
    with pytest.raises(RunError, match="front is empty"):
        choose_networks(FRONT[:0], AXES, None)


def test_equal_values_of_an_objective_do_no_harm() -> None:
    front = FRONT.assign(speed=np.ones(4))
    assert usual_choice(front, AXES) == ["slow"]
