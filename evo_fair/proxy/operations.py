"""What programs for `evo_fair.proxy.kernels` consist of: operations and the columns that describe each."""

from enum import IntEnum

import numpy as np
import numpy.typing as npt

__all__ = ["Column", "Integers", "Op"]

Integers = npt.NDArray[np.int64]


class Op(IntEnum):
    """What an operation does."""

    LOAD = 0  # source (scaled, shifted, added) -> buffer
    DENSE = 1  # convolution or linear layer, with bias, residual and ReLU
    DEPTHWISE = 2
    POOL = 3  # mean over a whole feature map
    STATISTICS = 4  # an image's mean and squared deviations by channel
    STORE = 5  # buffer -> target
    SCALE = 6  # buffer (scaled, shifted) -> buffer
    HALVE = 7  # buffer, border and all, -> buffer of bfloat16
    WINOGRAD = 8  # convolution 3x3, stride 1, of a map whose sides are multiples of 4
    ROUND = 9  # buffer, border and all, rounded to float16 in its place


class Column(IntEnum):
    """The columns of a program, int64 `[operations, 19]`; places and steps count float32 values."""

    OP = 0
    SOURCE = 1  # place of the first input of the first output; of LOAD: number of the source
    SOURCE_ROW = 2  # from a row of the input to the next
    STEP_Y = 3  # from the first input of an output to that of the one below
    STEP_X = 4  # ... and to that of the one beside
    LENGTH = 5  # values of a kernel row; depthwise: from a tap to the next; LOAD: channels of the source
    KERNEL = 6  # rows of the kernel; LOAD: whether to add to what is there
    TARGET = 7  # place of the first output
    TARGET_ROW = 8
    CHANNELS = 9  # of the output, a multiple of 8
    HEIGHT = 10
    WIDTH = 11
    WEIGHT = 12  # place in the weights; LOAD, SCALE: of the scale
    BIAS = 13  # LOAD, SCALE: of the shift
    RESIDUAL = 14  # place of the first value to add, -1 if there is none
    RESIDUAL_ROW = 15
    RELU = 16
    BORDER = 17  # pixels around the output that are set to zero
    HALF = 18  # of DENSE: whether inputs and weights are pairs of bfloat16; LOAD, STORE: images are of float16
