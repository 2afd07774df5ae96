"""Programs of whole stages for the proxy's kernels, whose batch norms are folded."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from evo_fair.own.steps import INPUT, ForwardStage, ForwardStep
from evo_fair.proxy.block_programs import Images, load
from evo_fair.proxy.program import Buffer, Layer, Program, Writer

__all__ = ["FoldedStage", "stages_program", "write_step"]


class FoldedStage(NamedTuple):
    """A stage with the layers of its steps, batch norm folded in, by the steps' numbers."""

    stage: ForwardStage
    layers: Mapping[int, Layer]


class _Placed(NamedTuple):
    """A step whose values are counted from the chain's input on, which is the first."""

    step: ForwardStep
    layer: Layer | None
    source: int
    added: int | None

    @property
    def reads(self) -> list[int]:
        """The values that it takes, each once."""
        return list(dict.fromkeys(value for value in (self.source, self.added) if value is not None))


def stages_program(chain: Sequence[FoldedStage], images: Images) -> Program:
    """The program from images through stages to what the last one gives.

    A map's slot is free for another one once the last step has read it.
    """
    writer = Writer()
    steps = _placed(chain)
    last_read = {value: number for number, placed in enumerate(steps) for value in placed.reads}
    borders: dict[int, int] = {}
    for placed in steps:
        borders[placed.source] = max(borders.get(placed.source, 0), placed.step.reach)
    x = writer.buffer(0, images.height, images.width, images.channels, borders.get(0, 0))
    load(writer, 0, images, x)
    buffers, free = {0: x}, list[int]()
    for number, placed in enumerate(steps):
        source, step = buffers[placed.source], placed.step
        channels = len(placed.layer.bias) if placed.layer else source.channels
        slot = free.pop() if free else len(buffers)
        y = writer.buffer(slot, step.size(source.height), step.size(source.width), channels, borders.get(number + 1, 0))
        added = None if placed.added is None else buffers[placed.added]
        write_step(writer, step, placed.layer, source, y, added=added, relu=step.relu)
        buffers[number + 1] = y
        free += [buffers[value].slot for value in placed.reads if last_read[value] == number]
    writer.store(buffers[len(steps)])
    return writer.program()


def write_step(
    writer: Writer,
    step: ForwardStep,
    layer: Layer | None,
    x: Buffer,
    y: Buffer,
    *,
    added: Buffer | None = None,
    relu: int,
) -> None:
    """Writes what a step makes of `x` into `y`."""
    if step.kind == "depthwise":
        assert layer is not None
        writer.depthwise(x, y, layer, step.kernel, step.stride, relu=relu)
    elif layer is not None:
        writer.dense(x, y, layer, step.kernel, step.stride, residual=added, relu=relu)
    elif step.kind == "max_pool":
        writer.max_pool(x, y, step.kernel, step.stride, step.reach)
    elif step.kind == "mean":
        writer.pool(x, y)
    else:
        writer.scale(x, y, relu=0 if added is not None else relu)
        if added is not None:
            writer.scale(added, y, add=True, relu=relu)


def _placed(chain: Sequence[FoldedStage]) -> list[_Placed]:
    placed: list[_Placed] = []
    taken = 0
    for folded in chain:
        first = len(placed) + 1

        def place(value: int, first: int = first, taken: int = taken) -> int:
            return taken if value == INPUT else first + value

        for number, step in enumerate(folded.stage.steps):
            added = None if step.added is None else place(step.added)
            placed.append(_Placed(step, folded.layers.get(number), place(step.source), added))
        taken = len(placed)
    return placed
