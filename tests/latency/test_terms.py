"""Counts of work against values worked out by hand."""

import numpy as np
import pytest

from evo_fair.latency.terms import CACHE_BYTES, KINDS, TERMS, kind_of, layer_terms
from evo_fair.layers import Op

NAMES = [term.name for term in TERMS]


def counts(row: tuple[int, ...], bytes_per_value: float = 4.0, block: int = 8) -> dict[str, float]:
    """The terms of a layer that are not 0."""
    values = layer_terms(np.array([[row]], np.int32), bytes_per_value, block)[0, 0]
    return {name: float(value) for name, value in zip(NAMES, values, strict=True) if value}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (  # 12 output channels are padded to 16; the stride skips three of four input pixels
            (Op.CONV, 16, 12, 1, 2, 1, 8, 6),
            {
                "pointwise_macs": 16 * 16 * 12,
                "conv_in_values": 16 * 12,
                "conv_out_values": 16 * 12,
                "conv_weight_values": 16 * 16,
                "conv_calls": 1,
            },
        ),
        (
            (Op.CONV, 8, 8, 3, 1, 1, 4, 4),
            {
                "conv_macs": 8 * 8 * 9 * 16,
                "conv_in_values": 128,
                "conv_out_values": 128,
                "conv_weight_values": 576,
                "conv_patch_values": 8 * 9 * 16,
                "conv_calls": 1,
            },
        ),
        (  # an image's three channels are not padded
            (Op.CONV, 3, 8, 3, 2, 1, 7, 7),
            {
                "stem_macs": 8 * 3 * 9 * 16,
                "conv_in_values": 3 * 49,
                "conv_out_values": 8 * 16,
                "conv_weight_values": 8 * 27,
                "stem_patch_values": 27 * 16,
                "conv_calls": 1,
            },
        ),
        (  # four groups of 2 -> 3 channels, each padded to 8
            (Op.CONV, 8, 12, 3, 1, 4, 2, 2),
            {
                "grouped_macs": 4 * 8 * 2 * 9 * 4,
                "grouped_values": 8 * 4 + 12 * 4,
                "conv_weight_values": 12 * 2 * 9,
                "conv_patch_values": 8 * 9 * 4,
                "conv_calls": 1,
                "group_calls": 4,
            },
        ),
        (
            (Op.DEPTHWISE, 8, 8, 5, 2, 8, 4, 4),
            {
                "depthwise_large_strided_macs": 8 * 25 * 4,
                "depthwise_in_values": 128,
                "depthwise_out_values": 32,
                "depthwise_calls": 1,
            },
        ),
        ((Op.DEPTHWISE, 8, 8, 3, 1, 8, 2, 2), None),
        ((Op.LINEAR, 10, 3, 1, 1, 1, 1, 1), {"linear_weight_values": 30, "linear_calls": 1}),
        ((Op.POOL, 8, 8, 3, 2, 1, 4, 4), {"pool_window_values": 8 * 9 * 4, "other_calls": 1}),
        ((Op.GLOBAL_POOL, 8, 8, 4, 1, 1, 4, 4), {"global_pool_values": 128, "other_calls": 1}),
        ((Op.ADD, 8, 8, 4, 1, 1, 4, 4), {"add_values": 128, "other_calls": 1}),
        ((Op.MUL, 8, 8, 1, 1, 1, 4, 4), {"mul_values": 128, "other_calls": 1}),
        ((Op.ACTIVATION, 12, 12, 1, 1, 1, 4, 4), {"activation_values": 256, "other_calls": 1}),
        ((0,) * 8, {}),
    ],
)
def test_counts_of_a_layer(row: tuple[int, ...], expected: dict[str, float] | None) -> None:
    if expected is None:
        assert set(counts(row)) == {
            "depthwise_small_macs",
            "depthwise_in_values",
            "depthwise_out_values",
            "depthwise_calls",
        }
    else:
        assert counts(row) == expected


def test_blocks_pad_channels() -> None:
    row = (Op.CONV, 24, 24, 1, 1, 1, 4, 4)
    assert counts(row, block=8)["pointwise_macs"] == 24 * 24 * 16
    assert counts(row, block=16)["pointwise_macs"] == 32 * 32 * 16
    assert counts(row, block=16)["conv_in_values"] == 32 * 16


def test_what_exceeds_the_cache_spills() -> None:
    row = (Op.CONV, 64, 64, 1, 1, 1, 64, 64)
    values = 2 * 64 * 64 * 64
    needed = 4 * (values + 64 * 64)
    share = 1 - CACHE_BYTES / needed
    assert counts(row)["spilled_values"] == pytest.approx(values * share)
    assert counts(row)["spilled_weight_values"] == pytest.approx(64 * 64 * share)
    assert "spilled_values" not in counts(row, bytes_per_value=0.5)


def test_kinds_tell_convolutions_apart() -> None:
    rows = [
        ((Op.CONV, 16, 8, 1, 1, 1, 4, 4), "pointwise"),
        ((Op.CONV, 16, 8, 3, 1, 1, 4, 4), "conv"),
        ((Op.CONV, 3, 8, 3, 1, 1, 4, 4), "stem"),
        ((Op.CONV, 16, 8, 3, 1, 2, 4, 4), "grouped"),
        *(((op, 8, 8, 1, 1, 1, 4, 4), op.name.lower()) for op in Op if op not in (Op.CONV,)),
    ]
    assert [KINDS[kind_of(np.array(row, np.int32))] for row, _ in rows] == [name for _, name in rows]
