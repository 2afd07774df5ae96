import pandas as pd
import pytest

from evo_fair.auditing.measure import with_losses
from evo_fair.errors import AuditError


def test_losses_are_told_against_the_dense_network_and_refused_where_there_is_none():
    """As where no worker survived the dense one, which was left out then."""
    networks = pd.DataFrame(
        {
            "base": list("xxy"),
            "dense": [True, False, False],
            "accuracy": [0.9, 0.7, 0.8],
            "accuracy[class:a]": [1.0, 0.5, 0.9],
            "accuracy[class:b]": [0.8, 0.9, 0.7],
        }
    )
    found = with_losses(networks, "class")
    assert found["base"].tolist() == ["x", "x"]
    assert found["accuracy_loss"].tolist() == pytest.approx([0.0, 0.2])
    assert found["worst_class_loss"].tolist() == pytest.approx([0.0, 0.5])
    assert found["loss_gap"].tolist() == pytest.approx([0.0, 0.6])
    with pytest.raises(AuditError, match=r"^no dense network was measured, .*--resume$"):
        with_losses(networks[1:], "class")
