"""Intervals hold nine in ten of what a fit did not see, be it near or far."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from evo_fair.latency.coverage import (
    Fitter,
    LeftOut,
    Misses,
    by_kind,
    by_network,
    by_source,
    covered,
    judge,
    leave_out,
    misses,
    width_of,
)
from evo_fair.latency.fit import Fit, fit_model
from evo_fair.latency.measurements import Measurements
from evo_fair.latency.model import network_ms
from evo_fair.latency.pooled import make_pool
from evo_fair.latency.uncertainty import NORMAL, Variances, Width


def made(error: np.ndarray, open_: float, strange: float = 0.0, parts: int = 1) -> Misses:
    ones, networks = np.ones(len(error)), np.arange(len(error))
    return Misses(error, Variances(ones, open_ * ones, strange * ones), networks, networks % parts)


def scattered(spread: float, seed: int, networks: int = 4000) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, spread, networks)


def test_a_width_holds_nine_in_ten_of_near_and_of_far() -> None:
    near, far = made(scattered(0.05, 0), 1e-4), made(scattered(0.2, 1), 0.01)
    width = width_of(near, [far], 0.03)
    assert covered(near, width).mean() == pytest.approx(0.9, abs=0.01)
    assert covered(far, width).mean() == pytest.approx(0.9, abs=0.01)


def test_far_ones_count_alike_however_many_networks_they_have() -> None:
    many, few = made(scattered(0.1, 0), 0.01), made(scattered(0.4, 1, 200), 0.01)
    reach = width_of(None, [many, few], 0.0).reach
    assert reach > 2 * width_of(None, [many], 0.0).reach
    assert covered(few, Width(0.0, reach)).mean() < 0.9 < covered(many, Width(0.0, reach)).mean()


def test_few_misses_have_to_hold_more_than_nine_in_ten() -> None:
    """Of ten the largest: the eleventh is as likely the largest of all as any."""
    assert width_of(None, [made(np.arange(1.0, 11.0), 1.0)], 0.0).reach == 10
    assert width_of(None, [made(np.arange(1.0, 101.0), 1.0)], 0.0).reach == 91


def test_without_misses_the_fit_is_believed() -> None:
    assert width_of(None, [], 0.06) == Width(NORMAL * 0.06, NORMAL)


def test_a_perfect_board_still_leaves_what_it_did_not_measure_open() -> None:
    width = width_of(made(np.zeros(40), 0.01), [made(np.zeros(40), 0.01)], 0.03)
    assert width.half(Variances(np.ones(1), np.zeros(1), np.ones(1)))[0] >= NORMAL
    assert width.half(Variances(np.ones(1), np.ones(1), np.zeros(1)))[0] >= 0.25


def test_folds_leave_each_network_out_once(made_up: Measurements) -> None:
    for parts in (by_network(made_up), by_kind(made_up)):
        np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(60))
        assert len(parts) > 1


def test_a_network_is_left_out_of_all_sources(made_up: Measurements) -> None:
    """The second source has the same networks in another order and under other names."""
    order = np.random.default_rng(0).permutation(60)
    again = Measurements(tuple(f"x{i}" for i in order), made_up.table[order], 2 * made_up.latency_ms[order])
    sources, kept_of = [made_up, again], []

    def fitter(kept):
        kept_of.append(kept)
        return [fit_model(made_up.part(kept[0])), None]

    assert misses(fitter, sources, [np.arange(5)]) is not None
    (kept,) = kept_of
    assert set(kept[0]) == set(range(5, 60))
    assert set(order[kept[1]]) == set(range(5, 60))


def test_too_few_networks_to_leave_any_out_say_nothing(made_up: Measurements) -> None:
    few = made_up.part(np.arange(8))
    assert misses(lambda kept: [fit_model(few.part(kept[0]))], [few], by_network(few)) is None


def test_sources_are_judged_up_to_one_factor(made_up: Measurements) -> None:
    sources = [made_up.part(np.arange(30)), made_up.part(np.arange(30, 60))]
    slower = Measurements(sources[1].names, sources[1].table, 7 * sources[1].latency_ms)
    found = by_source(make_pool([sources[0], slower]).fit, [sources[0], slower])
    assert [len(one.error) for one in found] == [30, 30]
    for one in found:
        assert np.median(one.error) == pytest.approx(0, abs=1e-12)
        assert np.abs(one.error).mean() < 0.1


def test_what_is_judged_does_not_widen_its_own_interval() -> None:
    """One part of five is off ten times as far as the others, near and as a kind: none of it is inside."""
    error = scattered(0.05, 0, 100)
    error[::5] = 0.5
    near, kinds = made(error, 1e-4, parts=5), made(2 * error, 1e-2, parts=5)
    left_out = LeftOut(near, kinds, (made(error, 1e-4),), 0.03)
    assert covered(near, left_out.width)[::5].all()
    (_, held), (_, held_kinds), (_, held_source) = left_out.held
    assert not held[:20].any()
    assert held[20:].mean() == pytest.approx(1)  # the rest has an interval that the odd part widens
    assert not held_kinds[:20].any()
    assert len(held_source) == 100


def test_a_source_does_not_widen_its_own_interval() -> None:
    near, like, odd = made(scattered(0.05, 0), 1e-4), made(scattered(0.1, 1), 1e-2), made(scattered(0.9, 2), 1e-2)
    left_out = LeftOut(near, None, (like, like, odd), 0.03)
    *_, (what, held) = left_out.held
    assert what == "each source in turn, up to one factor"
    assert covered(odd, left_out.width).mean() > 0.6
    assert held[-len(odd.error) :].mean() < 0.25


def test_parts_of_both_stay_apart() -> None:
    joined = made(np.arange(4.0), 1.0, parts=2).joined(made(np.arange(3.0), 1.0))
    assert joined.part.tolist() == [0, 1, 0, 1, 2, 2, 2]
    assert [part.networks.tolist() for part in joined.parts] == [[0, 2], [1, 3], [0, 1, 2]]
    rest = joined.without(np.array([0, 1]))
    assert rest is not None
    assert rest.error.tolist() == [2, 3, 2]
    assert joined.without(np.arange(4)) is None


@pytest.fixture(scope="module")
def base(made_up: Measurements) -> Fit:
    return fit_model(made_up.part(np.arange(20, 40)))


def scaled(base: Fit) -> Callable[[Sequence[Measurements]], Fitter]:
    """Fits that know one factor of each source: the median ratio of what is kept, 1 of nothing."""

    def fit(measured: Measurements, kept: np.ndarray) -> Fit:
        own = measured.part(kept)
        times = float(np.median(own.latency_ms / network_ms(base.model, own.table))) if len(kept) else 1.0
        prices, fixed = times * base.model.prices, times * base.model.network_price
        return replace(base, model=base.model._replace(prices=prices, network_price=fixed))

    return lambda sources: lambda kept: [fit(*one) for one in zip(sources, kept, strict=True)]


def slowed(measured: Measurements, networks: np.ndarray, times: float) -> Measurements:
    latency_ms = measured.latency_ms.copy()
    latency_ms[networks] *= times
    return Measurements(measured.names, measured.table, latency_ms)


def test_nothing_of_what_is_judged_has_a_part_in_its_interval(made_up: Measurements, base: Fit) -> None:
    few = made_up.part(np.arange(14))
    (missed, width), (later, same) = (
        judge(scaled(base), [slowed(few, np.arange(11, 14), times)], [np.arange(11)]) for times in (1.0, 7.0)
    )
    assert width == same
    np.testing.assert_array_equal(missed.networks, np.arange(11, 14))
    np.testing.assert_allclose(later.error - missed.error, np.log(7.0))


def test_a_source_is_judged_by_the_others_up_to_one_factor(made_up: Measurements, base: Fit) -> None:
    one, two = made_up.part(np.arange(10)), made_up.part(np.arange(10, 20))
    found = []
    for times in (1.0, 3.0):
        sources = [slowed(one, np.arange(10), times), two]
        found.append(judge(scaled(base), sources, [np.arange(0), np.arange(10)]))
    (missed, width), (later, same) = found
    assert width == same
    np.testing.assert_allclose(later.error, missed.error, atol=1e-9)
    assert np.abs(missed.error).mean() < 0.1


def test_misses_too_few_for_nine_in_ten_say_nothing_of_the_width(made_up: Measurements, base: Fit) -> None:
    """Of nine networks one fold alone can be left out: its one miss may be as good as none."""
    nine, ten = made_up.part(np.arange(9)), made_up.part(np.arange(10))
    left_out = leave_out(base, scaled(base)([nine]), [nine])
    assert left_out.width == Width(NORMAL * base.noise, NORMAL)
    assert left_out.held == ()
    assert leave_out(base, scaled(base)([ten]), [ten]).held[0][0] == "networks, in folds"
