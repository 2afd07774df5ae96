"""The facts that a job's content depends on, as its folder and its files state them."""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from evo_fair import __version__
from evo_fair.data import Dataset
from evo_fair.errors import RunError
from evo_fair.problem import Problem, first_fault

__all__ = ["data_facts", "problem_facts", "problem_of", "version_facts"]


def version_facts(*packages: str) -> dict[str, str]:
    """The versions of evo_fair and of the packages whose arithmetic the content depends on."""
    return {"evo_fair": __version__} | {name: version(name) for name in packages}


def data_facts(dataset: Dataset) -> dict[str, str]:
    """What a data set is called, a hash of all that it holds, and what it may be used for."""
    return {"name": dataset.name, "fingerprint": dataset.fingerprint, "licence": dataset.licence}


def problem_facts(problem: Problem) -> dict[str, Any]:
    """All of a problem but where its data lie; `problem_of` makes it again."""
    return problem.model_dump(mode="json", exclude={"folder"}, exclude_none=True)


def problem_of(facts: Mapping[str, Any], place: Path, data: str | Path | Dataset | None) -> Problem:
    """The problem that `facts` from the file `place` state, on the folder or the data set `data`.

    Raises `RunError` for facts that state none.
    """
    content = facts.get("problem")
    if not isinstance(content, dict):
        raise RunError(f"{place} does not say which problem was searched: restore the file")
    try:
        if isinstance(data, Dataset):
            return Problem.model_validate(content).with_data(data)
        return Problem.model_validate({**content, "folder": data})
    except ValidationError as error:
        raise RunError(
            f"{place} does not say which problem was searched (problem.{first_fault(error)}): restore the file"
        ) from error
