"""The checkpoint: a strategy's state and the Generator's between two generations, as arrays and text without pickle.

It only spares time: whatever is wrong with it, the journal alone is enough to go on. So it is held to the hash of its
own content, and one that was changed counts as none.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evo_fair.arrays import read_arrays
from evo_fair.evolution.journal import FORMAT
from evo_fair.evolution.record import Record
from evo_fair.evolution.strategy import State
from evo_fair.files import atomic_write, digest

__all__ = ["Checkpoint", "read_checkpoint", "write_checkpoint"]

_STATE = "state."
_MOST_BYTES = 2**28


@dataclass(frozen=True)
class Checkpoint:
    """Where a search stands after `generation` generations and `lines` lines of its journal, the last one `last`'s."""

    algorithm: str
    generation: int
    lines: int
    last: str
    random: dict[str, Any]
    state: State

    def fits(self, algorithm: str, records: Sequence[Record]) -> bool:
        """Whether it belongs to this strategy and to this journal, or one that goes on from there.

        Args:
            algorithm: What the strategy is called.
            records: The journal's records.

        Returns:
            True where the search can go on from it.
        """
        if self.algorithm != algorithm or not 0 < self.lines <= len(records):
            return False
        last = records[self.lines - 1]
        return last.id == self.last and last.generation == self.generation - 1


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint, atomically.

    Args:
        path: The file.
        checkpoint: The checkpoint.

    Raises:
        StorageError: It can't be written.
    """
    head = {
        "format": FORMAT,
        "algorithm": checkpoint.algorithm,
        "generation": checkpoint.generation,
        "lines": checkpoint.lines,
        "last": checkpoint.last,
        "random": checkpoint.random,
    }
    head["content"] = _hash(head, checkpoint.state)
    arrays = {f"{_STATE}{name}": array for name, array in checkpoint.state.items()}
    with atomic_write(path) as temporary:
        np.savez(temporary, allow_pickle=False, head=np.array(json.dumps(head)), **arrays)


def read_checkpoint(path: Path) -> Checkpoint | None:
    """Reads a checkpoint.

    Args:
        path: The file.

    Returns:
        The checkpoint; None if there is none that can be read, or one whose content is
        not what was written.
    """
    try:
        arrays = read_arrays(path, _MOST_BYTES)
        head = json.loads(str(arrays.pop("head")))
        state = {name.removeprefix(_STATE): array for name, array in arrays.items()}
        if head.pop("content") != _hash(head, state) or head.pop("format") != FORMAT:
            return None
        if not (_number(head["generation"]) and _number(head["lines"]) and isinstance(head["random"], dict)):
            return None
        return Checkpoint(state=state, **head)
    except (OSError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
        return None


def _number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _hash(head: dict[str, Any], state: State) -> str:
    """A hash of all that a checkpoint says."""
    arrays = ((name, str((array.dtype, array.shape)), array.tobytes()) for name, array in sorted(state.items()))
    return digest(json.dumps(head, sort_keys=True), *(part for parts in arrays for part in parts))
