"""Measurements as CSV: what is read back is what was written, and damage is named by file and line."""

import os
from pathlib import Path

import numpy as np
import pytest

from evo_fair.errors import DataWarning, ProfileError
from evo_fair.latency.measurements import (
    Measurements,
    read_latency,
    read_layers,
    read_measurements,
    write_latency,
    write_layers,
)
from evo_fair.layers import Op

HEADER = "network,op,c_in,c_out,kernel,stride,groups,h_in,w_in\n"
GOOD = HEADER + "a,conv,3,8,3,2,1,32,30\na,linear,8,10,1,1,1,1,1\nb,depthwise,8,8,3,1,8,16,16\n"


def written(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


def test_layers_become_a_padded_table_in_order_of_appearance(tmp_path: Path) -> None:
    names, table = read_layers(written(tmp_path / "layers.csv", GOOD))
    assert names == ["a", "b"]
    assert table.dtype == np.int32
    assert table.tolist() == [
        [[1, 3, 8, 3, 2, 1, 32, 30], [3, 8, 10, 1, 1, 1, 1, 1]],
        [[2, 8, 8, 3, 1, 8, 16, 16], [0] * 8],
    ]


def test_a_convolution_with_a_group_for_each_channel_is_depthwise_as_in_graphs(tmp_path: Path) -> None:
    rows = "a,conv,8,16,3,1,8,16,16\nb,conv,8,8,3,1,4,16,16\nc,conv,1,8,3,1,1,16,16\n"
    _, table = read_layers(written(tmp_path / "layers.csv", HEADER + rows))
    assert table[:, 0, 0].tolist() == [Op.DEPTHWISE, Op.CONV, Op.CONV]
    assert table[0, 0, 1:].tolist() == [8, 16, 3, 1, 8, 16, 16]


def test_what_is_written_is_read_back(tmp_path: Path, made_up: Measurements) -> None:
    write_layers(tmp_path / "layers.csv", made_up.names, made_up.table)
    write_latency(tmp_path / "latency.csv", made_up.names, made_up.latency_ms)
    again = read_measurements(tmp_path / "layers.csv", tmp_path / "latency.csv")
    assert again.names == made_up.names
    longest = again.table.shape[1]
    assert (again.table == made_up.table[:, :longest]).all()
    assert not made_up.table[:, longest:].any()
    np.testing.assert_allclose(again.latency_ms, made_up.latency_ms, atol=5e-7)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("network,op,c_in\na,conv,3\n", "line 1: column 'c_out' is missing"),
        ("", "line 1: column 'network' is missing"),
        (HEADER, "holds no layers"),
        (HEADER + "a,conv,16777216,16777216,3,1,1,1024,1024\n", "line 2: no layer is that large, of 16777216 and"),
        (HEADER + "a,cnv,3,8,3,2,1,32,32\n", "line 2: unknown op 'cnv': expected one of conv, depthwise"),
        (GOOD + "b,conv,3,8,3,-2,1,32,32\n", "line 5: stride is '-2'"),
        (GOOD + "b,conv,3,8,3,0,1,32,32\n", "line 5: stride is '0'"),
        (GOOD + "b,conv,3,8.5,3,1,1,32,32\n", "line 5: c_out is '8.5'"),
        (GOOD + "b,conv,3,99999999999,3,1,1,32,32\n", "line 5: c_out is '99999999999'"),
        (GOOD + "b,conv,3,8,3,1,1\n", "line 5: a value is missing"),
        (GOOD + "b,conv,8,8,3,1,3,32,32\n", "line 5: groups 3 does not divide c_in 8"),
        (GOOD + "a,conv,3,8,3,2,1,32,30\n", "line 5: network 'a' was there before: keep its layers together, once"),
        ("op," + HEADER + "conv,a,add,8,8,1,1,1,4,4\n", "line 1: column 'op' is there twice: keep one of them"),
        (GOOD + "b,depthwise,8,8,3,1,4,32,32\n", "line 5: groups 4 of a depthwise layer is not its c_in 8"),
    ],
)
def test_damaged_layers_are_refused(content: str, message: str, tmp_path: Path) -> None:
    path = written(tmp_path / "layers.csv", content)
    with pytest.raises(ProfileError, match=message) as refused:
        read_layers(path)
    assert str(path) in str(refused.value)


