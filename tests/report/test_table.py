from io import StringIO

from rich.console import Console

from evo_fair.evolution import Axis
from evo_fair.report import front_markdown, front_table

from .conftest import AXES, NETWORKS, write_run


def test_the_markdown_table_has_every_network(run):
    lines = front_markdown(run.front, run.axes).splitlines()
    assert lines[0] == "| network | accuracy ↑ | unfairness ↓ | latency on a board (ms) ↓ | params |"
    assert lines[2] == "| 000000000000 | 0.9000 | 0.3000 | 8.000 | 90,000 |"
    assert len(lines) == 2 + 5


def printed(table):
    console = Console(width=120, file=StringIO())
    console.print(table)
    return console.file.getvalue()


def test_the_terminal_table_names_the_networks(run):
    text = printed(front_table(run))
    assert "5 networks on the front" in text
    assert all(name in text for name in run.front["id"])
    assert "90,000" in text


def test_a_long_front_is_thinned_evenly_and_says_so(run):
    text = printed(front_table(run, rows=3))
    assert "5 networks on the front, all in front.csv; 3 shown, spread evenly over it" in " ".join(text.split())
    assert [name[-1] for name in run.front["id"] if name in text] == ["0", "2", "4"]


def test_an_empty_front_has_a_table_too(tmp_path):
    assert "0 networks on the front" in printed(front_table(write_run(tmp_path / "none", networks=())))


def test_a_front_of_one_network_is_of_one(tmp_path):
    assert "1 network on the front" in printed(front_table(write_run(tmp_path / "one", networks=NETWORKS[:1])))


def test_of_several_devices_each_latency_is_shown_once(run):
    """The first device's stands in the front under both of its names."""
    front = run.front.assign(**{"latency_ms[a]": run.front["latency_ms"], "latency_ms[b]": 2 * run.front["latency_ms"]})
    axes = (*AXES[:2], Axis("latency_ms[a]", unit="ms", label="latency on a"))
    head = front_markdown(front, axes).splitlines()[0]
    assert head == "| network | accuracy ↑ | unfairness ↓ | latency on a (ms) ↓ | latency ms[b] | params |"


def test_tiny_values_are_not_rounded_to_nothing(run):
    front = run.front.assign(joules=[2.5e-6, 1.25e-5, 3e-7, 0.0, 1e-6])
    lines = front_markdown(front, (AXES[0], Axis("joules"))).splitlines()
    assert [line.split(" | ")[2] for line in lines[2:]] == ["2.5e-06", "1.25e-05", "3e-07", "0", "1e-06"]
