"""The table of deployed files: a lower bound is no prediction."""

from pathlib import Path
from typing import Any

import numpy as np
from onnx import helper

from evo_fair.export.report import Deployed, deployed_table
from evo_fair.latency import load_profile
from evo_fair.latency.measure import Timings

from ..latency.onnx_zoo import save, weights


def test_a_profile_predicts_nothing_of_what_it_does_not_know_in_full(tmp_path: Path) -> None:
    whole, part = tmp_path / "whole.onnx", tmp_path / "part.onnx"
    save(whole, [helper.make_node("Conv", ["x", "w"], ["y"])], weights(w=(4, 3, 1, 1)), {"x": [1, 3, 8, 8]})
    einsum = helper.make_node("Einsum", ["x", "w"], ["y"], equation="bij,jk->bik")
    save(part, [einsum], weights(w=(20, 30)), {"x": [1, 10, 20]})
    networks = [Deployed(path.stem, "reference", "fp32", path, path, None) for path in (whole, part)]
    timings = Timings([str(whole), str(part)], [[1.0, 2.0]])
    examiner: Any = None  # nothing says how the data enter these files
    table = deployed_table(networks, timings, [load_profile("raspberry-pi-4")], examiner)
    predicted = table["predicted_ms[raspberry-pi-4]"].astype(float)
    assert list(np.isnan(predicted)) == [False, True]
    assert list(table["macs"]) == [768, 6000]
