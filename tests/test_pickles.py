"""Reading a .pdparams never runs what it carries."""

import collections
import os
import pickle

import numpy as np
import pytest

from common import pickles
from common.errors import UserError


class Call:
    """Pickled, it asks for a call of `function` with `arguments` when it is loaded."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def write(path, value, protocol=4):
    path.write_bytes(pickle.dumps(value, protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4])  # those that Paddle writes
def test_arrays_and_plain_values_come_back(tmp_path, protocol):
    weight = np.arange(12, dtype=np.float32).reshape(3, 4)
    contents = {
        "model": collections.OrderedDict(
            [("a.weight", ("linear_0.w_0", weight)), ("a.bias", np.float64([1, 2]))]
        ),
        "epoch": 3,
        "top1": np.float32(0.5),
        "names": ["x", "é"],
    }
    read = pickles.read(write(tmp_path / "w.pdparams", contents, protocol))
    assert np.array_equal(read["model"]["a.weight"], weight)
    assert read["model"]["a.weight"].dtype == np.float32
    assert read["model"]["a.bias"].tolist() == [1, 2]
    assert (read["epoch"], read["top1"], read["names"]) == (3, 0.5, ["x", "é"])


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("nested", [False, True])
def test_code_is_refused_and_does_not_run(tmp_path, protocol, nested):
    trace = tmp_path / "trace"
    calls = [
        Call(os.system, f"touch {trace}"),
        Call(eval, f"open({str(trace)!r}, 'w')"),
        Call(exec, f"open({str(trace)!r}, 'w')"),
        Call(open, str(trace), "w"),
        Call(os.mkdir, str(trace)),
        Call(getattr, "text", "upper"),
        Call(pickle.loads, pickle.dumps(Call(os.mkdir, str(trace)))),
    ]
    for call in calls:
        value = {"weight": [np.zeros(3), {"deep": (call,)}]} if nested else call
        path = write(tmp_path / "hostile.pdparams", value, protocol)
        with pytest.raises(UserError, match="could run code"):
            pickles.read(path)
        assert not trace.exists()


def test_arrays_of_objects_are_refused(tmp_path):
    path = write(tmp_path / "w.pdparams", {"a": np.array([None, "x"], dtype=object)})
    with pytest.raises(UserError, match="objects"):
        pickles.read(path)


@pytest.mark.parametrize("cut", [0, 1, 10, 200, -1])
def test_a_truncated_file_is_named(tmp_path, cut):
    whole = pickle.dumps({"a": np.zeros(100)}, 4)
    path = tmp_path / "cut.pdparams"
    path.write_bytes(whole[:cut])
    with pytest.raises(UserError, match=r"cut\.pdparams"):
        pickles.read(path)
