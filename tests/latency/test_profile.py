"""Profiles: shipped ones hold what they promise, and damaged or hostile files are refused in one line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evo_fair.errors import ProfileError, UnknownNameError
from evo_fair.latency import Profile, device_names, load_profile
from evo_fair.latency.profile import all_prices, known_hash
from evo_fair.latency.schema import LARGEST_FILE
from evo_fair.latency.terms import COMPUTE, MEMORY, Term
from evo_fair.layers import Op
from evo_fair.space import SearchSpace

SHIPPED = [
    "odroid-n2-plus",
    "odroid-n2-plus-int8",
    "odroid-xu4",
    "pixel-1",
    "pixel-3",
    "raspberry-pi-3b-plus",
    "raspberry-pi-4",
    "raspberry-pi-4-int8",
    "raspberry-pi-4-pooled",
    "raspberry-pi-5",
    "raspberry-pi-zero-2w",
]


@pytest.fixture
def content(request: pytest.FixtureRequest) -> dict[str, Any]:
    return load_profile("raspberry-pi-4").file.model_dump(mode="json", by_alias=True)


def refused(path: Path, content: object) -> str:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ProfileError) as error:
        load_profile(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    return str(error.value)


def test_the_promised_devices_are_there() -> None:
    assert set(SHIPPED) <= set(device_names())


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_profiles_predict_and_say_how_well(name: str, space: SearchSpace) -> None:
    profile = load_profile(name)
    ms = profile.latency_ms(space.decode(space.sample(np.random.default_rng(0), 50)))
    assert profile.name == name
    assert ms.dtype == np.float64
    assert ((ms > 0) & (ms < 1000)).all()
    assert profile.file.validation is not None
    assert profile.file.validation.mape < 10
    assert profile.file.source
    assert profile.file.licence


@pytest.mark.parametrize("name", SHIPPED)
def test_wider_layers_do_not_cost_less(name: str) -> None:
    profile = load_profile(name)
    for kernel, op in ((1, Op.CONV), (3, Op.CONV), (3, Op.DEPTHWISE), (5, Op.DEPTHWISE)):
        for size in (4, 14, 56):
            widths = (8, 16, 32, 64, 128, 256, 512)
            rows = [[(op, c, c, kernel, 1, c if op == Op.DEPTHWISE else 1, size, size)] for c in widths]
            ms = profile.latency_ms(np.array(rows, np.int32))
            assert (ms[1:] > 0.97 * ms[:-1]).all()


def test_odroid_xu4_says_what_it_carried_over() -> None:
    carried = load_profile("odroid-xu4").file.carried_over
    assert carried is not None
    assert "depthwise_small_macs" in carried.terms
    assert "raspberry-pi-4" in carried.devices
    assert "geometric mean" in carried.rule


def test_a_profile_written_is_read_back(tmp_path: Path, space: SearchSpace) -> None:
    profile = load_profile("pixel-3")
    profile.write(str(tmp_path / "copy.json"))
    again = load_profile(tmp_path / "copy.json")
    table = space.decode(space.sample(np.random.default_rng(0), 20))
    assert again.sha256 == profile.sha256
    assert (again.latency_ms(table) == profile.latency_ms(table)).all()


def test_the_hash_follows_what_is_said(content: dict[str, Any], tmp_path: Path) -> None:
    content["prices"]["pointwise_macs"] *= 1.0001
    (tmp_path / "x.json").write_text(json.dumps(content))
    assert load_profile(tmp_path / "x.json").sha256 != load_profile("raspberry-pi-4").sha256


def test_layers_and_the_fixed_cost_add_up() -> None:
    profile = load_profile("raspberry-pi-4")
    table = np.array([[(1, 8, 16, 1, 1, 1, 28, 28), (2, 16, 16, 3, 1, 16, 28, 28), (0,) * 8]], np.int32)
    layers = profile.layer_ms(table)
    assert layers[0, 2] == 0
    np.testing.assert_allclose(profile.latency_ms(table), layers.sum(axis=1) + profile.network_ms)


def test_a_term_newer_than_a_profile_has_its_usual_price_at_the_groups_level() -> None:
    terms = [Term("macs", COMPUTE, 1.0), Term("values", MEMORY, 20.0), Term("others", MEMORY, 5.0)]
    terms.append(Term("new_values", MEMORY, 10.0))
    prices = {"macs": 0.5, "values": 2.0, "others": 2.0}  # a tenth and four tenths of the usual: a fifth
    assert all_prices(prices, terms) == pytest.approx([0.5, 2.0, 2.0, 2.0])
    assert all_prices({**prices, "new_values": 9.0}, terms)[-1] == 9.0


def test_layers_outside_the_fit_are_marked() -> None:
    profile = load_profile("raspberry-pi-4")
    ranges = profile.file.fitted.ranges["pointwise"]
    widest = ranges["c_in"][1]
    table = np.array(
        [
            [
                (1, 64, 64, 1, 1, 1, 14, 14),
                (1, widest, 64, 1, 1, 1, 14, 14),
                (1, widest + 1, 64, 1, 1, 1, 14, 14),
                (1, 64, 64, 7, 1, 1, 14, 14),  # a kind that was never measured
                (6, 64, 64, 9, 1, 1, 14, 14),  # an addition's kernel column is no kernel
                (0,) * 8,
            ]
        ],
        np.int32,
    )
    assert profile.extrapolated(table)[0].tolist() == [False, False, True, True, False, False]


def test_an_unknown_device_lists_those_that_exist() -> None:
    with pytest.raises(UnknownNameError, match="unknown device 'raspberry-pi-9': expected one of odroid-n2-plus"):
        load_profile("raspberry-pi-9")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "has schema 2: this evo_fair reads up to 1; update evo_fair"),
        ({"schema": 10**18}, "has schema 1000000000000000000: this evo_fair reads up to 1"),
        ({"schema": 10**30}, "is beyond the range of whole numbers"),
        ({"schema": "1"}, "schema: Input should be 1"),
        ({"name": "../../etc"}, "name: String should match pattern"),
        ({"prices": {}}, "prices lacks 'pointwise_macs'"),
        ({"precision": "fp8"}, "precision: Input should be 'fp32', 'fp16' or 'int8', got 'fp8'"),
        ({"units": {"latency": "ms", "prices": "ms"}}, "units.prices: Input should be 'ns', got 'ms'"),
        ({"units": {"latency": "ns"}}, "units.latency: Input should be 'ms', got 'ns'"),
        ({"surprise": 1}, "surprise: Extra inputs are not permitted"),
        ({"channel_block": 0}, "channel_block: Input should be greater than or equal to 1"),
        ({"anchors": [{"layer": [1, 2], "weight": 0}]}, "anchors.0.layer"),
        ({"anchors": [{"layer": [1, 8, 8, 1, 1, 1, 4, 4], "weight": 1e300}]}, "anchors.0.weight"),
        ({"anchors": [{"layer": [9, 8, 8, 1, 1, 1, 4, 4], "weight": 0}]}, "anchors.0.layer.0"),
        ({"notes": "x" * 3000}, "notes: String should have at most 2000 characters"),
    ],
)
def test_a_wrong_profile_is_refused(
    change: dict[str, Any], message: str, content: dict[str, Any], tmp_path: Path
) -> None:
    assert message in refused(tmp_path / "wrong.json", content | change)


@pytest.mark.parametrize("price", [-1.0, 0.0, "a", None])
def test_wrong_prices_are_refused(price: object, content: dict[str, Any], tmp_path: Path) -> None:
    content["prices"]["add_values"] = price
    assert "prices.add_values" in refused(tmp_path / "wrong.json", content)


def test_a_price_of_no_term_is_refused(content: dict[str, Any], tmp_path: Path) -> None:
    content["prices"]["magic"] = 1.0
    assert "names 'magic', which is no term" in refused(tmp_path / "wrong.json", content)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("[" * 50_000, "not valid JSON"),
        ("[]", "holds a list, no profile"),
        ('{"schema": 1, "x": NaN}', "NaN is not a number"),
        ('{"schema": 1}', "name: Field required"),
        ('{"schema": 1, "prices": 1e999}', "1e999 is beyond the range of numbers"),
    ],
)
def test_damaged_or_hostile_json_is_refused(text: str, message: str, tmp_path: Path) -> None:
    assert message in refused(tmp_path / "wrong.json", text)


def test_a_file_too_large_is_not_even_read(tmp_path: Path) -> None:
    assert "a profile has at most" in refused(tmp_path / "large.json", " " * (LARGEST_FILE + 1))


def test_profiles_are_values() -> None:
    assert isinstance(load_profile("pixel-1"), Profile)
    assert load_profile("pixel-1").file == load_profile("pixel-1").file


def test_a_profile_of_before_intervals_is_what_it_was() -> None:
    """The hash is the one that runs of then hold in their run.toml."""
    profile = load_profile("raspberry-pi-4")
    assert profile.sha256 == "1e05f9de483d001734f297324017dc87a6e2fcd095503485fcbfccc80fa2b1f8"
    assert profile.interval_ends == {}


def test_a_profile_without_intervals_has_none_to_give(space: SearchSpace) -> None:
    table = space.decode(space.sample(np.random.default_rng(0), 2))
    with pytest.raises(ProfileError, match="'raspberry-pi-4' has no intervals: fit it again"):
        load_profile("raspberry-pi-4").interval_ms(table)


def test_intervals_hold_the_prediction_and_widen_where_only_others_measured(space: SearchSpace) -> None:
    profile = load_profile("raspberry-pi-4-pooled")
    table = space.decode(space.sample(np.random.default_rng(0), 50))
    for low, ms, high in (
        (profile.latency_ms_low(table), profile.latency_ms(table), profile.latency_ms_high(table)),
        (*profile.layer_interval_ms(table), profile.layer_ms(table)),
    ):
        low, ms, high = sorted((low, ms, high), key=np.sum)
        assert ((low <= ms) & (ms <= high)).all()
    pointwise, dense = (Op.CONV, 96, 16, 1, 1, 1, 56, 56), (Op.CONV, 24, 24, 3, 1, 1, 8, 8)
    rows = np.array([[pointwise, dense]], np.int32)
    half = np.log(profile.layer_interval_ms(rows)[1] / profile.layer_ms(rows))[0]
    assert half[1] > 1.2 * half[0]  # the profile's own source has no dense convolution


def test_a_pooled_profile_says_what_came_from_where() -> None:
    file = load_profile("raspberry-pi-4-pooled").file
    assert file.sources is not None
    first, *others = file.sources
    assert (first.name, first.scale) == ("raspberry-pi-4-tflite-fp32", pytest.approx(1.0))
    assert "conv_macs" not in first.measures
    assert "conv_macs" in {term for source in others for term in source.measures}
    assert sum(source.networks for source in file.sources) == file.fitted.networks
    assert file.fitted.never_measured == ()
    assert file.validation is not None
    assert file.validation.mape <= 3.4
    assert file.intervals is not None
    assert all(85 <= held.percent <= 95 for held in file.intervals.held)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda rows: rows[:-1], "intervals.root has 161 rows, not 162: fit it again"),
        (lambda rows: [*rows[:3], "1 2", *rows[4:]], "intervals.root, row 4: expected 4 numbers"),
        (lambda rows: ["x", *rows[1:]], "intervals.root, row 1: expected 1 numbers"),
        (lambda rows: ["nan", *rows[1:]], "intervals.root, row 1: expected 1 numbers"),
        (lambda rows: ["1e300", *rows[1:]], "intervals.root, row 1: expected 1 numbers"),
    ],
)
def test_damaged_intervals_are_refused(damage: Any, message: str, tmp_path: Path) -> None:
    content = load_profile("raspberry-pi-4-pooled").file.plain()
    content["intervals"]["root"] = damage(list(content["intervals"]["root"]))
    assert message in refused(tmp_path / "wrong.json", content)


def test_intervals_of_another_level_are_refused(tmp_path: Path) -> None:
    content = load_profile("raspberry-pi-4-pooled").file.plain()
    content["intervals"]["level"] = 0.5
    told = refused(tmp_path / "wrong.json", content)
    assert "intervals.level is 0.5, and intervals are made to hold 0.9: write 0.9" in told


BEFORE = {
    "odroid-n2-plus": "b28600f5a2cf86d7",
    "odroid-n2-plus-int8": "56b5b2709aaa7229",
    "odroid-xu4": "d6f86a4b1be72cf8",  # judged anew since, with twins left out together
    "pixel-1": "61c197ae6c24e9a7",
    "pixel-3": "59de0aefa9b6d9f5",
    "raspberry-pi-3b-plus": "d54fe08af023cfde",
    "raspberry-pi-4-int8": "4cddb128c6562aee",
    "raspberry-pi-5": "485f28057346fbe6",
    "raspberry-pi-zero-2w": "5b6b9c1393571f3d",
}
"""What the hashes of profiles began with before they had intervals, as runs of then hold them."""


@pytest.mark.parametrize("name", BEFORE)
def test_intervals_were_added_to_what_a_profile_was(name: str) -> None:
    profile = load_profile(name)
    was = profile.without_intervals.sha256
    assert was.startswith(BEFORE[name])
    assert profile.has_intervals
    known = profile.known_as(was)
    assert known is not None
    assert not known.has_intervals
    assert profile.known_as(profile.sha256) is profile
    assert profile.known_as("another") is None
    assert known_hash(name, was) == profile.sha256


def test_hashes_of_other_profiles_are_what_they_are() -> None:
    assert known_hash("a board of one's own", "a1") == "a1"
    assert known_hash("pixel-1", "a1") == "a1"
    assert known_hash("pixel-1", None) is None


@pytest.mark.parametrize("name", [*BEFORE, "raspberry-pi-4-pooled"])
def test_intervals_of_shipped_profiles_hold_what_was_left_out(name: str) -> None:
    """At least 85 % of what neither the fit nor the width saw."""
    intervals = load_profile(name).file.intervals
    assert intervals is not None
    assert [held.left_out for held in intervals.held[:2]] == ["networks, in folds", "kinds of networks"]
    assert min(held.percent for held in intervals.held) >= 85
