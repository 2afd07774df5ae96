"""`ef.audit`: both kinds from Python, resumed, and refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import evo_fair as ef

from ..cli.conftest import problem_file

__all__ = ["problem_file"]

OWN = (
    "from torch import nn\n\n\ndef network():\n    return nn.Sequential(nn.Conv2d(1, 6, 3, 2), nn.BatchNorm2d(6), "
    "nn.ReLU(), nn.Flatten(), nn.Linear(54, 10))\n"
)


class Hearer(ef.Listener):
    def __init__(self) -> None:
        self.parts: list[tuple[int, int]] = []
        self.epochs = 0

    def audited(self, done: int, networks: int, rate: float) -> None:
        assert rate > 0
        self.parts.append((done, networks))

    def tuning(self, network: str, step: object) -> None:
        assert network == "network"
        self.epochs += 1


def test_the_function_is_public_whatever_was_imported_before() -> None:
    import evo_fair.auditing.store
    import evo_fair.jobs.audit

    assert callable(ef.audit)
    assert ef.audit is evo_fair.jobs.audit.audit
    assert evo_fair.auditing.store.AUDITS.name == "audit"


def test_one_network_is_audited_and_gone_on_with(
    problem_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVO_FAIR_CACHE", str(tmp_path / "cache"))  # no other test has trained this network there
    (tmp_path / "own.py").write_text(OWN)
    options: dict[str, Any] = {
        "module": f"{tmp_path / 'own.py'}:network",
        "criteria": ["magnitude_l1"],
        "structures": ["unstructured"],
        "treatments": ["none"],
        "sparsities": [0.5, 0.9],
        "scopes": ["global"],
        "seeds": [0],
        "out": tmp_path / "a",
    }
    hearer = Hearer()
    audit = ef.audit(problem_file, listener=hearer, **options)
    assert hearer.parts == [(1, 3), (2, 3), (3, 3)]
    assert hearer.epochs == 2, "the network was trained first"
    assert audit.path == tmp_path / "a"
    assert audit.report.read_text().startswith("# Whom pruning harms")
    assert len(audit.networks) == 3
    pd.testing.assert_frame_equal(
        pd.read_csv(audit.path / "front.csv", dtype={"base": str, "genome": str}), audit.front
    )
    assert set(audit.losses["grouping"]) == {"class"}
    with pytest.raises(ef.AuditError, match="exists already: continue its audit"):
        ef.audit(problem_file, **options)
    again = Hearer()
    resumed = ef.audit(problem_file, resume=True, listener=again, **options)
    assert (again.parts, again.epochs) == ([], 0)
    pd.testing.assert_frame_equal(resumed.networks, audit.networks)


@pytest.mark.slow
def test_the_supernet_is_audited(problem_file: Path, tmp_path: Path) -> None:
    hearer = Hearer()
    options: dict[str, Any] = {"networks": 24, "criteria": ["trained"], "seeds": [0, 1], "jobs": 1}
    audit = ef.audit(problem_file, out=tmp_path / "a", constraints=["accuracy >= 2"], listener=hearer, **options)
    assert hearer.parts[-1] == (24, 24)
    assert audit.operating_point is None, "nothing is that good"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"structures": ["structured"]}, "--structure is for the audit of one network"),
        ({"network": "largest", "networks": 10}, "--networks is for audits of the supernet"),
        ({"network": "largest", "seed": 5}, r"seed=5 is for audits of the supernet: give seeds=\[5\]"),
        ({"imbalance": "x"}, "unknown imbalance 'x'"),
        ({"criteria": "taylor"}, "criteria = .* is a single one: give a list"),
        ({"criteria": ""}, "criteria = '' is a single one: give a list"),
        ({"scopes": ""}, "scopes = '' is a single one: give a list"),
        ({"network": "largest", "structures": ""}, "structures = '' is a single one: give a list"),
        ({"sparsities": np.array([0.5, 2.0])}, "sparsity 2 is not in"),
        ({"group": ""}, "group '' is empty: give a name"),
        ({"sparsities": [2.0]}, "sparsity 2 is not in"),
        ({"seeds": 3}, "seeds = 3 is a single one: give a list"),
        ({"networks": 0}, "networks = 0"),
        ({"seeds": [0, -1]}, "seed -1 is negative"),
        ({"seed": -1}, "seed -1 is negative"),
        ({"network": "largest", "seeds": [-1]}, "seed -1 is negative"),
        ({"jobs": 0}, "jobs 0 is too few"),
        ({"minutes": "5"}, "minutes '5' is no finite number"),
        ({"minutes": -1}, "minutes -1 is negative"),
    ],
)
def test_wrong_arguments_are_one_line(wrong: dict[str, Any], told: str, problem_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ef.EvoFairError, match=told):
        ef.audit(problem_file, out=tmp_path / "a", **wrong)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("name", ["criteria", "scopes", "sparsities", "seeds"])
def test_an_empty_list_is_not_taken_for_all(name: str, problem_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ef.AuditError, match=rf"{name} = \[\]: name at least one"):
        ef.audit(problem_file, out=tmp_path / "a", **{name: []})
    assert not (tmp_path / "a").exists()
