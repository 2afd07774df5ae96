"""Errors: messages of a length that can be read, and the way between processes."""

import contextlib
import importlib
import multiprocessing
import pickle
import pkgutil

import pytest

import evo_fair
from evo_fair.errors import LONGEST_MESSAGE, EvoFairError, RunError, StorageError, UnknownNameError, WorkerError, quote


def every_error() -> list[type[EvoFairError]]:
    """All error classes of the package, wherever they are defined."""
    for module in pkgutil.walk_packages(evo_fair.__path__, "evo_fair."):
        if not module.name.endswith("__main__"):
            with contextlib.suppress(WorkerError):  # a module that needs the extra `cluster`, which is not installed
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
    return kind("line 3 of x is wrong: fix it")


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
        super().__init__(f"{name} is {number}: fix it")


def test_an_error_of_a_users_own_keeps_its_attributes() -> None:
    back = pickle.loads(pickle.dumps(OfTwoError("x", 3)))
    assert (str(back), back.name, back.number) == ("x is 3: fix it", "x", 3)


def test_a_storage_error_stays_an_os_error() -> None:
    assert isinstance(pickle.loads(pickle.dumps(StorageError("disk full"))), OSError)


def refuse(name: str) -> None:
    raise UnknownNameError("objective", name, ["error"])


def test_a_pool_hands_the_error_to_its_parent() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        waiting = pool.apply_async(refuse, ("eror",))
        with pytest.raises(UnknownNameError, match="did you mean 'error'"):
            waiting.get(timeout=60)


def test_of_very_many_names_the_first_are_listed_and_all_may_be_meant() -> None:
    message = str(UnknownNameError("network", "n98x", [f"n{number:02}" for number in range(99)]))
    assert "n39 and 59 more; did you mean 'n98'?" in message
    assert "n40" not in message


@pytest.mark.parametrize(
    ("name", "told"),
    [("0f8", "; did you mean '0f8bbc376e3d'?"), ("0f", None), ("77a", None), ("", None)],
)
def test_the_beginning_of_one_name_alone_is_taken_for_that_one(name: str, told: str | None) -> None:
    message = str(UnknownNameError("network", name, ["0f8bbc376e3d", "77a0bbc376e3", "77a1bbc376e3"]))
    assert message.endswith(told or "77a1bbc376e3")


@pytest.mark.parametrize("kind", [EvoFairError, RunError, StorageError])
def test_a_message_that_quotes_much_keeps_its_beginning_and_its_end(kind: type[EvoFairError]) -> None:
    error = kind(f"x.toml: title {'a' * 140_000!r} is too long: fix it")
    message = str(error)
    assert len(message) <= LONGEST_MESSAGE
    assert message.startswith("x.toml: title 'aaa")
    assert message.endswith("aaa' is too long: fix it")
    assert str(pickle.loads(pickle.dumps(error))) == message


def test_a_message_is_one_line() -> None:
    assert str(EvoFairError("a key a\nb, a \u2028 c")) == "a key a b, a   c"


def test_a_name_that_is_no_text_is_unknown_like_any_other() -> None:
    assert str(UnknownNameError("scope", 3, ["global"])) == "unknown scope 3: expected one of global"  # type: ignore[arg-type]


def test_a_message_can_be_printed_whatever_it_quotes() -> None:
    assert str(EvoFairError("half \ud800 of a pair")) == r"half \ud800 of a pair"


@pytest.mark.parametrize(
    "value", ["x" * 10**6, list(range(10**6)), {"a": {"b": ["c" * 10**6]}}, b"y" * 10**6, "a\nb", [[[[[[[[1]]]]]]]]]
)
def test_a_quoted_value_is_short_and_on_one_line(value: object) -> None:
    assert len(quote(value)) < 150
    assert "\n" not in quote(value)


def test_a_whole_number_of_more_digits_than_python_writes_is_told_as_one() -> None:
    assert quote(10**5000) == "<int of too many digits>"
    assert quote([10**5000]) == "<list of too many digits>"


def test_a_short_value_is_quoted_as_it_is() -> None:
    assert quote([8, 9, 16]) == "[8, 9, 16]"
    assert quote("latency") == "'latency'"
