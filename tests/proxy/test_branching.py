"""Work that branches is done whole, by as many threads as there are hands, and ends where a piece fails."""

import threading
import time

import pytest

from evo_fair.proxy.branching import do_all


@pytest.mark.parametrize("threads", [1, 3])
def test_every_piece_is_done_once_and_no_hand_is_in_two_places(threads: int) -> None:
    done, held = [], [threading.Lock() for _ in range(threads)]

    def work(piece: tuple[int, ...], hand: threading.Lock) -> list[tuple[int, ...]]:
        assert hand.acquire(blocking=False)
        time.sleep(0.001)
        done.append(piece)
        hand.release()
        return [(*piece, number) for number in range(3)] if len(piece) < 3 else []

    do_all([()], work, held)
    assert len(done) == len(set(done)) == 1 + 3 + 9 + 27


def test_the_newest_piece_is_done_first() -> None:
    done: list[str] = []

    def work(piece: str, _: int) -> list[str]:
        done.append(piece)
        return [piece + "1", piece + "2"] if len(piece) < 2 else []

    do_all(["a", "b"], work, [0])
    assert done == ["a", "a1", "a2", "b", "b1", "b2"]


def test_several_threads_work_at_the_same_time() -> None:
    together = threading.Barrier(3, timeout=30)
    do_all([0, 1, 2], lambda _, __: [together.wait()][1:], range(3))


@pytest.mark.parametrize("by_caller", [True, False])
def test_what_fails_ends_all_and_is_raised(by_caller: bool) -> None:
    caller, done = threading.get_ident(), []
    failed = threading.Event()

    def work(piece: int, _: int) -> list[int]:
        if (threading.get_ident() == caller) == by_caller:
            failed.set()
            raise KeyboardInterrupt
        assert failed.wait(30)
        done.append(piece)
        return [piece + 1]  # without end, but for the failure

    with pytest.raises(KeyboardInterrupt):
        do_all([0, 100], work, range(2))
    assert len(done) < 1000


def test_what_a_thread_does_is_called_as_asked() -> None:
    entered = []

    def on_thread(run: object) -> None:
        entered.append(threading.get_ident())
        run()  # type: ignore[operator]

    do_all([], lambda _, __: [], range(2), on_thread)
    assert len(entered) == 2
