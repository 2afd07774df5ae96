"""Timing: every round visits every network, and what rounds say of themselves is worked out by hand."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from evo_fair.latency import measure as measuring
from evo_fair.latency.build_onnx import layers_to_onnx
from evo_fair.latency.measure import Timings, measure, write_csv
from evo_fair.latency.measurements import read_latency
from evo_fair.layers import Op


class FakeSession:
    """Counts its runs and takes no time."""

    def __init__(self) -> None:
        self.runs = 0

    def get_inputs(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name="x", shape=["batch", 3, 4, 4])]

    def run(self, outputs: None, feed: dict[str, np.ndarray]) -> None:
        assert feed["x"].shape == (1, 3, 4, 4)
        assert feed["x"].dtype == np.float32
        self.runs += 1


def test_rounds_are_summed_up_by_their_medians() -> None:
    timings = Timings(["a", "b"], [[1.0, 10.0], [1.1, 10.0], [1.0, 12.0], [5.0, 10.0]])
    np.testing.assert_allclose(timings.latency_ms, [1.05, 10.0])
    # Odd rounds have the medians 1.0 and 11.0, even rounds 3.05 and 10.0.
    assert timings.repeatability == pytest.approx((2.05 / 1.05 + 1.0 / 10.0) / 2)


def test_a_machine_that_slows_down_drifts() -> None:
    steady = Timings(["a"], [[1.0]] * 9)
    assert steady.drift == pytest.approx(0)
    assert steady.spread == pytest.approx(0)
    slowing = Timings(["a"], [[1.0]] * 6 + [[1.3]] * 3)
    assert slowing.drift == pytest.approx(0.3)


def test_every_round_visits_every_network_and_reports() -> None:
    sessions = {"a": FakeSession(), "b": FakeSession()}
    heard: list[tuple[int, int]] = []
    timings = measure(sessions, 1.0, lambda done, total: heard.append((done, total)), most_rounds=6)
    assert timings.rounds.shape == (6, 2)
    assert (timings.rounds > 0).all()
    assert [done for done, _ in heard] == [1, 2, 3, 4, 5, 6]
    assert sessions["a"].runs == sessions["b"].runs == 2 + 6 * 51  # a warm-up run a visit, 50 that count


def test_without_time_left_five_rounds_remain() -> None:
    assert len(measure({"a": FakeSession()}, 0.0, lambda done, total: None).rounds) == 5


def test_what_is_written_can_be_fitted(tmp_path: Path) -> None:
    write_csv(tmp_path / "latency.csv", Timings(["a", "b,c"], [[1.0, 2.0]]))
    assert read_latency(tmp_path / "latency.csv") == {"a": 1.0, "b,c": 2.0}
    assert [path.name for path in tmp_path.iterdir()] == ["latency.csv"]


def test_times_are_written_as_they_are_read_whatever_the_board_speaks(tmp_path: Path) -> None:
    """A network of one's own in the kit can have any name."""
    code = (
        "import os; from pathlib import Path; from evo_fair.latency.measure import Timings, write_csv; "
        "write_csv(Path('latency.csv'), Timings([os.fsdecode(b'gr\\xc3\\xb6\\xc3\\x9fe')], [[1.0]]))"
    )
    plain = {
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONPATH": str(Path(measuring.__file__).parents[2]),
    }
    subprocess.run([sys.executable, "-c", code], env={**os.environ, **plain}, cwd=tmp_path, check=True)
    assert read_latency(tmp_path / "latency.csv") == {"größe": 1.0}


def test_repeats_are_compared_and_joined() -> None:
    first, second = Timings(["a", "b", "c"], [[1.0, 2.0, 4.0]]), Timings(["a", "b", "c"], [[1.0, 1.0, 5.0]])
    assert first.disagreement(second) == pytest.approx(0.2)
    assert first.joined(second).rounds.tolist() == [[1.0, 2.0, 4.0], [1.0, 1.0, 5.0]]