def test_two_networks_of_one_name_below_each_other_are_doubted(tmp_path: Path) -> None:
    smaller = "a,conv,3,16,3,2,1,24,24\na,linear,16,10,1,1,1,1,1\n"
    twice = written(tmp_path / "layers.csv", HEADER + GOOD.removeprefix(HEADER).split("b,")[0] + smaller)
    told = r"layers\.csv, line 4: network 'a' seems to begin anew, and counts as one \(1 such\): if these are two"
    with pytest.warns(DataWarning, match=told):
        names, table = read_layers(twice)
    assert (names, table.shape) == (["a"], (1, 4, 8))


def test_branches_and_repeated_layers_are_not_doubted(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    stacked = "c,conv,8,8,3,1,1,16,16\n" * 3
    excited = "d,conv,3,8,3,2,1,32,32\nd,global_pool,8,8,1,1,1,16,16\nd,linear,8,3,1,1,1,1,1\nd,linear,3,8,1,1,1,1,1\n"
    read_layers(written(tmp_path / "layers.csv", GOOD + stacked + excited + "d,mul,8,8,1,1,1,16,16\n"))
    assert not recwarn.list


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("network,ms\na,1\n", "line 1: column 'latency_ms' is missing"),
        ("network,latency_ms\na,1.5\nb,-2\n", "line 3: latency_ms of 'b' is '-2': give a number of milliseconds"),
        ("network,latency_ms\na,0\n", "line 2: latency_ms of 'a' is '0'"),
        ("network,latency_ms\na,fast\n", "line 2: latency_ms of 'a' is 'fast'"),
        ("network,latency_ms\na,inf\n", "line 2: latency_ms of 'a' is 'inf'"),
        ("network,latency_ms\na,nan\n", "line 2: latency_ms of 'a' is 'nan'"),
        ("network,latency_ms\na,1e308\n", "line 2: latency_ms of 'a' is '1e308'"),
        ("network,latency_ms\na,1e-200\n", "line 2: latency_ms of 'a' is '1e-200'"),
        ("network,latency_ms\na,1_0\n", "line 2: latency_ms of 'a' is '1_0'"),
        ("network,latency_ms\na,\uff15\n", "line 2: latency_ms of 'a' is '\uff15'"),
        ("network,latency_ms\na,1,5\n", "line 2 has 3 cells, and its header 2: write decimals with a point"),
        ("network,latency_ms\na,1\na,2\n", "line 3: network 'a' appears twice"),
        ("network,latency_ms\na,\n", "line 2: a value is missing"),
        ("network,latency_ms\n", "holds no latencies"),
        ("network,latency_ms,latency_ms\na,1,2\n", "line 1: column 'latency_ms' is there twice: keep one of them"),
    ],
)
def test_damaged_latencies_are_refused(content: str, message: str, tmp_path: Path) -> None:
    path = written(tmp_path / "latency.csv", content)
    with pytest.raises(ProfileError, match=message) as refused:
        read_latency(path)
    assert str(path) in str(refused.value)


def test_files_that_are_no_text_or_absent_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"network,latency_ms\n\xff\xfe,1\n")
    with pytest.raises(ProfileError, match="not a CSV file in UTF-8"):
        read_latency(tmp_path / "x.csv")
    with pytest.raises(ProfileError, match="cannot read"):
        read_layers(tmp_path / "absent.csv")


def test_a_timed_network_needs_layers(tmp_path: Path) -> None:
    layers = written(tmp_path / "layers.csv", GOOD)
    latency = written(tmp_path / "latency.csv", "network,latency_ms\na,1\nc,2\n")
    with pytest.raises(ProfileError, match="network 'c' has no layers in"):
        read_measurements(layers, latency)


def test_networks_that_were_not_timed_are_left_out(tmp_path: Path) -> None:
    layers = written(tmp_path / "layers.csv", GOOD)
    latency = written(tmp_path / "latency.csv", "network,latency_ms\nb,2\n")
    measured = read_measurements(layers, latency)
    assert measured.names == ("b",)
    assert measured.table[0, 0].tolist() == [2, 8, 8, 3, 1, 8, 16, 16]
    with pytest.raises(ProfileError, match="times 1 networks, too few to fit a profile: measure at least 8"):
        read_measurements(layers, latency, fewest=8)


def test_pipes_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "latency.csv")
    with pytest.raises(ProfileError, match=r"latency\.csv is a pipe or a device, and no file"):
        read_latency(tmp_path / "latency.csv")
