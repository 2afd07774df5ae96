"""What long jobs tell while they run."""

from typing import TYPE_CHECKING

from evo_fair.errors import EvoFairError, quote

if TYPE_CHECKING:
    from pathlib import Path

    from evo_fair.data import Dataset
    from evo_fair.evolution import Outcome, Progress
    from evo_fair.nets import Step
    from evo_fair.own import NetworkSpace
    from evo_fair.space import SearchSpace

__all__ = ["Listener", "as_listener"]


class Listener:
    """Hears how far a job is: a search, a training, a deployment, a pruning, an audit, a calibration.

    Each method does nothing; override what is wanted. What one raises ends the job,
    which can be resumed.

    Example:
        >>> class Generations(ef.Listener):
        ...     def searching(self, progress):
        ...         print(progress.evaluated, "of", progress.budget)
        >>> run = ef.search("digits", budget=16, population=8, out="results/heard", listener=Generations())
        8 of 16
        16 of 16
    """

    def writing(self, folder: "Path") -> None:
        """The input has been checked, and the job begins or goes on in its folder.

        Args:
            folder: The folder that it writes into.
        """

    def prepared(self, dataset: "Dataset", space: "SearchSpace | NetworkSpace") -> None:
        """Data and space have been loaded and checked.

        Args:
            dataset: The data set.
            space: The search space: of the problem, or of the network that is searched.
        """

    def waiting(self, reason: str) -> None:
        """Another process is at work on what is needed; this one waits for it.

        Args:
            reason: What is waited for, in a sentence.
        """

    def training(self, step: "Step") -> None:
        """An epoch of the supernet's training has ended.

        Args:
            step: `epoch`, how many have ended, of `epochs`, and the mean `loss` of that
                epoch.
        """

    def training_resumed(self, step: "Step") -> None:
        """A broken-off training of the supernet goes on after this epoch.

        Args:
            step: The last epoch that was finished, as in `training`.
        """

    def frozen(self, blocks: "tuple[str, ...]", before: "SearchSpace", after: "SearchSpace") -> None:
        """The first blocks have been frozen, perhaps none.

        Args:
            blocks: The names of the frozen blocks.
            before: The search space with all its blocks.
            after: The search space that is left.
        """

    def searching(self, progress: "Progress") -> None:
        """A generation has ended.

        Args:
            progress: `generation`, `evaluated`, `budget`, `proposed` and `feasible`
                networks, `hypervolume`, `networks_per_second` and `seconds_left` (None
                while it is not known).
        """

    def ended(self, outcome: "Outcome") -> None:
        """The search has ended: by its budget, or before, for want of new networks.

        Args:
            outcome: `records` (the journal), `generations`, `evaluated`, `reason`,
                `hypervolume` and its `box`.
        """

    def undrawn(self, reason: str) -> None:
        """The run is whole but for its figures, which can't be drawn.

        Args:
            reason: Why not, in a sentence.
        """

    def exporting(self, done: int, networks: int) -> None:
        """A network of the front has been written and checked.

        Args:
            done: How many are written.
            networks: How many there are on the front.
        """

    def tuning(self, network: str, step: "Step") -> None:
        """An epoch of the training of one network has ended.

        Args:
            network: The network's id or name.
            step: The epoch, as in `training`.
        """

    def trained(self, done: int, trainings: int) -> None:
        """A network that the search chose has been trained, and its results are written down.

        Args:
            done: How many are trained.
            trainings: How many are to be trained.
        """

    def deployed(self, done: int, networks: int) -> None:
        """A network has been trained, written and checked.

        Args:
            done: How many are finished.
            networks: How many are to be deployed.
        """

    def timing(self, done: int, rounds: int) -> None:
        """A round of latency measurements has ended.

        Args:
            done: How many rounds are finished.
            rounds: How many there are.
        """

    def pruned(self, network: str, done: int, networks: int) -> None:
        """A pruned network has been made, written and checked, or was there already.

        Args:
            network: The pruned network's name.
            done: How many are finished.
            networks: How many there are.
        """

    def audited(self, done: int, networks: int, rate: float) -> None:
        """A part of an audit has been measured.

        Args:
            done: How many networks are measured.
            networks: How many there are.
            rate: Networks a second, of this call.
        """

    def calibrating(self, stage: str, done: int, total: int) -> None:
        """A step of a stage of a calibration, such as timing, has ended.

        Args:
            stage: The stage, in a word or two.
            done: How many of its steps are finished.
            total: How many there are.
        """

    def noted(self, line: str) -> None:
        """Something that the user may want to know; it keeps nothing from going on.

        Args:
            line: What it is, in a sentence.
        """

    def warned(self, line: str) -> None:
        """Something throws doubt on the result.

        Args:
            line: What it is, in a sentence.
        """


def as_listener(given: Listener | None) -> Listener:
    """The listener that was given, or one that hears nothing; raises `EvoFairError` for anything else.

    Args:
        given: What the caller of a job gave.
    """
    if given is None:
        return Listener()
    if not isinstance(given, Listener):
        raise EvoFairError(f"listener {quote(given)} is no evo_fair.Listener: give an instance of one, or leave it out")
    return given
