"""The layer table: MACs, parameters and peak memory against values worked out by hand."""

import numpy as np
import pytest

from evo_fair.layers import LayerTable, check_table, macs, params, peak_memory_bytes

EXPAND = (1, 8, 32, 1, 1, 1, 4, 4)
DEPTHWISE = (2, 32, 32, 3, 1, 32, 4, 4)
PROJECT = (1, 32, 8, 1, 1, 1, 4, 4)


def table(*rows: tuple[int, ...]) -> LayerTable:
    return np.array([rows], np.int32)


def activations(*rows: tuple[int, ...]) -> int:
    """The values alive at the worst moment: peak memory without weights, at one byte a value."""
    networks = table(*rows)
    return int(peak_memory_bytes(networks, 1)[0] - params(networks)[0])


@pytest.mark.parametrize(
    ("row", "expected_macs", "expected_params"),
    [
        ((1, 3, 16, 3, 2, 1, 9, 7), 16 * 3 * 9 * 5 * 4, 16 * 3 * 9 + 16),  # 9x7 halves to 5x4
        ((1, 8, 16, 3, 1, 4, 6, 6), 16 * 2 * 9 * 36, 16 * 2 * 9 + 16),
        ((2, 32, 32, 5, 2, 32, 8, 8), 32 * 25 * 16, 32 * 25 + 32),
        ((3, 64, 10, 1, 1, 1, 1, 1), 640, 650),
        ((6, 8, 8, 3, 1, 1, 4, 4), 0, 0),
        ((0, 0, 0, 0, 0, 0, 0, 0), 0, 0),
    ],
)
def test_macs_and_params_of_a_layer(row: tuple[int, ...], expected_macs: int, expected_params: int) -> None:
    assert macs(table(row)).tolist() == [expected_macs]
    assert params(table(row)).tolist() == [expected_params]


def test_networks_are_counted_apart() -> None:
    networks = np.concatenate([table(EXPAND, (0,) * 8), table(PROJECT, PROJECT)])
    assert macs(networks).tolist() == [8 * 32 * 16, 2 * 32 * 8 * 16]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros((2, 8), np.int32), r"got \[2, 8\]: add a leading axis"),
        (np.zeros((1, 2, 7), np.int32), r"shape \[networks, layers, 8\]"),
        (np.zeros((1, 2, 8)), "holds integers, got float64"),
        (np.full((1, 2, 8), 9), "operator 9 of a layer table is none: the codes from 0 to 8"),
        (np.full((1, 2, 8), -1), "numbers from 0 to 2147483647, got -1 to -1"),
        (np.full((1, 2, 8), 2**32 + 1), "got 4294967297 to 4294967297"),  # cut to 32 bits it would be 1
    ],
)
def test_a_wrong_table_is_refused(wrong: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_table(wrong)


def test_a_chain_keeps_only_neighbours() -> None:
    # 3x8x8 -> 4x4x4 -> 16x4x4 -> 16 -> 2: the worst is the second layer, 64 in and 256 out.
    chain = ((1, 3, 4, 3, 2, 1, 8, 8), (1, 4, 16, 1, 1, 1, 4, 4), (5, 16, 16, 4, 1, 1, 4, 4), (3, 16, 2, 1, 1, 1, 1, 1))
    assert activations(*chain) == 64 + 256


def test_a_shortcut_keeps_the_block_input_alive() -> None:
    without = activations(EXPAND, DEPTHWISE, PROJECT)
    assert without == 512 + 512  # expanded and depthwise output
    assert activations(EXPAND, DEPTHWISE, PROJECT, (6, 8, 8, 4, 1, 1, 4, 4)) == without + 128


def test_an_addition_of_unknown_origin_takes_the_latest_tensor_of_its_shape() -> None:
    assert activations(EXPAND, DEPTHWISE, PROJECT, (6, 8, 8, 1, 1, 1, 4, 4)) == 128 + 512 + 512


def test_a_projection_shortcut_runs_beside_the_block() -> None:
    shortcut, first = (1, 8, 16, 1, 2, 1, 4, 4), (1, 8, 16, 3, 2, 1, 4, 4)
    second, add = (1, 16, 16, 3, 1, 1, 2, 2), (6, 16, 16, 3, 1, 1, 2, 2)
    # While `first` runs: the block's input 8x4x4, the shortcut's output 16x2x2 and its own.
    assert activations(shortcut, first, second, add) == 128 + 64 + 64


def test_squeeze_and_excite_keeps_its_input_until_the_product() -> None:
    rows = (
        (5, 16, 16, 8, 1, 1, 8, 8),
        (3, 16, 4, 1, 1, 1, 1, 1),
        (3, 4, 16, 1, 1, 1, 1, 1),
        (7, 16, 16, 1, 1, 1, 8, 8),
    )
    assert activations(*rows) == 1024 + 16 + 1024  # input, gate, product


def test_weights_count_and_bytes_scale() -> None:
    linear = table((3, 64, 10, 1, 1, 1, 1, 1))
    assert peak_memory_bytes(linear).tolist() == [4 * (650 + 74)]
    assert peak_memory_bytes(linear, 1).tolist() == [650 + 74]
