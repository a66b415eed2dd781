"""tools/transfer_weights.py: every bit arrives, and nothing else is ever left behind."""

import builtins
import itertools
import json
import os
import pickle
import sys

import numpy as np
import pytest

from common import pickles
from common.paths import ROOT
from tests import pairs
from tests.helpers import assert_user_error, run
from tools import tensors
from tools.tensors import Tensor

SHAPES = {
    "0.weight": (8, 3, 3, 3),
    "1.weight": (8,),
    "1.bias": (8,),
    "1.running_mean": (8,),
    "1.running_var": (8,),
    "3.weight": (8, 4, 3, 3),
    "3.bias": (8,),
    "6.weight": (32, 32),
    "6.bias": (32,),
    "8.weight": (4, 32),
    "8.bias": (4,),
}
BITS = {"F64": np.uint64, "F32": np.uint32, "F16": np.uint16, "BF16": np.uint16}


def transfer(*options):
    return run(sys.executable, ROOT / "tools" / "transfer_weights.py", *options)


def random_weights(dtypes=("F32",)):
    """Random bits: NaN with any payload, infinities and denormals among them. Dtypes take turns."""
    generator = np.random.default_rng(0)
    found = {}
    for (name, shape), dtype in zip(SHAPES.items(), itertools.cycle(dtypes)):
        kind = tensors.DTYPES[dtype][0]
        bits = generator.integers(0, 2 ** (8 * np.dtype(kind).itemsize), shape, BITS[dtype])
        bits.flat[0] = np.iinfo(bits.dtype).max  # all bits set: a NaN
        found[name] = Tensor(dtype, bits.view(kind))
    found["1.num_batches_tracked"] = Tensor("I64", np.array(0))
    return found


@pytest.fixture
def pair(tmp_path):
    return pairs.write(tmp_path)


def test_a_round_trip_keeps_every_bit(tmp_path, pair):
    weights = random_weights(tuple(BITS))
    assert {weights[name].dtype for name in ("6.weight", "8.weight")} == {"F32", "BF16"}
    tensors.write(tmp_path / "a.safetensors", weights)
    names = ["a.safetensors", "b.pth", "c.pdparams", "d.pt", "e.safetensors"]
    for source, target in itertools.pairwise(names):
        done = transfer(tmp_path / source, tmp_path / target, *pair)
        assert done.returncode == 0, done.stderr
        assert "every bit the same" in done.stdout
        assert done.stderr.count("NaN or infinite") == len(SHAPES), done.stderr
    back = tensors.read(tmp_path / "e.safetensors")
    assert back.keys() == weights.keys()
    assert all(weights[name].has_same_bits(back[name]) for name in weights)
    carried = pickles.read(tmp_path / "c.pdparams")
    square = weights["6.weight"].transposed()
    assert square.has_same_bits(tensors.from_array(carried["fc1.weight"]))
    assert weights["1.running_var"].has_same_bits(tensors.from_array(carried["norm._variance"]))


def spoil(tmp_path, change):
    weights = random_weights()
    change(weights)
    tensors.write(tmp_path / "a.safetensors", weights)
    return tmp_path / "a.safetensors"


def test_keys_and_shapes_that_do_not_fit_are_named(tmp_path, pair):
    target = tmp_path / "b.pdparams"
    source = spoil(tmp_path, lambda weights: weights.pop("3.bias"))
    assert_user_error(transfer(source, target, *pair), "lacks 3.bias")
    source = spoil(tmp_path, lambda weights: weights.update(more=weights["3.bias"]))
    assert_user_error(transfer(source, target, *pair), "unknown to the network", "more")
    source = spoil(tmp_path, lambda weights: weights.update({"8.bias": weights["3.bias"]}))
    assert_user_error(transfer(source, target, *pair), "8.bias", "[8]", "[4]")
    assert [path.name for path in tmp_path.glob("*b.pdparams*")] == []


def test_networks_that_do_not_fit_are_named(tmp_path):
    source = spoil(tmp_path, lambda weights: None)
    gained = pairs.PADDLE.replace("3, 8, 3, bias_attr=False", "3, 8, 3")
    options = pairs.write(tmp_path, paddle=gained)
    assert_user_error(transfer(source, tmp_path / "b.pdparams", *options), "stem.bias", "bias_attr")


def test_an_existing_target_stays(tmp_path, pair):
    source = spoil(tmp_path, lambda weights: None)
    target = tmp_path / "b.pdparams"
    target.write_text("mine")
    assert_user_error(transfer(source, target, *pair), "exists", "--force")
    assert target.read_text() == "mine"
    done = transfer(source, target, *pair, "--force", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["verified"] and found["totals"]["transposed"] == 2
    assert set(pickles.read(target)) >= {"stem.weight", "norm._mean", "fc2.bias"}


class Call:
    """Pickles as a call of a function with arguments."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("ending", [".pth", ".pdparams"])
def test_a_file_that_carries_code_is_refused(tmp_path, pair, ending):
    mark = tmp_path / "it-ran"
    target = tmp_path / "b.safetensors"
    hostile = {
        "system": Call(os.system, f"touch {mark}"),
        "eval": Call(builtins.eval, f"open({str(mark)!r}, 'w')"),
        "nested": Call(tuple, [Call(getattr, Call(__import__, "os"), "system")]),
    }
    for name, load in hostile.items():
        source = tmp_path / f"{name}{ending}"
        source.write_bytes(pickle.dumps({"0.weight": load}, protocol=2))
        assert_user_error(transfer(source, target, *pair), source.name)
        assert not mark.exists() and not target.exists()


@pytest.mark.parametrize("ending", [".pth", ".pdparams", ".safetensors"])
def test_a_damaged_file_is_refused(tmp_path, pair, ending):
    whole = spoil(tmp_path, lambda weights: None)
    if ending != ".safetensors":
        assert transfer(whole, tmp_path / f"whole{ending}", *pair).returncode == 0
        whole = tmp_path / f"whole{ending}"
    cut = tmp_path / f"cut{ending}"
    cut.write_bytes(whole.read_bytes()[:-200])
    target = tmp_path / "b.pdparams"
    assert_user_error(transfer(cut, target, *pair), cut.name)
    assert not target.exists()


def test_wrong_usage_is_named(tmp_path, pair):
    source = spoil(tmp_path, lambda weights: None)
    assert_user_error(transfer(source, tmp_path / "b.bin", *pair), "ending")
    assert_user_error(transfer(tmp_path / "no.pth", tmp_path / "b.pt", *pair), "no such file")
    assert_user_error(transfer(source, tmp_path / "no" / "b.pth", *pair), "no such folder")
    assert_user_error(transfer(source, tmp_path / "b.pth", *pair[:2]), "--paddle-model")
