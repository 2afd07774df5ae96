"""Problems: TOML files that name a data set, its groups, a search space, a training recipe and default objectives."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from pydantic import PrivateAttr, ValidationError, model_validator

from evo_fair.arguments import as_path
from evo_fair.data import SOURCES, Dataset, check_dataset, check_samples, find_data, load_dataset
from evo_fair.errors import ConstraintError, DataError, ProblemError, UnknownNameError
from evo_fair.files import read_toml, say_namesake, shipped_names, shipped_or_path
from evo_fair.layers import params, peak_memory_bytes
from evo_fair.problem_faults import fault_of
from evo_fair.problem_sections import Data, Fairness, ProxySettings, Search, Text, Training
from evo_fair.show import shell_word
from evo_fair.space import SearchSpace, SpaceSchema
from evo_fair.space.schema import Section

__all__ = [
    "Data",
    "Fairness",
    "Problem",
    "ProxySettings",
    "Search",
    "Training",
    "as_problem",
    "first_fault",
    "load_problem",
    "problem_names",
]

_MOST_WEIGHTS = 2**28
_MOST_MEGABYTES = 2**12
_SAID_ELSEWHERE = ("name", "folder")
"""Fields of a problem that its file can't set."""


class Problem(Section):
    """A problem file, validated. Get one from `load_problem`.

    Args:
        name: The file's name without its ending.
        title: What it is about, in a sentence.
        folder: The data set's folder. Default: None, it is looked for.
        data: `[data]`, where the samples come from.
        fairness: `[fairness]`, the groupings.
        space: `[space]`, the networks that can be found.
        training: `[training]`, the recipe. Default: that of `Training()`.
        proxy: `[proxy]`, how the supernet is asked. Default: that of `ProxySettings()`.
        search: `[search]`, what a search does unless told otherwise.

    Example:
        >>> problem = ef.load_problem("digits")
        >>> problem.search.objectives
        ('error', 'unfairness', 'latency_ms')
    """

    name: str
    title: Text
    folder: Path | None = None
    data: Data
    fairness: Fairness
    space: SpaceSchema
    training: Training = Training()
    proxy: ProxySettings = ProxySettings()
    search: Search
    _given: Dataset | None = PrivateAttr(None)
    _file: Path | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _check(self) -> Self:
        tabular = SOURCES[self.data.source].tabular
        if tabular is None:
            return self
        if (self.space.stem is None) != tabular:
            kind = "a table, whose space has FC stages and no stem" if tabular else "images, whose space has a stem"
            raise ValueError(f"space does not fit the source {self.data.source!r}, {kind}")
        if tabular and self.training.augment:
            raise ValueError(f"augment = {list(self.training.augment)} is for images: leave it out for a table")
        return self

    @property
    def argument(self) -> str:
        """What names it on the command line: a shipped problem's name, else the name of its file."""
        return self.name if self.name in problem_names() else shell_word(f"{self.name}.toml")

    def with_data(self, dataset: Dataset) -> Self:
        """The same problem on a data set of your own, in the place of what `[data]` says.

        `[data]` keeps its `min_samples`.

        Args:
            dataset: The data set.

        Returns:
            A new problem.

        Raises:
            DataError: It is no data set.
            ProblemError: It does not suit the space, or lacks a grouping of `[fairness]`.
        """
        check_dataset(dataset, "with_data")
        if (dataset.inputs.ndim == 2) != (self.space.stem is None):
            kind = "a table" if dataset.inputs.ndim == 2 else "images"
            raise ProblemError(f"the data are {kind}, which the space of {self.name} is not for: use another problem")
        self._check_groupings(dataset)
        data = Data(source="given", min_samples=self.data.min_samples)
        own = self.model_copy(update={"data": data, "folder": None})
        own._given = dataset
        return own

    def dataset(self) -> Dataset:
        """Loads the data set from `folder`, or from where `evo_fair.data.find_data` looks.

        Every label, and every group of a base grouping and of the `group` of
        `[fairness]`, is checked to have enough samples. An intersection under `report`
        is only looked up, since objectives don't depend on it.

        Returns:
            The data set.

        Raises:
            DataError: The data are missing, damaged or too few.
            ProblemError: `[fairness]` names a grouping that the data don't have, or
                images that are not square are to be turned.
        """
        dataset = self._loaded() if self._given is None else self._given
        self._check_groupings(dataset)
        own = () if self._given is None else dataset.groupings  # those that are loaded were checked then
        check_samples(dataset, [*own, self.fairness.group], self.data.min_samples, self.data.draw)
        if "rot90" in self.training.augment and len(set(dataset.input_shape[1:])) > 1:
            size = " x ".join(map(str, dataset.input_shape[1:]))
            raise ProblemError(
                f"{self._file or self.name}: [training] augment: rot90 turns square images alone, these are {size}: "
                "leave it out"
            )
        return dataset

    def _check_groupings(self, dataset: Dataset) -> None:
        for key, name in [("group", self.fairness.group), *(("report", name) for name in self.fairness.report)]:
            with self.at_fault(f"[fairness] {key}"):
                dataset.grouping(name)

    @contextmanager
    def at_fault(self, key: str) -> Iterator[None]:
        """Says of a name that is unknown, or a limit or an intersection that is wrong, where the problem has it.

        Args:
            key: Where that is, such as `[search] device`.

        Returns:
            A context manager, for the block that uses the name.

        Raises:
            ProblemError: One of these is wrong; the message begins with the
                problem's file and the key.
        """
        try:
            yield
        except (UnknownNameError, ConstraintError, DataError) as error:
            raise ProblemError(f"{self._file or self.name}: {key}: {error}") from error

    def _loaded(self) -> Dataset:
        settings = self.data
        folder = self.folder if settings.folder is None else find_data(settings.source, self.folder, settings.folder)
        dataset = load_dataset(
            settings.source,
            folder,
            name=self.name if SOURCES[settings.source].users_own else None,
            image_size=settings.image_size,
            fractions=settings.fractions,
            seed=settings.split_seed,
            min_samples=settings.min_samples,
            missing=settings.missing,
            licence=settings.licence,
            settings=settings.own_settings,
        )
        if settings.positive is None:
            return dataset
        with self.at_fault("[data] positive"):
            return dataset.with_positive(settings.positive)

    def search_space(self, input_shape: tuple[int, ...], labels: int) -> SearchSpace:
        """The search space on inputs of a shape.

        Args:
            input_shape: `(channels, height, width)` or `(features,)`.
            labels: How many labels there are.

        Returns:
            The space.

        Raises:
            ProblemError: Its largest network is too large for any device, and its
                supernet would fill the memory.
        """
        space = SearchSpace(self.space, input_shape, labels)
        largest = space.decode(space.largest()[None])
        if (weights := int(params(largest)[0])) > _MOST_WEIGHTS:
            raise ProblemError(
                f"the largest network of {self.name} has {weights:,} weights, and at most {_MOST_WEIGHTS:,} are "
                "searched: make the widths, expansions or keep_channels of its [space] smaller"
            )
        if (needed := int(peak_memory_bytes(largest)[0]) // 2**20) > _MOST_MEGABYTES:
            raise ProblemError(
                f"the largest network of {self.name} needs {needed:,} MiB for one sample, and at most "
                f"{_MOST_MEGABYTES:,} are searched: make its image_size or the widths of its [space] smaller"
            )
        return space


def problem_names() -> list[str]:
    """The names of the problems that come with evo_fair."""
    return shipped_names("problems", ".toml")


def as_problem(problem: "Problem | str | Path") -> Problem:
    """The problem itself, or the one of that name or path.

    Args:
        problem: A problem, a name or a path.

    Returns:
        The problem.

    Raises:
        EvoFairError: As `load_problem` raises.
    """
    return problem if isinstance(problem, Problem) else load_problem(problem)


def load_problem(name: str | Path, data: str | Path | None = None) -> Problem:
    """Reads a problem by the name of a shipped one or the path of a TOML file.

    Args:
        name: The name of a problem that comes with evo_fair, or the path of a problem
            file.
        data: The data set's own folder. Default: one of its name under `EVO_FAIR_DATA`,
            else under the cache.

    Returns:
        The validated problem; its data are loaded when they are first needed.

    Raises:
        UnknownNameError: There is no such problem and no such file.
        ProblemError: The file is wrong; the message names file and key and says what to
            do.

    Example:
        >>> problem = ef.load_problem("digits")
        >>> problem.fairness.group
        'class'
        >>> len(problem.dataset())
        1797
    """
    name = str(as_path("problem", name))
    data = None if data is None else as_path("data", data)
    path = shipped_or_path(name, "problems", ".toml", "problem")
    content = read_toml(path, ProblemError)
    for key in _SAID_ELSEWHERE:
        if key in content:
            raise ProblemError(f"{path}: {key} can't be set here: the name is the file's, the folder --data's")
    try:
        problem = Problem.model_validate({**content, "name": path.stem, "folder": data})
    except ValidationError as error:
        raise ProblemError(f"{path}: {first_fault(error)}") from error
    source = problem.data.source
    # Only of what is read: the configuration of a run states the size even where it makes no difference.
    if "image_size" in problem.data.model_fields_set and not SOURCES[source].resizes:
        raise ProblemError(
            f"{path}: data.image_size: {source} does not resize its inputs, so {problem.data.image_size} would change "
            "nothing: leave it out"
        )
    if name == path.stem:
        say_namesake(path, "problem")
    else:
        problem._file = path
    return problem


def first_fault(error: ValidationError) -> str:
    """The first thing that is wrong with a problem, its key first; an unknown key goes before all others.

    Args:
        error: What pydantic found.

    Returns:
        One line.
    """
    return fault_of(error, Problem, _SAID_ELSEWHERE)
