"""How the raw columns of a table become a network's inputs: preprocessing, fitted on the training part alone.

A number: where it is missing, the median; then standardised. Where the training part lacks some, a second input says
which samples had none. A category: one-hot, "missing" being a category of its own where the training part has it; what
occurs in other parts alone is none of them. A target-encoded category: the rate of each label, of two that of the
second, among its training samples, shrunk towards the rate of all (scikit-learn's `TargetEncoder`); training samples
get theirs from the other folds, which hold whole units, so that no sample tells its own label. A described category,
besides: the mean of each number among its training samples and how many there are, which tell categories apart whose
rates are alike, and take no label.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from evo_fair.arrays import Float32s

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "MISSING_CODE",
    "UNKNOWN_CODE",
    "Categorical",
    "Encoding",
    "Numeric",
    "RawColumns",
    "Vocabulary",
    "code_of",
    "fit_inputs",
    "is_whole",
]

MISSING_CODE = -(2.0**24)
"""What stands for a missing category between the input, where it is NaN, and the comparison with those known."""

UNKNOWN_CODE = -(2.0**23)
"""The number of a category that is none of those known; both are beyond the categories that stand for themselves."""

FOLDS = 5


@dataclass(frozen=True)
class Vocabulary:
    """The categories of a column in order, as texts; where all are whole numbers, they stand for themselves.

    Networks take a category as a number: a whole number as it is, a text by its place in `values`, NaN for a missing
    one. `missing` says whether the training part has such. A whole number that is not among them counts as the same one
    with or without `.0`: programs write it so once another is missing.
    """

    values: tuple[str, ...]
    missing: bool
    numeric: bool

    @classmethod
    def of(cls, texts: "pd.Series[Any]") -> "Vocabulary":
        """The categories among texts, "" being a missing one: numbers by size, texts by their characters."""
        found = [str(text) for text in texts.unique()]
        values = [value for value in found if value]
        numeric = bool(values) and all(map(is_whole, values))
        ordered = sorted(values, key=int) if numeric else sorted(values)
        return cls(tuple(ordered), len(values) < len(found), numeric)

    @property
    def codes(self) -> npt.NDArray[np.float64]:
        """The number of each category, and `MISSING_CODE` last where that is one: float64 `[categories]`."""
        known = [float(value) for value in self.values] if self.numeric else list(range(len(self.values)))
        return np.array([*known, MISSING_CODE] if self.missing else known, np.float64)

    def numbers(self, texts: "pd.Series[Any]") -> Float32s:
        """Texts as numbers, float32 `[samples]`: NaN for "", `UNKNOWN_CODE` for one that is not in `values`."""
        codes, distinct = texts.factorize()
        known = {value: float(code) for value, code in zip(self.values, self.codes, strict=False)}
        numbers = [
            code_of(str(text), None if self.numeric else known, UNKNOWN_CODE) if text else np.nan for text in distinct
        ]
        coded: Float32s = np.array(numbers, np.float32)[codes]
        return coded


def code_of(text: str, known: Mapping[str, float] | None, other: float) -> float:
    """The number of a category: from `known`, None where whole numbers stand for themselves, else `other`."""
    for written in (text, _written_otherwise(text)):
        if known is None and is_whole(written):
            return float(written)
        if known is not None and written in known:
            return float(known[written])
    return other


def _written_otherwise(text: str) -> str:
    """A whole number with `.0` where it has none, and without where it has one; another text as it is."""
    whole = text.removesuffix(".0")
    if not (whole.isascii() and whole.removeprefix("-").isdecimal()):
        return text
    return whole if whole != text else f"{text}.0"


def is_whole(text: str) -> bool:
    """Whether a text is a whole number of at most six digits, as it is usually written."""
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdecimal() and len(digits) <= 6 and text == str(int(text))


@dataclass(frozen=True)
class Numeric:
    """A column of numbers: what stands for a missing one, the mean and deviation, whether what is missing is told."""

    name: str
    fill: float
    mean: float
    deviation: float
    told: bool


@dataclass(frozen=True, eq=False)
class Categorical:
    """A column of categories; `rates` are float32 `[categories + 1, rates]`, the last row for any other, if encoded so.

    Without `rates` it is one-hot. `profile`, int8 `[categories, numbers + 1]`, describes the categories; any other gets
    zeros.
    """

    name: str
    vocabulary: Vocabulary
    rates: Float32s | None = None
    profile: npt.NDArray[np.int8] | None = None


@dataclass(frozen=True, eq=False)
class Encoding:
    """Numbers, one-hot and target-encoded categories, in the order of the raw columns.

    `blank` are the texts that the problem takes for a missing value, beside an empty one.

    Inputs come in this order: the numbers, whether those that tell it are missing, a column for each category of each
    column that is one-hot, the rates of those that are target-encoded, and the profiles of those that are described.
    """

    numbers: tuple[Numeric, ...]
    categories: tuple[Categorical, ...]
    blank: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The raw columns, in order."""
        return (*(number.name for number in self.numbers), *(category.name for category in self.categories))

    def raw(self, numbers: Mapping[str, npt.NDArray[np.float64]], texts: Mapping[str, "pd.Series[Any]"]) -> Float32s:
        """The raw columns as networks in files take them, float32 `[samples, columns]`."""
        columns = [numbers[number.name].astype(np.float32) for number in self.numbers]
        columns += [category.vocabulary.numbers(texts[category.name]) for category in self.categories]
        return np.column_stack(columns)

    def apply(self, raw: Float32s) -> Float32s:
        """Inputs float32 `[samples, features]` of raw columns `[samples, columns]`, as a file computes them."""
        split = len(self.numbers)
        gone = np.isnan(raw[:, :split])
        parts: list[npt.NDArray[Any]] = []
        if self.numbers:
            fill, mean, deviation = (np.array([getattr(n, key) for n in self.numbers]) for key in _NUMBER)
            filled = np.where(gone, fill, raw[:, :split].astype(np.float64))
            parts.append((filled - mean) / deviation)
            parts.append(gone[:, [number.told for number in self.numbers]])
        coded = np.where(np.isnan(raw[:, split:]), MISSING_CODE, raw[:, split:])
        matches = [
            (category, coded[:, [place]] == category.vocabulary.codes) for place, category in enumerate(self.categories)
        ]
        parts += [match for category, match in matches if category.rates is None]
        parts += [
            np.where(match.any(axis=1)[:, None], category.rates[match.argmax(axis=1)], category.rates[-1])
            for category, match in matches
            if category.rates is not None
        ]
        parts += [
            np.where(match.any(axis=1)[:, None], category.profile[match.argmax(axis=1)], 0)
            for category, match in matches
            if category.profile is not None
        ]
        return np.hstack([part.astype(np.float32) for part in parts])

    def as_dict(self) -> list[dict[str, Any]]:
        """For each raw column what goes into it, as JSON: a number, or a category by its number."""
        missing: dict[str, Any] = {"missing": "NaN"} | ({"missing texts": list(self.blank)} if self.blank else {})
        columns: list[dict[str, Any]] = [{"name": number.name, "kind": "number", **missing} for number in self.numbers]
        for category in self.categories:
            vocabulary = category.vocabulary
            column = {"name": category.name, "kind": "category", **missing}
            codes = {value: int(code) for value, code in zip(vocabulary.values, vocabulary.codes, strict=False)}
            values = "whole numbers, as they are" if vocabulary.numeric else codes
            columns.append({**column, "values": values, "any other": int(UNKNOWN_CODE)})
        return columns


