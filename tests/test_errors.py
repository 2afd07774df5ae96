"""Messages: of one length that can be read, whatever they quote."""

import pickle

import pytest

from evo_fair.errors import LONGEST_MESSAGE, EvoFairError, RunError, StorageError, quote


@pytest.mark.parametrize("kind", [EvoFairError, RunError, StorageError])
def test_a_message_that_quotes_much_keeps_its_beginning_and_its_end(kind: type[EvoFairError]) -> None:
    error = kind(f"x.toml: title {'a' * 140_000!r} is too long: mend it")
    message = str(error)
    assert len(message) <= LONGEST_MESSAGE
    assert message.startswith("x.toml: title 'aaa")
    assert message.endswith("aaa' is too long: mend it")
    assert str(pickle.loads(pickle.dumps(error))) == message


def test_a_message_is_one_line() -> None:
    assert str(EvoFairError("a key a\nb, a \u2028 c")) == "a key a b, a   c"


def test_a_message_can_be_printed_whatever_it_quotes() -> None:
    assert str(EvoFairError("half \ud800 of a pair")) == r"half \ud800 of a pair"


@pytest.mark.parametrize(
    "value", ["x" * 10**6, list(range(10**6)), {"a": {"b": ["c" * 10**6]}}, b"y" * 10**6, "a\nb", [[[[[[[[1]]]]]]]]]
)
def test_a_quoted_value_is_short_and_on_one_line(value: object) -> None:
    assert len(quote(value)) < 150
    assert "\n" not in quote(value)


def test_a_short_value_is_quoted_as_it_is() -> None:
    assert quote([8, 9, 16]) == "[8, 9, 16]"
    assert quote("latency") == "'latency'"
