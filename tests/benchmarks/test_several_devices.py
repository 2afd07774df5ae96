"""The benchmark of several devices: what its tables say of traces, by hand."""

import numpy as np
import several_devices


def test_a_row_a_device_way_and_seed_with_the_hypervolume_at_the_end() -> None:
    ways = {"together": np.array([0.1, 0.4]), "apart": np.array([0.2, 0.3])}
    table = several_devices.worth({seed: {"a": ways, "b": ways} for seed in (0, 1)})
    assert len(table) == 8
    assert table["networks"].eq(2).all()
    assert table.loc[table["way"] == "together", "hypervolume"].eq(0.4).all()
    assert table.groupby("device")["hypervolume"].mean().tolist() == [0.35, 0.35]