_NUMBER = ("fill", "mean", "deviation")


@dataclass(frozen=True, eq=False)
class RawColumns:
    """A table's raw columns, float32 `[samples, columns]`, and how they become inputs."""

    values: Float32s
    encoding: Encoding


def fit_inputs(
    numbers: Mapping[str, npt.NDArray[np.float64]],
    texts: Mapping[str, "pd.Series[Any]"],
    target_encoded: Sequence[str],
    labels: npt.NDArray[np.int64],
    train: npt.NDArray[np.bool_],
    vocabularies: Mapping[str, Vocabulary] | None = None,
    described: Sequence[str] = (),
    blank: Sequence[str] = (),
    units: npt.NDArray[np.int64] | None = None,
) -> tuple[Float32s, RawColumns]:
    """Inputs float32 `[samples, features]`, and the raw columns that they were made of.

    `numbers` are float64 `[samples]` by column, NaN for a missing one; `texts` categories by column, "" for a missing
    one, of which `target_encoded` get rates instead of a column each; `train` says which samples are fitted to.
    `vocabularies` are categories by column where they are not those of the training part. `described` are those of
    `target_encoded` that get a profile as well. `blank` are texts that were taken for missing. `units` are the samples'
    units, by default each its own.
    """
    found = [vocabularies[name] if vocabularies else Vocabulary.of(cells[train]) for name, cells in texts.items()]
    categories = tuple(Categorical(name, vocabulary) for name, vocabulary in zip(texts, found, strict=True))
    one_hot = tuple(category for category in categories if category.name not in target_encoded)
    rated = tuple(category for category in categories if category.name in target_encoded)
    raw = Encoding(tuple(Numeric(name, 0.0, 0.0, 1.0, told=False) for name in numbers), (*one_hot, *rated)).raw(
        numbers, texts
    )
    parts, fitted = _fit_numbers(list(numbers), raw[:, : len(numbers)].astype(np.float64), train)
    coded = _coded(raw[:, len(numbers) :])
    parts.append(_one_hot(one_hot, coded[:, : len(one_hot)]))
    rates, rated = _fit_rates(rated, coded[:, len(one_hot) :], labels, train, units)
    profiles, rated = _fit_profiles(rated, coded[:, len(one_hot) :], parts[0][:, : len(numbers)], train, described)
    inputs = np.hstack([part for part in (*parts, rates, profiles) if part.shape[1]])
    return inputs, RawColumns(raw, Encoding(fitted, (*one_hot, *rated), tuple(blank)))


