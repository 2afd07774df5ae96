"""Errors: each travels between processes as it is, whatever its `__init__` takes."""

import importlib
import multiprocessing
import pickle
import pkgutil

import pytest

import evo_fair
from evo_fair.errors import EvoFairError, StorageError, UnknownNameError


def every_error() -> list[type[EvoFairError]]:
    """All error classes of the package, wherever they are defined."""
    for module in pkgutil.walk_packages(evo_fair.__path__, "evo_fair."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found, left = [], [EvoFairError]
    while left:
        kind = left.pop()
        found.append(kind)
        left += kind.__subclasses__()
    return sorted({kind for kind in found if kind.__module__.startswith("evo_fair")}, key=lambda kind: kind.__name__)


def made(kind: type[EvoFairError]) -> EvoFairError:
    if kind is UnknownNameError:
        return UnknownNameError("objective", "eror", ["error", "params"])
    return kind("line 3 of x is wrong: mend it")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_error_survives_being_pickled(protocol: int) -> None:
    kinds = every_error()
    assert len(kinds) > 12
    for kind in kinds:
        error = made(kind)
        error.add_note("a note")
        back = pickle.loads(pickle.dumps(error, protocol))
        assert type(back) is kind
        assert (str(back), back.args) == (str(error), error.args)
        assert back.__notes__ == ["a note"]


class OfTwoError(EvoFairError):
    """An error as a user may derive one."""

    def __init__(self, name: str, number: int) -> None:
        self.name, self.number = name, number
        super().__init__(f"{name} is {number}: mend it")


def test_an_error_of_a_users_own_keeps_its_attributes() -> None:
    back = pickle.loads(pickle.dumps(OfTwoError("x", 3)))
    assert (str(back), back.name, back.number) == ("x is 3: mend it", "x", 3)


def test_a_storage_error_stays_an_os_error() -> None:
    assert isinstance(pickle.loads(pickle.dumps(StorageError("disk full"))), OSError)


def refuse(name: str) -> None:
    raise UnknownNameError("objective", name, ["error"])


def test_a_pool_hands_the_error_to_its_parent() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        waiting = pool.apply_async(refuse, ("eror",))
        with pytest.raises(UnknownNameError, match="did you mean 'error'"):
            waiting.get(timeout=60)
