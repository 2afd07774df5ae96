"""Layer tables as ONNX: the graph runs, and read back it is the table again."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from evo_fair.latency.build_onnx import layers_to_onnx
from evo_fair.latency.onnx_graph import read_onnx
from evo_fair.layers import LayerTable, Op, macs, params
from evo_fair.space import SearchSpace

GLOBAL_POOL, KERNEL = int(Op.GLOBAL_POOL), 3


def comparable(rows: LayerTable) -> list[list[int]]:
    """The rows without padding and without global pooling's kernel, which no graph states."""
    rows = rows[rows[:, 0] > 0].copy()
    rows[rows[:, 0] == GLOBAL_POOL, KERNEL] = 1
    return rows.tolist()


@pytest.mark.parametrize("name", ["space", "tabular"])
def test_a_network_read_back_is_the_same_table(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    space: SearchSpace = request.getfixturevalue(name)
    for rows in space.decode(space.sample(np.random.default_rng(0), 20)):
        onnx.save(layers_to_onnx(rows), tmp_path / "x.onnx")
        graph = read_onnx(tmp_path / "x.onnx")
        assert graph.unknown == ()
        assert comparable(graph.table[0]) == comparable(rows)
        assert sum(layer.macs for layer in graph.layers) == macs(rows[None])[0]
        assert sum(layer.params for layer in graph.layers) == params(rows[None])[0]


def test_squeeze_and_excite_pooling_and_groups_run_in_onnx_runtime() -> None:
    rows = np.array(
        [
            (Op.CONV, 3, 8, 3, 2, 1, 9, 9),
            (Op.CONV, 8, 16, 3, 1, 4, 5, 5),
            (Op.DEPTHWISE, 16, 16, 5, 1, 16, 5, 5),
            (Op.GLOBAL_POOL, 16, 16, 1, 1, 1, 5, 5),
            (Op.LINEAR, 16, 4, 1, 1, 1, 1, 1),
            (Op.LINEAR, 4, 16, 1, 1, 1, 1, 1),
            (Op.ACTIVATION, 16, 16, 1, 1, 1, 1, 1),
            (Op.MUL, 16, 16, 1, 1, 1, 5, 5),
            (Op.ADD, 16, 16, 7, 1, 1, 5, 5),
            (Op.POOL, 16, 16, 2, 2, 1, 5, 5),
            (Op.GLOBAL_POOL, 16, 16, 1, 1, 1, 3, 3),
            (Op.LINEAR, 16, 10, 1, 1, 1, 1, 1),
        ],
        np.int32,
    )
    model = layers_to_onnx(rows).SerializeToString()
    assert len(model) < 10_000  # weights take no room
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"input": np.ones((1, 3, 9, 9), np.float32)})
    assert logits.shape == (1, 10)
    assert np.isfinite(logits).all()
    assert logits.any()