def _coded(raw: Float32s) -> npt.NDArray[np.float64]:
    return np.where(np.isnan(raw), MISSING_CODE, raw).astype(np.float64)


def _fit_numbers(
    names: Sequence[str], values: npt.NDArray[np.float64], train: npt.NDArray[np.bool_]
) -> tuple[list[Float32s], tuple[Numeric, ...]]:
    """The standardised numbers and what tells which were missing, float32 `[samples, ...]` each."""
    from sklearn.impute import MissingIndicator, SimpleImputer
    from sklearn.preprocessing import StandardScaler

    if not names:
        return [np.zeros((len(values), 0), np.float32)], ()
    imputer = SimpleImputer(strategy="median").fit(values[train])
    filled = imputer.transform(values)
    scaler = StandardScaler().fit(filled[train])
    told = np.any(np.isnan(values[train]), axis=0, keepdims=True)[0]
    indicator = MissingIndicator(features="all").fit(values[train]).transform(values)[:, told]
    fitted = tuple(
        Numeric(name, float(fill), float(mean), float(deviation), bool(tells))
        for name, fill, mean, deviation, tells in zip(
            names, imputer.statistics_, scaler.mean_, scaler.scale_, told.tolist(), strict=True
        )
    )
    return [scaler.transform(filled).astype(np.float32), indicator.astype(np.float32)], fitted


def _one_hot(categories: Sequence[Categorical], coded: npt.NDArray[np.float64]) -> Float32s:
    from sklearn.preprocessing import OneHotEncoder

    if not categories:
        return np.zeros((len(coded), 0), np.float32)
    known = [np.sort(category.vocabulary.codes) for category in categories]
    encoder = OneHotEncoder(categories=known, handle_unknown="ignore", sparse_output=False, dtype=np.float32)
    encoded: Float32s = encoder.fit_transform(coded)
    # scikit-learn wants numbers in order, which puts a missing category first; it stands last.
    ends = np.cumsum([len(codes) for codes in known])
    orders = [
        np.roll(np.arange(end - len(codes), end), -1 if category.vocabulary.missing else 0)
        for category, codes, end in zip(categories, known, ends, strict=True)
    ]
    return encoded[:, np.concatenate(orders)]


