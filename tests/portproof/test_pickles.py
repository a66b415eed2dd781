"""A .pdparams is read without Paddle, and written as Paddle does. None is run: test_transfer.py."""

import collections
import pickle

import numpy as np
import pytest

from portproof.files import pickles
from portproof.system.errors import UserError
from tests.support.helpers import assert_success, run_warm


def write(path, value, protocol=4):
    path.write_bytes(pickle.dumps(value, protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4])  # those that Paddle writes
def test_arrays_and_plain_values_come_back(tmp_path, protocol):
    weight = np.arange(12, dtype=np.float32).reshape(3, 4)
    arrays = [("a.weight", ("linear_0.w_0", weight)), ("a.bias", np.float64([1, 2]))]
    contents = {"epoch": 3, "top1": np.float32(0.5), "names": ["x", "é"]}
    contents["model"] = collections.OrderedDict(arrays)
    read = pickles.read(write(tmp_path / "w.pdparams", contents, protocol))
    assert np.array_equal(read["model"]["a.weight"], weight)
    assert read["model"]["a.weight"].dtype == np.float32
    assert read["model"]["a.bias"].tolist() == [1, 2]
    assert (read["epoch"], read["top1"], read["names"]) == (3, 0.5, ["x", "é"])


def test_arrays_of_objects_are_refused(tmp_path):
    path = write(tmp_path / "w.pdparams", {"a": np.array([None, "x"], dtype=object)})
    with pytest.raises(UserError, match="objects"):
        pickles.read(path)


@pytest.mark.parametrize("cut", [0, 1, 10, 200, -1])
def test_a_truncated_file_is_named(tmp_path, cut):
    path = tmp_path / "cut.pdparams"
    path.write_bytes(pickle.dumps({"a": np.zeros(100)}, 4)[:cut])
    with pytest.raises(UserError, match=r"cut\.pdparams"):
        pickles.read(path)


# Both files are loaded by Paddle itself: the one written by paddle.save, and the one written here.
LOAD = """
import sys
import numpy as np, paddle
from paddle import nn

class Net(nn.Layer):
    def __init__(self):
        super().__init__()
        self.a = self.create_parameter([2, 3])
        self.b = self.create_parameter([4], dtype="bfloat16")
        self.register_buffer("c", paddle.zeros([], dtype="int64"))
        self.d = self.create_parameter([2], dtype="float16")
        self.e = self.create_parameter([2], dtype="float64")
        self.register_buffer("f", paddle.to_tensor([True, False]))

paddle.save(Net().state_dict(), sys.argv[2])
ours, theirs = paddle.load(sys.argv[1]), paddle.load(sys.argv[2])
assert set(ours) == set(theirs), (set(ours), set(theirs))
for name, value in ours.items():
    assert isinstance(value, paddle.Tensor) and type(value) is type(theirs[name]), type(value)
    assert (value.dtype, value.shape) == (theirs[name].dtype, theirs[name].shape), name
    assert value.name == name
net = Net()
missing, unexpected = net.set_state_dict(ours)
assert not missing and not unexpected
assert net.a.numpy().tolist() == [[0, 2, 4], [1, 3, 5]]
assert net.b.astype("float32").numpy().tolist() == [1, -2, 0.5, 3]
assert int(net.c) == 7 and net.c.shape == []
assert (net.d.tolist(), net.e.tolist(), net.f.tolist()) == ([1, 2], [0.1, 3], [False, True])
"""


def test_paddle_loads_what_is_written(tmp_path):
    arrays = {"c": np.array(7), "d": np.array([1, 2], np.float16), "e": np.array([0.1, 3])}
    arrays["a"] = np.arange(6, dtype=np.float32).reshape(3, 2).T  # a view in Fortran's order
    arrays["b"] = np.array([0x3F80, 0xC000, 0x3F00, 0x4040], np.uint16)  # bfloat16
    arrays["f"] = np.array([False, True])
    ours, theirs = tmp_path / "ours.pdparams", tmp_path / "theirs.pdparams"
    pickles.write(ours, arrays)
    assert_success(run_warm("paddle", "-c", LOAD, ours, theirs))
    written, expected = (pickle.loads(path.read_bytes()) for path in (ours, theirs))
    assert written.keys() == expected.keys()
    for name, array in arrays.items():
        assert type(written[name]) is type(expected[name]) is np.ndarray
        assert written[name].flags.c_contiguous and written[name].dtype == expected[name].dtype
        assert np.array_equal(written[name], array)
        assert np.array_equal(pickles.read(ours)[name], array)


def test_arrays_cut_into_parts_come_back_whole(tmp_path):
    """As Paddle cuts those of more than 1 GB in protocols 2 and 3."""
    whole = np.arange(12.0)
    contents = {"a@@.0": whole[:8], "a@@.1": whole[8:], "b": whole, pickles.NAME_TABLE: {}}
    contents[pickles.PART_TABLE] = {"a": {"OriginShape": (3, 4), "slices": ["a@@.0", "a@@.1"]}}
    read = pickles.read(write(tmp_path / "w.pdparams", contents, 2))
    assert read.keys() == {"a", "b"}
    assert np.array_equal(read["a"], whole.reshape(3, 4))
    contents[pickles.PART_TABLE]["a"]["slices"].append("a@@.2")
    with pytest.raises(UserError, match=r"w\.pdparams"):
        pickles.read(write(tmp_path / "w.pdparams", contents, 2))


def test_what_calls_make_is_counted(tmp_path):
    """One list of 100,000 numbers, of which each of many calls makes another tuple."""
    numbers = b"](" + b"K\x01" * 100_000 + b"eq\x00cbuiltins\ntuple\nq\x01]("
    path = tmp_path / "w.pdparams"
    path.write_bytes(numbers + b"h\x01h\x00\x85R" * 20_000 + b"e.")
    with pytest.raises(UserError, match="far more in memory than it holds"):
        pickles.read(path)


def test_one_array_under_many_names_is_refused_and_a_tied_one_is_not(tmp_path):
    array = np.zeros(100_000, np.float32)
    tied = pickles.read(write(tmp_path / "tied.pdparams", {"a": array, "b": array}))
    assert tied["a"] is tied["b"]
    many = write(tmp_path / "many.pdparams", {str(number): array for number in range(1000)})
    with pytest.raises(UserError, match="far more in memory than it holds"):
        pickles.read(many)