@pytest.mark.parametrize(("rounds", "steady"), [([[1.0]] * 9, True), ([[1.0]] * 3 + [[1.2]] * 6, False)])
def test_a_kit_warns_of_an_unsteady_board(
    rounds: list[list[float]],
    steady: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "networks").mkdir()
    (tmp_path / "networks" / "a.onnx").write_bytes(b"")
    monkeypatch.setattr(measuring, "__file__", str(tmp_path / "measure.py"))
    monkeypatch.setattr(measuring, "pin", lambda threads: None)
    monkeypatch.setattr(measuring, "open_session", lambda path, threads: None)
    monkeypatch.setattr(measuring, "measure", lambda *_, **__: Timings(["a"], rounds))
    monkeypatch.setattr("sys.argv", ["measure.py"])
    measuring.main()
    warned = "the machine was not steady, within 5%: run it again with nothing else running" in capsys.readouterr().err
    assert warned is not steady
    assert (tmp_path / "latency.csv").is_file()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--threads", "0"], "--threads 0: give 1 to 4, as many as there are processors"),
        (["--threads", "-1"], "--threads -1: give 1 to 4"),
        (["--threads", "5"], "--threads 5: give 1 to 4"),
        (["--minutes", "nan"], "--minutes nan: give a number from 0 on"),
        (["--minutes", "-1"], "--minutes -1: give a number from 0 on"),
    ],
)
def test_a_kit_refuses_what_it_can_not_measure_with(
    arguments: list[str], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(measuring, "processors", lambda: 4)
    monkeypatch.setattr(measuring, "pin", lambda threads: pytest.fail("timing began"))
    monkeypatch.setattr("sys.argv", ["measure.py", *arguments])
    with pytest.raises(SystemExit):
        measuring.main()
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("Protobuf\n parsing failed"), "a.onnx can't be loaded (Protobuf parsing failed): copy the whole"),
        (ImportError("No module named 'onnxruntime'"), "install it with 'python3 -m pip install onnxruntime'"),
    ],
)
def test_a_kit_names_a_network_that_can_not_be_loaded(
    error: Exception,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(path: str, threads: int) -> None:
        assert path == str(tmp_path / "networks" / "a.onnx"), "what a Mac adds is passed over"
        raise error

    (tmp_path / "networks").mkdir()
    for name in ("._a.onnx", "a.onnx"):
        (tmp_path / "networks" / name).write_bytes(b"")
    monkeypatch.setattr(measuring, "__file__", str(tmp_path / "measure.py"))
    monkeypatch.setattr(measuring, "pin", lambda threads: None)
    monkeypatch.setattr(measuring, "open_session", fail)
    monkeypatch.setattr("sys.argv", ["measure.py"])
    with pytest.raises(SystemExit) as ended:
        measuring.main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert told in line


@pytest.mark.parametrize(
    ("rounds", "before", "kept", "told"),
    [
        (0, False, None, "interrupted: nothing was written"),
        (2, False, "1.500000", "latency.csv has what 2 complete rounds measured, of which 5 are needed to be sure"),
        (2, True, "9", "interrupted: nothing was written"),
        (6, True, "3.500000", "latency.csv has what 6 complete rounds measured"),
    ],
)
def test_a_kit_that_is_interrupted_keeps_its_rounds(
    rounds: int,
    before: bool,
    kept: str | None,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupt(*_: object, rounds: list[list[float]], done: int = rounds) -> None:
        rounds += [[float(ms)] for ms in range(1, done + 1)]
        raise KeyboardInterrupt

    (tmp_path / "networks").mkdir()
    (tmp_path / "networks" / "a.onnx").write_bytes(b"")
    if before:
        (tmp_path / "latency.csv").write_text("network,latency_ms\na,9\n")
    monkeypatch.setattr(measuring, "__file__", str(tmp_path / "measure.py"))
    monkeypatch.setattr(measuring, "pin", lambda threads: None)
    monkeypatch.setattr(measuring, "open_session", lambda path, threads: None)
    monkeypatch.setattr(measuring, "measure", interrupt)
    monkeypatch.setattr("sys.argv", ["measure.py"])
    with pytest.raises(SystemExit) as ended:
        measuring.main()
    assert ended.value.code == 130
    assert capsys.readouterr().err.endswith(f"{told}\n")
    table = tmp_path / "latency.csv"
    assert (table.read_text().split(",")[-1].strip() if table.exists() else None) == kept


class FailingSession(FakeSession):
    """Fails in the third round: the first visit takes two runs, that of a round four."""

    def run(self, outputs: None, feed: dict[str, np.ndarray]) -> None:
        super().run(outputs, feed)
        if self.runs == 2 + 2 * 4 + 1:
            raise MemoryError("std::bad\n alloc")


def test_a_kit_whose_network_fails_while_it_is_timed_keeps_its_rounds_and_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "networks").mkdir()
    for name in ("a.onnx", "b.onnx"):
        (tmp_path / "networks" / name).write_bytes(b"")
    monkeypatch.setattr(measuring, "__file__", str(tmp_path / "measure.py"))
    monkeypatch.setattr(measuring, "pin", lambda threads: None)
    monkeypatch.setattr(measuring, "MOST_RUNS", 3)
    sessions = {"a": FakeSession(), "b": FailingSession()}
    monkeypatch.setattr(measuring, "open_session", lambda path, threads: sessions[Path(path).stem])
    monkeypatch.setattr("sys.argv", ["measure.py"])
    with pytest.raises(SystemExit) as ended:
        measuring.main()
    assert ended.value.code == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert "b does not run (std::bad alloc), take its file out of networks or free some memory: " in told
    assert told.endswith("latency.csv has what 2 complete rounds measured, of which 5 are needed to be sure")
    assert len((tmp_path / "latency.csv").read_text().splitlines()) == 3


def test_rounds_are_there_after_an_interrupt() -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    rounds: list[list[float]] = []
    with pytest.raises(KeyboardInterrupt):
        measure({"a": FakeSession()}, 1.0, interrupt, rounds=rounds)
    assert len(rounds) == 3


@pytest.mark.parametrize(
    ("raised", "code", "told"),
    [
        ("ImportError('No module\\n named numpy')", 2, "NumPy can't be imported (No module named numpy): install it"),
        ("KeyboardInterrupt", 130, "interrupted"),
    ],
)
def test_a_kit_needs_numpy(raised: str, code: int, told: str, tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text(f"raise {raised}")
    (tmp_path / "measure.py").write_bytes(Path(measuring.__file__).read_bytes())
    ended = subprocess.run([sys.executable, "measure.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (code, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith(told)


KIT = """
import runpy
runpy.run_path({script!r})["open_session"]({model!r}, 1)
"""
LIBRARY = """
import evo_fair
import onnxruntime
onnxruntime.InferenceSession({model!r}, providers=["CPUExecutionProvider"])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="where ONNX Runtime keeps what it tells is known on Linux alone")
@pytest.mark.parametrize("code", [KIT, LIBRARY], ids=["kit", "library"])
def test_nothing_is_told_of_the_networks_that_are_opened(code: str, tmp_path: Path) -> None:
    """ONNX Runtime from 1.29 on sends events, and keeps them at home until it can."""
    linear = np.array([[Op.LINEAR, 4, 2, 1, 1, 1, 1, 1]], np.int32)
    (tmp_path / "one.onnx").write_bytes(layers_to_onnx(linear).SerializeToString())
    filled = code.format(script=measuring.__file__, model=str(tmp_path / "one.onnx"))
    # It is silent by itself where it takes itself to be tested.
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    home = tmp_path / "home"
    home.mkdir()
    environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(home), "XDG_DATA_HOME": str(home)}
    subprocess.run([sys.executable, "-c", filled], env=environment, cwd=tmp_path, check=True)
    assert [path.name for path in home.rglob("*") if path.is_file()] == []
