"""Trains the networks of a search's records, in this process or by workers."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from evo_fair.evolution import Record
from evo_fair.export.alone import AloneTraining
from evo_fair.jobs.listener import Listener
from evo_fair.jobs.workers import Team
from evo_fair.nets.inputs import Normalised
from evo_fair.nets.network import for_inference
from evo_fair.proxy import predict_labels

__all__ = ["trainer"]

TrainedRecords = Iterator[tuple[Record, npt.NDArray[np.uint8]]]
"""Records in the order in which they were chosen, and the labels that their trained networks predict."""


@contextmanager
def trainer(
    team: Team | None, shop: AloneTraining, listener: Listener
) -> Iterator[Callable[[Sequence[Record]], TrainedRecords]]:
    """What trains the networks of records, in this process or by a team, which leaves out what no worker survives."""
    if team is None:

        def here(records: Sequence[Record]) -> TrainedRecords:
            for record in records:
                yield record, _labels(shop, record, listener)

        yield here
        return
    with team.loaded(_TrainingWork(shop)) as load:

        def there(records: Sequence[Record]) -> TrainedRecords:
            kept = [record for record in records if shop.keeps(record.id, record.genome)]
            found = {record.id: _labels(shop, record, listener) for record in kept}
            others, waiting = [record for record in records if record not in kept], list(records)
            made = team.each(load, others, lambda record: f"the training of {record.id}")
            for number, (files, labels) in made:
                shop.keep_files(others[number].id, files)
                found[others[number].id] = labels
                while waiting and waiting[0].id in found:
                    yield waiting[0], found[waiting.pop(0).id]
            yield from ((record, found[record.id]) for record in waiting if record.id in found)

        yield there


@dataclass(frozen=True)
class _TrainingWork:
    """What a worker calls with a record: trains its network in a folder that is gone afterwards."""

    shop: AloneTraining

    def __call__(self, record: Record) -> tuple[dict[str, bytes], npt.NDArray[np.uint8]]:
        """The files of the trained network, and the labels that it predicts."""
        with TemporaryDirectory(prefix="evo-fair-") as folder:
            shop = replace(self.shop, folder=Path(folder))
            labels = _labels(shop, record, Listener())
            return shop.kept_files(record.id), labels


def _labels(shop: AloneTraining, record: Record, listener: Listener) -> npt.NDArray[np.uint8]:
    """What a record's network, trained now or kept, predicts of the validation part: uint8 `[samples]`."""
    network = shop.network(record.id, record.genome, lambda step: listener.tuning(record.id, step))
    validation = Normalised(shop.dataset.samples("validation"), shop.scaling)
    return predict_labels(for_inference(network), validation, shop.device)
