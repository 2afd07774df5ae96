"""What long jobs tell while they run."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evo_fair.data import Dataset
    from evo_fair.evolution import Outcome, Progress
    from evo_fair.nets import Step
    from evo_fair.own import NetworkSpace
    from evo_fair.space import SearchSpace

__all__ = ["Listener"]


class Listener:
    """Hears how far a job is: a search, a training, a deployment, a pruning, an audit, a calibration.

    Each method does nothing; override what is wanted. What one raises ends the job, which can be gone on with.
    """

    def prepared(self, dataset: "Dataset", space: "SearchSpace | NetworkSpace") -> None:
        """Data and space have been loaded and checked."""

    def waiting(self, reason: str) -> None:
        """Another process is at work on what is needed; it is waited for."""

    def training(self, step: "Step") -> None:
        """An epoch of the supernet's training has ended."""

    def training_resumed(self, step: "Step") -> None:
        """A broken-off training of the supernet goes on after this epoch."""

    def frozen(self, blocks: "tuple[str, ...]", before: "SearchSpace", after: "SearchSpace") -> None:
        """The first blocks have been frozen, perhaps none; the search space before and after."""

    def searching(self, progress: "Progress") -> None:
        """A generation has ended."""

    def ended(self, outcome: "Outcome") -> None:
        """The search has ended: by its budget, or before, for want of new networks."""

    def undrawn(self, reason: str) -> None:
        """The run is whole but for its figures, which can't be drawn."""

    def exporting(self, done: int, networks: int) -> None:
        """A network of the front has been written and checked."""

    def tuning(self, network: str, step: "Step") -> None:
        """An epoch of the training of one network has ended."""

    def trained(self, done: int, trainings: int) -> None:
        """A network that the search chose has been trained, and its results are written down."""

    def deployed(self, done: int, networks: int) -> None:
        """A network has been trained, written and checked."""

    def timing(self, done: int, rounds: int) -> None:
        """A round of latency measurements has ended."""

    def pruned(self, network: str, done: int, networks: int) -> None:
        """A pruned network has been made, written and checked, or was there already."""

    def audited(self, done: int, networks: int, rate: float) -> None:
        """A part of an audit has been measured; `rate` is in networks a second, of this call."""

    def calibrating(self, stage: str, done: int, total: int) -> None:
        """A step of a stage of a calibration, such as timing, has ended."""

    def noted(self, line: str) -> None:
        """Something that the user may want to know, in a sentence; it keeps nothing from going on."""

    def warned(self, line: str) -> None:
        """What throws doubt on the result, in a sentence."""
