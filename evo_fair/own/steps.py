"""A network's forward as steps that the proxy's kernels know, found by following it once with torch's tracing.

Convolutions, plain and depthwise, take their batch norm, what is added to them and their activation along. The steps
fall into stages, between which a single feature map is handed on: networks that keep the same channels up to a stage
compute the same there.
"""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import fx, nn
from torch.nn import functional

from evo_fair.pruning.structure import computes_weights

__all__ = ["INPUT", "ForwardStage", "ForwardStep", "follow_steps", "stages_of"]

INPUT = -1
"""The number of the network's input among its values; the others have those of the steps that make them."""

StepKind = Literal["convolution", "depthwise", "linear", "sum", "max_pool", "mean"]


@dataclass(frozen=True)
class ForwardStep:
    """What makes a value of a network: `relu(norm(layer(source)) + added)`.

    `source` and `added` are numbers of values. `layer` and `norm` are names of modules, empty where there is none. A
    window of `kernel` pixels a side goes over a map that is filled up by `reach` zeros on each side. `relu` is 1 for
    ReLU, 6 for ReLU6, and 0 for none.
    """

    kind: StepKind
    source: int
    layer: str = ""
    norm: str = ""
    added: int | None = None
    kernel: int = 1
    stride: int = 1
    reach: int = 0
    relu: int = 0

    @property
    def reads(self) -> tuple[int, ...]:
        """The values that it takes."""
        return (self.source,) if self.added is None else (self.source, self.added)

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules whose weights it takes."""
        return tuple(name for name in (self.layer, self.norm) if name)

    def size(self, pixels: int) -> int:
        """Pixels a side of what it makes of a map."""
        return 1 if self.kind == "mean" else (pixels + 2 * self.reach - self.kernel) // self.stride + 1


@dataclass(frozen=True)
class ForwardStage:
    """Steps that take one map and make one: `INPUT` is what they take, other values count from the first step.

    `groups` are the names of the channel groups that their weights belong to, `block` is the module that they are,
    None where they are none that can be left out.
    """

    steps: tuple[ForwardStep, ...]
    groups: tuple[str, ...]
    block: str | None = None

    def sizes(self, size: tuple[int, int]) -> dict[int, tuple[int, int]]:
        """Height and width of what it takes, which are given, and of what each of its steps makes."""
        sizes = {INPUT: size}
        for number, step in enumerate(self.steps):
            height, width = sizes[step.source]
            sizes[number] = step.size(height), step.size(width)
        return sizes

    @property
    def last_layer(self) -> ForwardStep | None:
        """The step whose channels it hands on, None where they are those that it takes."""
        number = len(self.steps) - 1
        while number != INPUT and (not self.steps[number].layer):
            number = self.steps[number].source
        return None if number == INPUT else self.steps[number]


class _UnknownError(Exception):
    """The forward has a part that the kernels don't know."""


@torch.no_grad()
def follow_steps(network: nn.Module, images: bool) -> tuple[ForwardStep, ...] | None:
    """The steps of a network in evaluation mode that takes `images`, or else rows of numbers.

    None where its forward can't be followed, or has other parts than such steps.
    """
    try:
        graph = fx.symbolic_trace(network).graph
    except Exception:  # tracing can fail in any way on a user's forward
        return None
    follower = _Follower(dict(network.named_modules()), images)
    try:
        for node in graph.nodes:
            follower.take(node)
    except (_UnknownError, AttributeError, IndexError, KeyError, TypeError, ValueError):
        return None  # arguments that no tensor of ours can have
    return follower.finished()


def stages_of(
    steps: Sequence[ForwardStep], groups_of: Mapping[str, Sequence[str]], blocks: Sequence[str] = ()
) -> tuple[ForwardStage, ...]:
    """The stages of steps; `groups_of` names by module the channel groups that its weights belong to.

    A stage goes on as long as what follows depends on no other group: then nothing more could be shared before it. Each
    of `blocks`, which can be left out, is a stage of its own. Raises `ValueError` where one is not.
    """
    last_read = {value: number for number, step in enumerate(steps) for value in step.reads}
    found: list[ForwardStage] = []
    start = 0
    for number in range(len(steps)):
        if number < len(steps) - 1 and any(last > number for value, last in last_read.items() if value < number):
            continue  # more than one value is still wanted
        own = steps[start : number + 1]
        groups = tuple(dict.fromkeys(group for step in own for name in step.modules for group in groups_of[name]))
        before, block = found[-1] if found else None, _block_of(own, blocks)
        if before is not None and set(groups) <= set(before.groups) and block == before.block:
            found[-1] = ForwardStage((*before.steps, *_moved(own, start - len(before.steps))), before.groups, block)
        else:
            found.append(ForwardStage(_moved(own, start), groups, block))
        start = number + 1
    if sorted(stage.block for stage in found if stage.block is not None) != sorted(blocks):
        raise ValueError("a block is no stage of its own")
    return tuple(found)


