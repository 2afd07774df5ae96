"""What a run's `run.toml` says was searched, checked before anybody believes it."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evo_fair.errors import ConstraintError, RunError, quote
from evo_fair.evolution.constraints import Limit, parse_limit
from evo_fair.evolution.objectives import Axis
from evo_fair.evolution.run_folder import RunFolder
from evo_fair.evolution.start import Initial
from evo_fair.job_folder import other_job

__all__ = ["Searched"]

SearchedText = Annotated[str, Field(max_length=300)]
SearchedName = Annotated[
    str, Field(pattern=r"^(?:[^\W\d]\w*|latency_ms\[[A-Za-z0-9][A-Za-z0-9._-]*\])$", max_length=300)
]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class _Axis(_Part):
    name: SearchedName
    direction: Literal["min", "max"] = "min"
    unit: SearchedText = ""
    label: SearchedText = ""


class Searched(_Part):
    """The `[search]` of a run. One that doesn't say how it began, `initial`, is of a time when all began at random."""

    objectives: Annotated[list[_Axis], Field(min_length=1, max_length=100)]
    constraints: Annotated[list[SearchedText], Field(max_length=1000)] = []
    algorithm: SearchedText = "run"
    group: SearchedText = ""
    seed: int | None = None
    budget: int | None = None
    initial: Initial = "random"

    @property
    def begins_with_whole(self) -> bool:
        """Whether the first network that it looked at is a whole network, whose pruned forms are searched."""
        return self.initial == "known" and (self.budget is None or self.budget > 1)

    @classmethod
    def of(cls, folder: RunFolder) -> Self:
        """What the run in a folder searched.

        Args:
            folder: The folder.

        Returns:
            Its objectives and limits.

        Raises:
            RunError: A key of its configuration is missing or damaged; the message
                names it.
        """
        if "search" not in folder.configuration:
            raise RunError(
                other_job(folder.path, "search")
                or f"{folder.path / 'run.toml'} does not say what was searched, it has no [search]: give the folder "
                "that a search wrote, or restore it"
            )
        try:
            searched = cls.model_validate(folder.configuration.get("search"))
            names = [axis.name for axis in searched.objectives]
            if len(set(names)) < len(names):
                raise RunError(f"{folder.path / 'run.toml'}: search.objectives names one twice: restore the file")
            _ = searched.limits
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(str(part + 1 if isinstance(part, int) else part) for part in ("search", *first["loc"]))
            given = "" if first["type"] == "missing" else f", got {quote(first['input'])}"
            raise RunError(
                f"{folder.path / 'run.toml'} does not say what was searched ({place}: {first['msg']}{given}): give the "
                "folder that a search wrote, or restore it"
            ) from None
        except ConstraintError as reason:
            raise RunError(f"{folder.path / 'run.toml'}: search.constraints: {reason}; restore the file") from reason
        return searched

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The objectives."""
        return tuple(Axis(axis.name, axis.direction, axis.unit, axis.label) for axis in self.objectives)

    @property
    def limits(self) -> tuple[Limit, ...]:
        """The constraints."""
        return tuple(map(parse_limit, self.constraints))
