"""A Gaussian process of one objective: what scikit-learn's becomes with a scale, a memory and a fixed price."""

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from evo_fair.arrays import Floats

if TYPE_CHECKING:
    from sklearn.gaussian_process.kernels import Kernel

__all__ = ["Process", "Scale"]


_LEAST_NOISE = 1e-2
"""The least share of the variance that counts as noise: sampling and training always leave some."""

_REFIT = 1.25
"""The kernel's parameters are fitted anew when so many times as many values are known as at the last fit."""

_OWN = 0.1
"""The share of the noise that is taken for the networks' own: some are better than features tell, and stay so."""

_OFFSET = 0.05
"""What is added before logarithms are taken, as a share of the median: values near 0 don't run away."""


class Scale:
    """A scale on which differences count by ratio, fixed by the values `[n]` that it is made for.

    It is log(value + a twentieth of the median), so that values near 0 don't run away, or the values themselves if any
    is negative or the median is 0. With `bounded`, values from 0 to 1 go to a logit instead, log((value + d) / (1 -
    value + d)): on it a share of errors near 1 is known as exactly as one near 0. Shares that are maximised, which come
    as values from -1 to 0, are taken for what they lack to 1, an accuracy for its error.
    """

    def __init__(self, values: Floats, *, bounded: bool = False) -> None:
        self._lacking = 1.0 if bounded and values.min() < 0 and ((values >= -1) & (values <= 0)).all() else 0.0
        values = values + self._lacking
        middle = float(np.median(values))
        self._bounded = bounded and bool((values <= 1).all())
        self._offset = _OFFSET * middle if middle > 0 and (values >= 0).all() else math.nan

    def __call__(self, values: Floats) -> Floats:
        """The values `[...]` on this scale."""
        if math.isnan(self._offset):
            return values
        values = values + self._lacking
        scaled = np.log(np.maximum(values, 0.0) + self._offset)
        if self._bounded:
            scaled = scaled - np.log(np.maximum(1.0 - values, 0.0) + self._offset)
        return np.asarray(scaled)

    def inverse(self, scaled: Floats) -> Floats:
        """Takes values off this scale.

        Args:
            scaled: Values on the scale, float64 `[...]`.

        Returns:
            The values, of the same shape.
        """
        if math.isnan(self._offset):
            return scaled
        if self._bounded:
            # value + d = e^s (1 - value + d), solved for the value, the larger of the two exponentials divided out.
            odds = np.exp(-np.abs(scaled))
            share = np.where(scaled > 0, 1.0, odds) / (1.0 + odds)
            return np.asarray(share * (1.0 + 2.0 * self._offset) - self._offset - self._lacking)
        return np.asarray(np.exp(scaled) - self._offset)


class Process:
    """Predicts an objective's values from features, with an error that grows away from what is known.

    Values are modelled on their `Scale`, shares from 0 to 1 on a bounded one. A value that differs from those of
    similar networks is taken for noise in part. How much of the variance is noise is fitted (a white kernel), so that
    one lucky measurement doesn't lead the search astray.
    """

    def __init__(self) -> None:
        self._theta = np.empty(0)
        self._fitted_to = 0

    def fit(self, features: Floats, values: Floats, costs: int = 0) -> None:
        """Takes what was measured.

        Args:
            features: Features of networks, float64 `[networks, features]`.
            values: Finite values, float64 `[networks]`.
            costs: How many of the last features are costs. Default: 0.
        """
        from sklearn.exceptions import ConvergenceWarning  # half a second that most searches don't need
        from sklearn.gaussian_process import GaussianProcessRegressor

        self.scale = Scale(values, bounded=True)
        scaled = self.scale(values)
        self._middle, self._spread = float(scaled.mean()), float(scaled.std()) or 1.0
        anew = len(values) >= _REFIT * self._fitted_to
        model = GaussianProcessRegressor(
            _kernel(features.shape[1], costs),
            optimizer="fmin_l_bfgs_b" if anew else None,
        )
        if not anew:
            model.kernel.theta = self._theta
        with warnings.catch_warnings():  # a parameter at its bound is as good as any
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(features, (scaled - self._middle) / self._spread)
        self._theta = model.kernel_.theta
        if anew:
            self._fitted_to = len(values)
        self._model = model

    def predict(self, features: Floats) -> tuple[Floats, Floats]:
        """What values to be measured will be.

        Args:
            features: Features of networks, float64 `[networks, features]`.

        Returns:
            Mean and standard deviation, float64 `[networks]` each, on the process's
            scale.
        """
        mean, deviation = self._model.predict(features, return_std=True)
        return self._middle + self._spread * mean, self._spread * deviation

    def draw(self, features: Floats, n: int, rng: np.random.Generator) -> Floats:
        """Draws what the networks' values may be, with little noise.

        Args:
            features: Features of networks, float64 `[networks, features]`.
            n: How many draws.
            rng: The Generator to draw with.

        Returns:
            float64 `[n, networks]` on the process's scale.
        """
        mean, covariance = self._model.predict(features, return_cov=True)
        noise = self._model.kernel_.k2.noise_level
        root = np.linalg.cholesky(covariance - (1.0 - _OWN) * noise * np.eye(len(mean)))
        draws: Floats = self._middle + self._spread * (mean + rng.standard_normal((n, len(mean))) @ root.T)
        return draws

    def state(self) -> npt.NDArray[Any]:
        """The kernel's parameters and how many values they were fitted to."""
        return np.array([self._fitted_to, *self._theta])

    def restore(self, state: npt.NDArray[Any]) -> None:
        """Takes up what `state` gave; raises `ValueError` for an array that is not one."""
        if state.ndim != 1 or len(state) not in (1, 4, 5) or not np.isfinite(state).all():
            raise ValueError(f"{state!r} are no parameters of a kernel")
        self._fitted_to, self._theta = int(state[0]), np.array(state[1:], np.float64)


def _kernel(features: int, costs: int) -> "Kernel":
    """A trend by the costs alone, what features tell beyond it, and noise.

    The trend is what keeps the search from trying hopelessly small networks one after another: without it each is as
    uncertain as the first. Its length scale is a standard deviation of the costs, that of the other features infinite.
    """
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    kernel = ConstantKernel(1.0, (1e-2, 1e2)) * Matern(2.0, (0.2, 50.0), nu=1.5)
    if costs:
        lengths = [1e6] * (features - costs) + [1.0] * costs
        kernel += ConstantKernel(1.0, (1e-3, 1e2)) * Matern(lengths, "fixed", nu=1.5)
    return kernel + WhiteKernel(0.1, (_LEAST_NOISE, 1.0))
