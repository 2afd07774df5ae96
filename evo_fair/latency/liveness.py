"""How many values of a graph's tensors are alive at once: each tensor from what makes it to what reads it last."""

from collections.abc import Iterable, Mapping

__all__ = ["Liveness"]


class Liveness:
    """What a graph's operators read and write, in order; the first writes the graph's inputs.

    A tensor that is a view of another, or made of it in place, shares its storage.
    """

    def __init__(self) -> None:
        self._values: dict[str, int] = {}
        self._storage: dict[str, str] = {}
        self._steps: list[tuple[set[str], set[str]]] = []

    def share(self, name: str, source: str) -> None:
        """Gives the tensor `name` the storage of `source`."""
        self._storage[name] = self._storage.get(source, source)

    def run(self, reads: Iterable[str], writes: Mapping[str, int]) -> None:
        """Adds an operator that reads some tensors and makes others, by the number of their values."""
        self._steps.append(({self._storage.get(name, name) for name in reads}, set(writes)))
        self._values.update(writes)
        self._storage.update({name: name for name in writes})

    def mark(self) -> int:
        """How many operators there are so far."""
        return len(self._steps)

    def forget(self, mark: int) -> None:
        """Forgets the operators that were added since `mark`."""
        del self._steps[mark:]

    def peak(self, kept: Iterable[str]) -> int:
        """The most values alive at once; the tensors `kept` live to the end, others to their last use."""
        alive = {self._storage.get(name, name) for name in kept}
        total = sum(self._values.get(name, 0) for name in alive)
        most = 0
        for reads, writes in reversed(self._steps):
            begun = (reads | writes) - alive
            alive |= begun
            total += sum(self._values.get(name, 0) for name in begun)
            most = max(most, total)
            total -= sum(self._values.get(name, 0) for name in writes)
            alive -= writes
        return most
