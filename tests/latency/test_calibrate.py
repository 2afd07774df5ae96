"""From measurements to a profile: validation, carried-over prices, and the accuracy on a real board."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evo_fair.errors import ProfileError
from evo_fair.latency import Profile
from evo_fair.latency.calibrate import Provenance, calibrate
from evo_fair.latency.measurements import Measurements, read_measurements
from evo_fair.latency.terms import TERMS
from evo_fair.latency.validation import Agreement
from evo_fair.layers import Op

NO_FOLDS = ("not validated", Agreement(networks=1, mape=0.0, within_10_percent=100.0, spearman=0.0, kendall=0.0))
PROVENANCE = Provenance(device="a made-up board", runtime="none", threads=2, source="nobody", licence="MIT")


@pytest.fixture(scope="module")
def profile(made_up: Measurements) -> Profile:
    return calibrate("made-up", made_up.part(np.arange(30)), PROVENANCE)


def test_a_profile_says_where_it_comes_from_and_how_well_it_holds(profile: Profile, made_up: Measurements) -> None:
    file = profile.file
    assert (file.name, file.device.name, file.device.threads) == ("made-up", "a made-up board", 2)
    assert (file.runtime, file.precision, file.licence) == ("none", "fp32", "MIT")
    assert file.fitted.networks == 30
    assert file.validation is not None
    assert file.validation.method == "5 folds by network, median of 10 shuffles"
    assert file.validation.networks == 30
    assert file.validation.mape < 2
    np.testing.assert_allclose(profile.latency_ms(made_up.table), made_up.latency_ms, rtol=0.05)


def test_the_fitted_range_is_that_of_the_layers(profile: Profile) -> None:
    ranges = profile.file.fitted.ranges
    assert ranges["stem"]["c_in"] == (3, 3)
    assert ranges["stem"]["h_in"] == (34, 34)
    assert ranges["linear"]["c_out"] == (5, 5)
    assert "kernel" not in ranges["add"]
    assert "groups" not in ranges["depthwise"]


def test_scores_from_elsewhere_replace_the_folds(made_up: Measurements) -> None:
    scores = Agreement(networks=60, mape=2.5, within_10_percent=98.0, spearman=0.99, kendall=0.9)
    file = calibrate("x", made_up.part(np.arange(8)), PROVENANCE, held_out=("apart", scores)).file
    assert file.validation is not None
    assert (file.validation.method, file.validation.mape) == ("apart", 2.5)


def test_an_outlier_that_is_left_out_makes_no_twins(made_up: Measurements, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evo_fair.latency.calibrate.shuffles_for", lambda _networks: 1)
    latency_ms = made_up.latency_ms[:11].copy()
    latency_ms[3] *= 1000
    file = calibrate("x", replace(made_up.part(np.arange(11)), latency_ms=latency_ms), PROVENANCE).file
    assert file.fitted.networks == 10
    assert file.validation is not None
    assert file.validation.method == "5 folds by network"


def test_too_few_networks_for_folds_leave_the_validation_open(made_up: Measurements) -> None:
    assert calibrate("x", made_up.part(np.arange(8)), PROVENANCE).file.validation is None


def test_prices_never_measured_are_carried_over_by_the_stated_rule(made_up: Measurements, profile: Profile) -> None:
    kept = np.isin(made_up.table[:, :, 0], [Op.DEPTHWISE], invert=True)
    table = made_up.table * kept[:, :, None]
    dense = Measurements(made_up.names, table, made_up.latency_ms)
    prices = dict(profile.file.prices)
    twice = prices | {"depthwise_small_macs": 2 * prices["depthwise_small_macs"]}
    donors = [Profile(profile.file), Profile(profile.file.model_copy(update={"prices": twice}))]
    carried = calibrate("dense", dense, PROVENANCE, donors, NO_FOLDS).file
    assert carried.carried_over is not None
    assert "depthwise_small_macs" in carried.carried_over.terms
    assert "pointwise_macs" not in carried.carried_over.terms
    ratio = carried.prices["depthwise_small_macs"] / carried.prices["pointwise_macs"]
    assert ratio == pytest.approx(2**0.5 * prices["depthwise_small_macs"] / prices["pointwise_macs"])


def test_donors_that_never_measured_a_term_supply_nothing(made_up: Measurements) -> None:
    one = calibrate("one", made_up, PROVENANCE, (), NO_FOLDS)
    assert "grouped_macs" in one.file.fitted.never_measured
    carried = calibrate("other", made_up, PROVENANCE, [one], NO_FOLDS).file
    assert carried.carried_over is None
    usual = {term.name: term.usual for term in TERMS}
    ratio = carried.prices["mul_values"] / carried.prices["activation_values"]
    assert ratio == pytest.approx(usual["mul_values"] / usual["activation_values"])


@pytest.mark.parametrize("name", ["../x", "", "a b", "x" * 65])
def test_a_name_that_is_no_file_name_is_refused(name: str, made_up: Measurements) -> None:
    with pytest.raises(ProfileError, match="name: String should"):
        calibrate(name, made_up.part(np.arange(8)), PROVENANCE)


def test_precision_decides_how_much_fits_into_the_cache(made_up: Measurements) -> None:
    file = calibrate("x", made_up.part(np.arange(8)), replace(PROVENANCE, precision="int8"))
    assert file.file.precision == "int8"
    assert file.model.bytes_per_value == 1


@pytest.mark.data
@pytest.mark.parametrize(
    ("board", "precision", "mape", "within_10_percent"),
    [
        ("raspberry-pi-4-tflite-fp32", "fp32", 3.5, 95),
        ("raspberry-pi-4-tflite-int8", "int8", 3.5, 96),
        ("odroid-n2-plus-tflite-fp32", "fp32", 4.0, 95),
        ("pixel-1-mbconv-ops", "fp32", 3.0, 95),
        ("odroid-xu4-family-caffe", "fp32", 8.0, 80),  # 34 of its 90 have twins, with which it would be 5.7 %
    ],
)
def test_real_boards_are_predicted_as_well_as_promised(
    board: str, precision: str, mape: float, within_10_percent: float, data_folder: Callable[[str], Path]
) -> None:
    folder = data_folder("latency") / board
    measured = read_measurements(folder / "layers.csv", folder / "latency.csv")
    provenance = replace(PROVENANCE, precision=precision)  # type: ignore[arg-type]
    validation = calibrate(board, measured, provenance).file.validation
    assert validation is not None
    assert validation.mape <= mape
    assert validation.within_10_percent >= within_10_percent
    assert validation.spearman >= 0.99
