"""What programs for `evo_fair.proxy.kernels` consist of: operations, a record each."""

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["NONE", "OPERATION", "Action", "Operation", "Operations"]

NONE = -1
"""The place of a residual that there is none of."""


class Action(IntEnum):
    """What an operation does."""

    LOAD = 0  # an image of an array (scaled, shifted, added) -> buffer
    DENSE = 1  # convolution or linear layer, with bias, residual and ReLU
    DEPTHWISE = 2
    POOL = 3  # mean over a whole feature map
    STATISTICS = 4  # an image's mean and squared deviations by channel
    STORE = 5  # buffer -> target
    SCALE = 6  # buffer (scaled, shifted) -> buffer
    HALVE = 7  # buffer, border and all, -> buffer of bfloat16
    WINOGRAD = 8  # convolution 3x3, stride 1, of a map whose sides are multiples of 4
    ROUND = 9  # buffer, border and all, rounded to float16 in its place
    MAX_POOL = 10  # of a map without negative values: the zeros around it change nothing


class Operation(NamedTuple):
    """An operation with all that it needs to know; what an action does not mention it does not read.

    Places and steps count float32 values: places in an image's part of the arena, or in the program's weights. `x` is
    what an operation reads, `out` what it writes. The kernels read operations as records of `OPERATION`.
    """

    action: Action
    # what is read
    array: int = 0  # LOAD: the number of the array whose images are loaded
    x: int = 0  # place of the first input of the first output
    x_row: int = 0  # from a row of inputs to the next
    x_step: int = 0  # from the first input of an output to that of the output beside it
    x_below: int = 0  # ... and to that of the output below
    x_channels: int = 0  # LOAD: channels of the array's images
    rows: int = 0  # of the kernel
    length: int = 0  # DENSE: values of a kernel row, which lie side by side
    tap: int = 0  # DEPTHWISE: from an input of a kernel row to the next
    vectors: int = 0  # HALVE, ROUND: times 16 values that there are
    # what is written
    out: int = 0  # place of the first output
    out_row: int = 0  # from a row of outputs to the next
    height: int = 0  # rows of outputs; POOL: of inputs
    width: int = 0
    channels: int = 0  # of the output, a multiple of 8
    border: int = 0  # pixels around the output that are set to zero
    # what is done in between
    weight: int = 0  # place of the weights, or of what values are scaled by
    bias: int = 0  # place of the bias, or of what is added to scaled values
    residual: int = NONE  # place of the first value to add
    residual_row: int = 0
    add: int = 0  # LOAD: whether to add to what is there
    relu: int = 0  # 1: negative values become 0; 6: and those above 6 become 6
    half: int = 0  # DENSE: whether inputs and weights are pairs of bfloat16; LOAD, STORE: images are of float16


OPERATION = np.dtype([(name, np.int64) for name in Operation._fields])

Operations = npt.NDArray[Any]
"""A program's records of `OPERATION`, `[operations]`."""
