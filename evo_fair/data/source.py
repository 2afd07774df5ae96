"""What a data source is: a loader, and what it says of itself before anything is loaded."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from evo_fair.blame import check_takes
from evo_fair.errors import DataError, quote
from evo_fair.registries import DATA_SOURCES, name_of, without_brackets
from evo_fair.registry import Registry

if TYPE_CHECKING:
    import numpy as np

    from evo_fair.data.dataset import Dataset

__all__ = ["SOURCES", "DataRequest", "Source", "source"]

F = TypeVar("F", bound=Callable[..., Any])

SOURCE_TAKES = ("request",)

EVERY_SOURCES = ("source", "image_size", "fractions", "split_seed", "positive", "min_samples")
"""The keys of `[data]` that are every source's."""


@dataclass(frozen=True)
class DataRequest:
    """What a loader is asked for.

    Args:
        name: The data set's name.
        folder: The folder that holds its files; None for a source without any.
        image_size: How many pixels a side images are to have.
        fractions: The shares of train, validation and test, three numbers that add up
            to 1.
        rng: The Generator that the split, and all else that is random, is drawn with.
        settings: Those keys of `[data]` that the source declares and the problem gives.
            Default: none.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> ef.DataRequest("scans", None, 64, (0.6, 0.2, 0.2), rng).settings
        {}
    """

    name: str
    folder: Path | None
    image_size: int
    fractions: Sequence[float]
    rng: "np.random.Generator"
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """A data source: a loader, and what it says of itself before anything is loaded.

    Args:
        name: The source's name.
        load: Makes the `Dataset` of a `DataRequest`, the same for equal requests.
        tabular: Whether its inputs are tables, float32 `[samples, features]`, and not
            images; None where they may be either. Default: False.
        needs: What the user has to download, in words. Default: `nothing`.
        in_folder: Whether it reads from a folder. Default: True.
        folder: The folder's name. Default: the source's name.
        settings: The keys of `[data]` that it takes beside those of every source, with
            the kind of value of each. Default: none.
        users_own: Whether the data set is whatever the user has; it is then called as
            the problem is. Default: False.
        shape: Gives an input's shape from the image size, for what is made without any
            data. Default: three channels, or 100 features of a table.

    Raises:
        DataError: The settings are no mapping, or one has a name that every source has,
            or that is no identifier.

    Example:
        >>> from evo_fair.extend import Source
        >>> from evo_fair.testing import small_dataset
        >>> Source("stripes", lambda request: small_dataset(), in_folder=False).input_shape(64)
        (3, 64, 64)
    """

    name: str
    load: "Callable[[DataRequest], Dataset]"
    tabular: bool | None = False
    needs: str = "nothing"
    in_folder: bool = True
    folder: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    users_own: bool = False
    shape: "Callable[[int], tuple[int, ...]] | None" = None

    def __post_init__(self) -> None:
        if not isinstance(self.settings, Mapping):
            raise DataError(
                f"the settings of data source {self.name!r} are {quote(self.settings)}: give a kind of value for each "
                "key, such as {'bands': int}"
            )
        for key in self.settings:
            if key in EVERY_SOURCES:
                raise DataError(f"data source {self.name!r} can't take {key!r} for itself: every source has it")
            if not str(key).isidentifier():
                raise DataError(f"data source {self.name!r} takes {key!r}, which is no key: use letters, digits and _")

    def input_shape(self, image_size: int) -> tuple[int, ...]:
        """The shape that an input has, or may have where that depends on the files: a table of 100 features.

        Args:
            image_size: How many pixels a side images have.

        Returns:
            `(channels, height, width)` or `(features,)`.
        """
        if self.shape is not None:
            return self.shape(image_size)
        return (100,) if self.tabular else (3, image_size, image_size)

    @property
    def resizes(self) -> bool:
        """Whether the image size that a problem asks for makes a difference to its inputs."""
        return self.input_shape(8) != self.input_shape(16)


SOURCES: Registry[Source, None] = DATA_SOURCES
"""The data sources by name."""


def source(name: str = "", **declared: Any) -> Callable[[F], F]:
    """Registers the function below it, of a `DataRequest`, as a data source.

    Args:
        name: What `source` under `[data]` calls it. Default: the function's name.
        declared: The other fields of `evo_fair.extend.Source`: `needs`, `settings`,
            `in_folder`, `tabular`, ... Default: those of `Source`.

    Returns:
        A decorator.

    Raises:
        DataError: The name is taken or malformed, or a field is none of `Source`; when
            it decorates.

    Example:
        >>> from evo_fair.testing import small_dataset
        >>> @ef.source(in_folder=False)
        ... def stripes(request):
        ...     return small_dataset(seed=int(request.rng.integers(99)))
        >>> ef.forget("stripes", "data source")
    """
    if callable(name):
        raise without_brackets("source")

    def add(function: F) -> F:
        own = name or name_of(function)
        SOURCES.check_name(own)
        check_takes("data source", own, function, SOURCE_TAKES, DataError)
        try:
            made = Source(own, function, **declared)
        except TypeError as reason:
            raise DataError(f"data source {own!r} can't be declared so: {reason}") from None
        SOURCES.add(own, made, code=function, again=True)
        return function

    return add