def _fit_rates(
    categories: Sequence[Categorical],
    coded: npt.NDArray[np.float64],
    labels: npt.NDArray[np.int64],
    train: npt.NDArray[np.bool_],
    units: npt.NDArray[np.int64] | None,
) -> tuple[Float32s, tuple[Categorical, ...]]:
    """The rates of target-encoded columns, float32 `[samples, columns * rates]`, and the columns with their tables."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
    from sklearn.preprocessing import TargetEncoder

    if not categories:
        return np.zeros((len(coded), 0), np.float32), ()
    kinds = int(labels.max()) + 1
    folds: Any = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    if units is not None and len(np.unique(units[train])) < train.sum():  # a unit's other rows would tell its label
        grouped = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
        folds = list(grouped.split(coded[train], labels[train], units[train]))
    encoder = TargetEncoder(
        categories=[np.sort(category.vocabulary.codes) for category in categories],
        target_type="binary" if kinds == 2 else "multiclass",
        cv=folds,
    )
    rates = np.zeros((len(coded), len(categories) * (1 if kinds == 2 else kinds)), np.float32)
    rates[train] = encoder.fit_transform(coded[train], labels[train])
    rates[~train] = encoder.transform(coded[~train])
    width = rates.shape[1] // len(categories)
    fitted = []
    for place, category in enumerate(categories):
        asked = np.full((len(category.vocabulary.codes) + 1, len(categories)), np.inf)
        asked[:, place] = [*category.vocabulary.codes, 2 * MISSING_CODE]
        table = encoder.transform(np.where(np.isinf(asked), 2 * MISSING_CODE, asked))
        own = table[:, place * width : (place + 1) * width].astype(np.float32)
        fitted.append(Categorical(category.name, category.vocabulary, own))
    return rates, tuple(fitted)


def _fit_profiles(
    categories: Sequence[Categorical],
    coded: npt.NDArray[np.float64],
    numbers: Float32s,
    train: npt.NDArray[np.bool_],
    described: Sequence[str],
) -> tuple[Float32s, tuple[Categorical, ...]]:
    """The profiles of described columns, float32 `[samples, columns * (numbers + 1)]`, and the columns with theirs."""
    import pandas as pd

    parts = [np.zeros((len(coded), 0), np.float32)]
    fitted = []
    for category, codes in zip(categories, coded.T, strict=True):
        if category.name not in described:
            fitted.append(category)
            continue
        places = pd.Index(category.vocabulary.codes).get_indexer(codes)
        profile = _profile(places[train], numbers[train], len(category.vocabulary.codes))
        parts.append(np.vstack([profile, np.zeros_like(profile[:1])])[places].astype(np.float32))  # -1: none of them
        fitted.append(replace(category, profile=profile))
    return np.hstack(parts), tuple(fitted)


def _profile(places: npt.NDArray[np.intp], numbers: Float32s, count: int) -> npt.NDArray[np.int8]:
    """What the training samples of each of `count` categories are like, int8 `[categories, numbers + 1]`.

    `places` says of which category each is, `numbers` are standardised, so that 0 is the mean of all. Each column is
    in steps of 1/127 of its largest value, a quarter of the bytes: networks standardise their inputs in any case.
    """
    from sklearn.preprocessing import TargetEncoder

    encoder = TargetEncoder(categories=[np.arange(count)], target_type="continuous")  # shrinks means of few samples
    every = np.arange(count)[:, None]
    means = [encoder.fit(places[:, None], number).transform(every)[:, 0] for number in numbers.T]
    columns = np.column_stack([*means, np.log1p(np.bincount(places, minlength=count))])
    largest = np.maximum(np.abs(columns).max(axis=0), 1e-6)  # what is below it is rounding
    steps: npt.NDArray[np.int8] = np.round(127 * columns / largest).astype(np.int8)
    return steps
