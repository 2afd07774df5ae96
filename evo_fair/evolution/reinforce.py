"""An RL controller after FaHaNa (2022): a recurrent network that proposes genomes, taught by REINFORCE.

The reward of a network within all limits is ALPHA * accuracy - BETA * unfairness; of any other it is -1 - violation,
so that a network over a cheap limit, such as one on latency, is refused without an evaluation. The run's objectives
say what these are: each predictive one states what it `measures`, an accuracy (an error e counts as 1 - e) or an
unfairness, and of several of a kind the mean counts. Cheap objectives give no reward: a controller knows of them
through limits alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from evo_fair.errors import ObjectiveError
from evo_fair.evolution.controller import fresh_parameters, policy_gradient, sample
from evo_fair.evolution.evaluator import Genomes, Space
from evo_fair.evolution.objectives import Objective
from evo_fair.evolution.start import Initial
from evo_fair.evolution.strategy import State
from evo_fair.registries import strategy

__all__ = ["ALPHA", "BETA", "Reinforce", "Reward"]

ALPHA, BETA = 1.0, 1.0
"""What accuracy and unfairness weigh."""

_HIDDEN, _WIDTH = 64, 32
_LEARNING_RATE = 0.01
_MEMORY = 0.9
"""How much of the moving baseline a generation leaves."""

_MOMENTS = (0.9, 0.999)
_PARAMETER, _FIRST, _SECOND = "parameter.", "first.", "second."


class Reward:
    """The reward for minimised objectives.

    Raises `ObjectiveError` if accuracy or unfairness isn't among them, and for one that doesn't say which it is.
    """

    def __init__(self, objectives: Sequence[Objective]) -> None:
        predictive = [(place, goal) for place, goal in enumerate(objectives) if not goal.cheap]
        unsaid = next((goal.name for _, goal in predictive if not goal.measures), None)
        if unsaid is not None:
            raise ObjectiveError(
                f"reinforce rewards accuracy less unfairness, and objective {unsaid!r} does not say which it is: "
                "state measures='accuracy' (for an error, too) or measures='unfairness' where it is defined"
            )
        self._accuracies = [place for place, goal in predictive if goal.measures == "accuracy"]
        self._unfairnesses = [place for place, goal in predictive if goal.measures == "unfairness"]
        for kind, places, example in (
            ("an accuracy or error", self._accuracies, "error"),
            ("an unfairness", self._unfairnesses, "unfairness"),
        ):
            if not places:
                names = ", ".join(goal.name for goal in objectives)
                raise ObjectiveError(
                    f"reinforce rewards accuracy less unfairness, and {names} has no objective that is {kind}: "
                    f"add one, such as {example}, or choose another algorithm"
                )
        # An accuracy that is maximised comes as its negative.
        self._whole = np.array([0.0 if objectives[place].direction == "max" else 1.0 for place in self._accuracies])

    def __call__(
        self, objectives: npt.NDArray[np.float64], violations: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        """float64 `[networks]`, of minimised objectives `[networks, objectives]` and violations `[networks]`."""
        accuracy = (self._whole - objectives[:, self._accuracies]).mean(axis=1)
        unfairness = objectives[:, self._unfairnesses].mean(axis=1)
        return np.where(violations > 0, -1.0 - violations, ALPHA * accuracy - BETA * unfairness)


@strategy("reinforce")
class Reinforce:
    """A controller that takes one step by Adam a generation, on the rewards of all that it has proposed for it."""

    reviews: ClassVar[bool] = True

    def __init__(
        self,
        space: Space,
        rng: np.random.Generator,
        population: int,
        objectives: Sequence[Objective],
        initial: Initial = "spread",
    ) -> None:
        del population, initial
        self._space = space
        self._rng = rng
        self._reward = Reward(objectives)
        self._parameters = dict(fresh_parameters(space.cardinalities, _HIDDEN, _WIDTH, rng))
        self._first = {name: np.zeros_like(value) for name, value in self._parameters.items()}
        self._second = {name: np.zeros_like(value) for name, value in self._parameters.items()}
        self._steps = 0
        self._baseline = 0.0
        self._proposed: list[Genomes] = []

    @staticmethod
    def check_objectives(objectives: Sequence[Objective]) -> None:
        """Refuses objectives for which there is no reward: see `Reward`.

        Args:
            objectives: The objectives.

        Raises:
            ObjectiveError: There is no reward for them.
        """
        Reward(objectives)

    def ask(self, n: int) -> Genomes:
        """`n` genomes that the controller draws."""
        with threadpool_limits(1):  # sums depend on the number of threads
            genomes = sample(self._parameters, self._space.cardinalities, self._rng, n)
        self._proposed.append(genomes)
        return genomes

    def tell(self, genomes: Genomes, objectives: npt.NDArray[np.float64], violations: npt.NDArray[np.float64]) -> None:
        """Learns from its proposals since it was last told; what is told of other genomes changes nothing.

        Args:
            genomes: Canonical genomes, int16 `[networks, genes]`.
            objectives: Their minimised objectives, float64 `[networks, objectives]`.
            violations: How far each breaks the constraints, float64 `[networks]`.
        """
        proposed = np.concatenate([*self._proposed, np.empty((0, len(self._space.gene_names)), np.int16)])
        self._proposed = []
        told = {genome.tobytes(): place for place, genome in enumerate(self._space.canonical(genomes))}
        places = np.array([told.get(genome.tobytes(), -1) for genome in self._space.canonical(proposed)], np.int64)
        known = places >= 0
        if known.any():
            # The genes as they were drawn: those that canonical form resets were decisions like the others.
            self._learn(proposed[known], self._reward(objectives, violations)[places[known]])

    def _learn(self, genomes: Genomes, rewards: npt.NDArray[np.float64]) -> None:
        if self._steps == 0:
            self._baseline = float(rewards.mean())
        weights = (rewards - self._baseline) / len(rewards)
        with threadpool_limits(1):
            gradient = policy_gradient(self._parameters, self._space.cardinalities, genomes, weights)
        self._baseline = _MEMORY * self._baseline + (1.0 - _MEMORY) * float(rewards.mean())
        self._steps += 1
        # Adam (Kingma and Ba 2015), upwards.
        for name, slope in gradient.items():
            self._first[name] = _MOMENTS[0] * self._first[name] + (1.0 - _MOMENTS[0]) * slope
            self._second[name] = _MOMENTS[1] * self._second[name] + (1.0 - _MOMENTS[1]) * slope**2
            mean = self._first[name] / (1.0 - _MOMENTS[0] ** self._steps)
            square = self._second[name] / (1.0 - _MOMENTS[1] ** self._steps)
            self._parameters[name] = self._parameters[name] + _LEARNING_RATE * mean / (np.sqrt(square) + 1e-8)

    def state(self) -> State:
        """The controller, Adam's moments, the baseline and the number of steps."""
        arrays: State = {"steps": np.array(self._steps), "baseline": np.array(self._baseline)}
        for prefix, values in self._arrays():
            arrays |= {prefix + name: value.copy() for name, value in values.items()}
        return arrays

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Takes up what `state` gave; raises `KeyError` or `ValueError` for arrays that don't fit the space."""
        for prefix, values in self._arrays():
            for name, value in values.items():
                saved = np.asarray(state[prefix + name], np.float64)
                if saved.shape != value.shape:
                    raise ValueError(f"{prefix}{name} of shape {saved.shape} does not fit the space: {value.shape}")
                values[name] = saved.copy()
        self._steps, self._baseline = int(state["steps"]), float(state["baseline"])
        self._proposed = []

    def _arrays(self) -> tuple[tuple[str, dict[str, npt.NDArray[np.float64]]], ...]:
        return (_PARAMETER, self._parameters), (_FIRST, self._first), (_SECOND, self._second)