def _block_of(steps: Sequence[ForwardStep], blocks: Sequence[str]) -> str | None:
    """The block that steps lie in, None if they lie in none."""
    modules = [name for step in steps for name in step.modules]
    inside = [block for block in blocks if any(name.startswith(f"{block}.") for name in modules)]
    if len(inside) == 1 and all(name.startswith(f"{inside[0]}.") for name in modules):
        return inside[0]
    if inside:
        raise ValueError(f"the block {inside[0]} is computed together with what is around it")
    return None


def _moved(steps: Sequence[ForwardStep], start: int) -> tuple[ForwardStep, ...]:
    """Steps whose values are counted from that of the number `start`; the one before it is the input."""
    return tuple(
        replace(step, source=step.source - start, added=None if step.added is None else step.added - start)
        for step in steps
    )


@dataclass
class _Follower:
    """Takes the nodes of a graph in their order, and finds the steps that they are."""

    modules: Mapping[str, nn.Module]
    images: bool
    steps: list[ForwardStep] = field(default_factory=list)
    values: dict[fx.Node, int] = field(default_factory=dict)
    output: int | None = None

    def take(self, node: fx.Node) -> None:
        """Follows one node; raises `_UnknownError` for what is no step."""
        if node.op == "placeholder":
            if self.values:
                raise _UnknownError
            self.values[node] = INPUT
        elif node.op == "output":
            self.output = self._value(node.args[0])
        elif node.op == "call_module":
            self._module(node, str(node.target))
        elif node.op in ("call_function", "call_method"):
            self._call(node)
        else:
            raise _UnknownError

    def finished(self) -> tuple[ForwardStep, ...] | None:
        """The steps, if the last one makes the network's output."""
        made = bool(self.steps) and self.output == len(self.steps) - 1
        return tuple(self.steps) if made else None

    def _module(self, node: fx.Node, name: str) -> None:
        module, source = self.modules[name], self._value(node.args[0])
        if isinstance(module, _LAYERS) and computes_weights(module):
            raise _UnknownError
        if isinstance(module, nn.Conv2d | nn.Linear):
            self._once(node)
            if isinstance(module, nn.Linear) and not self._is_row(source):
                raise _UnknownError
            self._make(node, _linear(name, source) if isinstance(module, nn.Linear) else _conv(name, module, source))
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            self._once(node)
            if module.running_mean is None or not self._joins(source) or not self._is_plain_layer(source):
                raise _UnknownError
            self._join(node, source, norm=name)
        elif isinstance(module, nn.ReLU | nn.ReLU6):
            self._rectify(node, source, 6 if isinstance(module, nn.ReLU6) else 1)
        elif isinstance(module, nn.MaxPool2d):
            self._max_pool(node, module, source)
        elif isinstance(module, nn.AdaptiveAvgPool2d) and module.output_size in (1, (1, 1)):
            self._make(node, ForwardStep("mean", source))
        elif isinstance(module, nn.Flatten) and (module.start_dim, module.end_dim) == (1, -1):
            self._flatten(node, source)
        elif isinstance(module, nn.Dropout | nn.Identity):
            self.values[node] = source
        else:
            raise _UnknownError

    def _call(self, node: fx.Node) -> None:
        target, source = node.target, self._value(node.args[0])
        given: tuple[Any, ...] = (*node.args[1:], *(value for name, value in node.kwargs.items() if name != "inplace"))
        if target in _ADDITIONS and len(given) == 1:
            self._add(node, source, self._value(given[0]))
        elif target in _RELUS and not given:
            self._rectify(node, source, 1)
        elif (target in _RELUS6 and not given) or (target in _CLAMPS and given == (0, 6)):
            self._rectify(node, source, 6)
        elif (target in _MEANS and sorted(given[0]) in ([2, 3], [-2, -1])) or (
            target is functional.adaptive_avg_pool2d and given in ((1,), ((1, 1),))
        ):
            self._make(node, ForwardStep("mean", source))
        elif target in _FLATTENS and given == (1,):
            self._flatten(node, source)
        else:
            raise _UnknownError

    def _value(self, argument: Any) -> int:
        return self.values[argument]

    def _make(self, node: fx.Node, step: ForwardStep) -> None:
        self.steps.append(step)
        self.values[node] = len(self.steps) - 1

    def _once(self, node: fx.Node) -> None:
        if sum(other.op == "call_module" and other.target == node.target for other in node.graph.nodes) > 1:
            raise _UnknownError

    def _joins(self, value: int) -> bool:
        """Whether what comes next can be done with the step that makes a value: nobody else reads that."""
        alike = [node for node, number in self.values.items() if number == value]
        return value != INPUT and all(len(node.users) == 1 for node in alike) and not self.steps[value].relu

    def _join(self, node: fx.Node, value: int, **joined: Any) -> None:
        self.steps[value] = replace(self.steps[value], **joined)
        self.values[node] = value

    def _is_plain_layer(self, value: int) -> bool:
        step = self.steps[value]
        return bool(step.layer) and not step.norm and step.added is None

    def _rectify(self, node: fx.Node, value: int, relu: int) -> None:
        if self._joins(value) and self.steps[value].kind not in ("max_pool", "mean"):
            self._join(node, value, relu=relu)
        else:
            self._make(node, ForwardStep("sum", value, relu=relu))

    def _add(self, node: fx.Node, one: int, other: int) -> None:
        first, last = sorted((one, other))
        joins = first < last and self._joins(last) and self.steps[last].kind == "convolution"
        if joins and self.steps[last].added is None:
            self._join(node, last, added=first)
        else:
            self._make(node, ForwardStep("sum", first, added=last))

    def _max_pool(self, node: fx.Node, module: nn.MaxPool2d, source: int) -> None:
        kernel, stride, reach = (_side(value) for value in (module.kernel_size, module.stride, module.padding))
        positive = source != INPUT and (self.steps[source].relu or self.steps[source].kind == "max_pool")
        if not positive or module.ceil_mode or _side(module.dilation) != 1:
            raise _UnknownError  # zeros around the map have to be as good as nothing
        self._make(node, ForwardStep("max_pool", source, kernel=kernel, stride=stride, reach=reach))

    def _flatten(self, node: fx.Node, source: int) -> None:
        if not self._is_row(source):
            raise _UnknownError
        self.values[node] = source

    def _is_row(self, value: int) -> bool:
        """Whether a value is a row of numbers, or a map of one pixel."""
        return not self.images if value == INPUT else self.steps[value].kind in ("mean", "linear")


