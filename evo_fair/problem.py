"""Problems: TOML files that name a data set, its groups, a search space, a training recipe and default objectives."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, ValidationError, model_validator

from evo_fair.data import Dataset, check_samples, find_data, load_dataset
from evo_fair.errors import ProblemError
from evo_fair.files import read_toml, shipped_names, shipped_or_path
from evo_fair.space import SearchSpace, SpaceSchema
from evo_fair.space.schema import Section

__all__ = ["Data", "Fairness", "Problem", "Proxy", "Search", "Training", "load_problem", "problem_names"]

Fraction = Annotated[float, Field(gt=0, lt=1)]
FolderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
"""The name of one folder, no path: where it lies is said by --data and `EVO_FAIR_DATA`."""


class Data(Section):
    """`[data]`: where the samples come from and how they are split.

    For a folder of images, `folder` is the name that is looked for where --data gives none, by default the problem's;
    `licence` says what the data may be used for.
    """

    source: Literal["digits", "ham10000", "adult", "cifar10", "cifar10_lt", "image_folder"]
    image_size: Annotated[int, Field(ge=8, le=512)] = 64
    fractions: tuple[Fraction, Fraction, Fraction] = (0.65, 0.15, 0.20)
    split_seed: Annotated[int, Field(ge=0)] = 0
    positive: tuple[str, ...] | None = None
    min_samples: PositiveInt = 10
    missing: tuple[str, ...] | None = None
    folder: FolderName | None = None
    licence: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if abs(sum(self.fractions) - 1) > 1e-9:
            raise ValueError(
                f"fractions = {list(self.fractions)} add up to {sum(self.fractions):g}; make them add up to 1"
            )
        if self.missing is not None and self.source != "image_folder":
            raise ValueError(f"missing is for the source image_folder: {self.source} says itself what is unknown")
        for key in ("folder", "licence"):
            if getattr(self, key) is not None and self.source != "image_folder":
                raise ValueError(f"{key} is for the source image_folder: {self.source} has its own, leave it out")
        return self


class Fairness(Section):
    """`[fairness]`: the grouping that objectives look at, and those that are reported beside it."""

    group: str
    report: tuple[str, ...] = ()

    @property
    def groupings(self) -> tuple[str, ...]:
        """Every grouping that is counted, without repeats, the objectives' own first."""
        return tuple(dict.fromkeys((self.group, *self.report)))


class Training(Section):
    """`[training]`: stochastic gradient descent with Nesterov momentum and a one-cycle learning rate."""

    epochs: PositiveInt = 30
    batch_size: Annotated[int, Field(ge=2)] = 128
    learning_rate: PositiveFloat = 0.1
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    augment: tuple[Literal["hflip", "vflip", "rot90", "shift"], ...] = ()
    warmup_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.1
    random_networks: Annotated[int, Field(ge=0, le=16)] = 2
    seed: Annotated[int, Field(ge=0)] = 0

    def of_one_network(self) -> dict[str, Any]:
        """What the training of a single network depends on, as JSON: all but what is the supernet's alone."""
        return self.model_dump(mode="json", exclude={"seed", "warmup_fraction", "random_networks"})


class Proxy(Section):
    """`[proxy]`: how the frozen supernet is asked."""

    calibration_samples: Annotated[int, Field(ge=16)] = 512


class Search(Section):
    """`[search]`: what a search does unless told otherwise."""

    objectives: Annotated[tuple[str, ...], Field(min_length=1)]
    constraints: tuple[str, ...] = ()
    device: str = "raspberry-pi-4"
    budget: PositiveInt = 1000
    population: Annotated[int, Field(ge=2)] = 48


class Problem(Section):
    """A problem file, validated."""

    name: str
    title: str
    folder: Path | None = None
    data: Data
    fairness: Fairness
    space: SpaceSchema
    training: Training = Training()
    proxy: Proxy = Proxy()
    search: Search

    @model_validator(mode="after")
    def _check(self) -> Self:
        tabular = self.data.source == "adult"
        if (self.space.stem is None) != tabular:
            kind = "a table, whose space has FC stages and no stem" if tabular else "images, whose space has a stem"
            raise ValueError(f"space does not fit the source {self.data.source!r}, {kind}")
        if tabular and self.training.augment:
            raise ValueError(f"augment = {list(self.training.augment)} is for images: leave it out for a table")
        return self

    @property
    def argument(self) -> str:
        """What names it on the command line: a shipped problem's name, else the name of its file."""
        return self.name if self.name in problem_names() else f"{self.name}.toml"

    def dataset(self) -> Dataset:
        """Loads the data set from `folder`, or from where `evo_fair.data.find_data` looks; raises `DataError`.

        Every label, and every group of a base grouping and of the `group` of `[fairness]`, is checked to have enough
        samples; an intersection under `report` is only looked up, since objectives don't hang on it.
        """
        settings = self.data
        folder = self.folder if settings.folder is None else find_data(settings.source, self.folder, settings.folder)
        dataset = load_dataset(
            settings.source,
            folder,
            name=self.name if settings.source == "image_folder" else None,
            image_size=settings.image_size,
            fractions=settings.fractions,
            seed=settings.split_seed,
            positive=settings.positive,
            min_samples=settings.min_samples,
            missing=settings.missing,
            licence=settings.licence,
        )
        check_samples(dataset, [self.fairness.group], settings.min_samples)
        for name in self.fairness.report:
            dataset.grouping(name)
        return dataset

    def search_space(self, input_shape: tuple[int, ...], labels: int) -> SearchSpace:
        """The search space on inputs `(channels, height, width)` or `(features,)` and a number of labels."""
        return SearchSpace(self.space, input_shape, labels)


def problem_names() -> list[str]:
    """The names of the problems that come with evo_fair."""
    return shipped_names("problems", ".toml")


def load_problem(name: str, data: str | Path | None = None) -> Problem:
    """Reads a problem by the name of a shipped one or the path of a TOML file; `data` is its data set's folder.

    Raises `UnknownNameError` for a name that is neither, and `ProblemError` naming the file, the key and the mend.
    """
    path = shipped_or_path(name, "problems", ".toml", "problem")
    content = read_toml(path, ProblemError)
    for key in ("name", "folder"):
        if key in content:
            raise ProblemError(f"{path}: {key} can't be set here: the name is the file's, the folder --data's")
    try:
        return Problem.model_validate({**content, "name": path.stem, "folder": data})
    except ValidationError as error:
        raise ProblemError(f"{path}: {_first_message(error)}") from error


def _first_message(error: ValidationError) -> str:
    found: list[Any] = list(error.errors(include_url=False))
    first = next((one for one in found if one["type"] == "extra_forbidden"), found[0])  # a misspelt key is missing, too
    place = ".".join(str(part + 1) if isinstance(part, int) else part for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = "there is no such key: mend its name, or take it out"
    given = f", got {first['input']!r}" if first["type"] not in ("value_error", "missing", "extra_forbidden") else ""
    return f"{place}: {message}{given}" if place else f"{message}{given}"
