"""A block that may never end is ended, in any thread, and nothing comes after it."""

import threading
import time

import pytest

from evo_fair.time_limit import OutOfTime, time_limit


def endless() -> None:
    while True:
        pass


def test_an_endless_block_is_ended() -> None:
    begin = time.monotonic()
    with pytest.raises(OutOfTime), time_limit(0.05):
        endless()
    assert time.monotonic() - begin < 5


def test_a_block_in_time_is_left_alone() -> None:
    with time_limit(60):
        done = sum(range(100))
    assert done == 4950


def test_it_holds_in_another_thread() -> None:
    ended: list[bool] = []

    def work() -> None:
        try:
            with time_limit(0.05):
                endless()
        except OutOfTime:
            ended.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(20)
    assert ended == [True]


def test_a_block_that_catches_it_hears_it_again() -> None:
    begin = time.monotonic()

    def catches_once() -> None:
        try:
            endless()
        except OutOfTime:
            endless()

    with pytest.raises(OutOfTime), time_limit(0.05):
        catches_once()
    assert time.monotonic() - begin < 10


def test_nothing_is_raised_behind_a_block_that_ends_with_its_limit() -> None:
    """Under a profiler, too, Python goes on: taking an exception back would leave it on the watch for ever."""
    import cProfile

    profile = cProfile.Profile()
    profile.enable()
    for number in range(60):
        try:
            with time_limit(0.001 * (number % 4)):
                time.sleep(0.001 * (number % 3))
        except OutOfTime:
            continue
    done = sum(number for number in range(1000))
    profile.disable()
    assert done == 499500