def _linear(name: str, source: int) -> ForwardStep:
    return ForwardStep("linear", source, name)


def _conv(name: str, module: nn.Conv2d, source: int) -> ForwardStep:
    kernel, stride, reach = (_side(value) for value in (module.kernel_size, module.stride, module.padding))
    depthwise = module.groups == module.in_channels == module.out_channels > 1
    if kernel % 2 == 0 or reach != kernel // 2 or _side(module.dilation) != 1 or module.padding_mode != "zeros":
        raise _UnknownError
    if module.groups > 1 and not depthwise:
        raise _UnknownError
    return ForwardStep(
        "depthwise" if depthwise else "convolution", source, name, kernel=kernel, stride=stride, reach=reach
    )


def _side(value: Any) -> int:
    """A size that is the same on both sides of a window."""
    if isinstance(value, int):
        return value
    if not isinstance(value, tuple) or len(set(value)) != 1:
        raise _UnknownError
    return int(value[0])


_LAYERS = nn.Conv2d | nn.Linear | nn.BatchNorm1d | nn.BatchNorm2d
_ADDITIONS = (operator.add, operator.iadd, torch.add, "add", "add_")
_RELUS = (functional.relu, torch.relu, "relu", "relu_")
_RELUS6 = (functional.relu6,)
_CLAMPS = ("clamp", "clamp_", torch.clamp)
_MEANS = ("mean", torch.mean)
_FLATTENS = ("flatten", torch.flatten)
