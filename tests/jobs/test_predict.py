"""`ef.predict`: the command's figures, as a table and numbers."""

from pathlib import Path

import numpy as np
import pytest

import evo_fair as ef
from evo_fair.latency.build_onnx import layers_to_onnx
from evo_fair.layers import Op

LAYERS = np.array([[Op.CONV, 3, 8, 3, 2, 1, 32, 32], [Op.GLOBAL_POOL, 8, 8, 1, 1, 1, 16, 16]], np.int32)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "network.onnx"
    path.write_bytes(layers_to_onnx(LAYERS).SerializeToString())
    return path


def test_figures_are_the_profile_s_own(model: Path) -> None:
    profile = ef.load_profile("raspberry-pi-4")
    prediction = ef.predict(model, "raspberry-pi-4")
    assert prediction.latency_ms == pytest.approx(profile.latency_ms(LAYERS[None])[0])
    assert prediction.macs == 3 * 8 * 9 * 16 * 16
    assert prediction.latency_ms == ef.predict(str(model), profile).latency_ms
    layers = prediction.layers
    assert layers["op"].tolist() == ["conv", "global_pool"]
    assert layers["ms"].to_numpy() == pytest.approx(profile.layer_ms(LAYERS[None])[0])
    assert prediction.latency_ms == pytest.approx(layers["ms"].sum() + profile.network_ms)


def test_a_shape_that_is_none_and_an_unknown_device_are_refused(model: Path) -> None:
    with pytest.raises(ef.EvoFairError, match="input_shape = 3 is a single one: give a list"):
        ef.predict(model, "raspberry-pi-4", input_shape=3)  # type: ignore[arg-type]
    with pytest.raises(ef.UnknownNameError, match="raspberry-pi-9"):
        ef.predict(model, "raspberry-pi-9")
    with pytest.raises(ef.EvoFairError, match=r"nothing\.onnx"):
        ef.predict(model.with_name("nothing.onnx"), "raspberry-pi-4")
