"""tools/compare_forward.py: files as they are, any pair of networks, mistakes, the report."""

import argparse
import json
import re
import sys

import numpy as np
import pytest

from common.paths import ROOT
from portproof.cli import model_options
from portproof.core import tensor_compare
from portproof.core.comparison import describe
from portproof.files import pickles
from portproof.weights import initial, tensors
from portproof.weights.tensors import Tensor
from portproof.worker import client
from tests.support import pairs
from tests.support.helpers import assert_user_error, make_folder, run
from tools import compare_forward, transfer_weights
from tools.project import PROJECT

RESNETS = ["--torch-model", "torchvision.models:resnet18"]
RESNETS += ["--paddle-model", "paddle.vision.models:resnet18"]
RESNETS += ["--num-classes", "4", "--image-size", "64", "--second-image-size", "45"]


pytestmark = pytest.mark.usefixtures("kept_probes")


@pytest.fixture
def call(tmp_path, capsys):
    """Run the tool in this process; return exit status, JSON and text."""

    def run_tool(*options):
        file = tmp_path / "found.json"
        status = compare_forward.main([*map(str, options), "--json", str(file)])
        return status, json.loads(file.read_text()), capsys.readouterr().out

    return run_tool


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The weights of a small pair as a .safetensors, and the same in Paddle's names and layout."""
    folder = tmp_path_factory.mktemp("files")
    options = pairs.write(folder)
    parser = argparse.ArgumentParser()
    model_options.add_arguments(parser, PROJECT)
    sides = model_options.sides(parser.parse_args(options), PROJECT)
    with client.kept_running():
        network = describe(sides, folder / "describe", [1, 3, 16, 16], "float32")["torch"]
    drawn = initial.draw_weights(network, 5)
    weights = {name: tensors.from_array(array) for name, array in drawn.items()}
    tensors.write(folder / "torch.safetensors", weights)
    source, target = folder / "torch.safetensors", folder / "paddle.pdparams"
    transfer_weights.main([str(source), str(target), *options])
    return options, source, target


def spoil(files, tmp_path, change):
    """Write Paddle's weights with a change; return the options that compare the pair of files."""
    options, source, target = files
    weights = dict(pickles.read(target))
    change(weights)
    pickles.write(tmp_path / "spoilt.pdparams", weights)
    own = ["--torch-weights", source, "--paddle-weights", tmp_path / "spoilt.pdparams"]
    return [*options, *own]


def turn(name):
    def change(weights):
        weights[name] = np.ascontiguousarray(weights[name].T)

    return change


def rename(old, new):
    def change(weights):
        for name in [name for name in weights if old in name]:
            weights[name.replace(old, new)] = weights.pop(name)

    return change


def nudge(weights):
    weights["grouped.weight"] = weights["grouped.weight"].copy()
    weights["grouped.weight"].flat[5] += 9e-4


def prefix(weights):
    for name in list(weights):
        weights["_layers." + name] = weights.pop(name)


# what is done to Paddle's file: where, and words of the cause or the fix
FILE_FAULTS = {
    "linear": (turn("fc2.weight"), "fc2", ["fc2.weight", "not transposed", "transpose"]),
    "square linear": (turn("fc1.weight"), "6", ["fc1.weight", "not transposed", "transpose"]),
    "key missing": (lambda weights: weights.pop("stem.weight"), "stem", ["stem.weight", "not in"]),
    "key renamed": (rename("fc2.bias", "fc2.b"), "fc2", ["fc2.b in its place", "rename"]),
    "buffers not renamed": (
        lambda weights: (
            rename("norm._mean", "norm.running_mean")(weights),
            rename("norm._variance", "norm.running_var")(weights),
        ),
        "norm",
        ["norm._mean", "norm.running_mean", "rename"],
    ),
    "one number among many": (nudge, "3", ["0.0009"]),
    "a prefix": (prefix, "fc2", ["starts with", "_layers."]),
    "a key too many": (
        lambda weights: weights.update(more=weights["fc2.bias"]),
        "more",
        ["unknown"],
    ),
}


@pytest.mark.parametrize("name", FILE_FAULTS)
def test_a_fault_in_a_pair_of_files_is_named(files, tmp_path, call, name):
    change, where, words = FILE_FAULTS[name]
    status, found, text = call(*spoil(files, tmp_path, change))
    assert status == 1, text
    assert found["where"] == where, text
    told = " ".join(f"{cause['cause']} {cause['fix']}" for cause in found["causes"])
    assert all(word in told for word in words), text


def test_a_right_pair_of_files_is_aligned(files, tmp_path, call):
    status, found, text = call(*spoil(files, tmp_path, lambda weights: None))
    assert status == 0, text
    assert found["same_tensors"] == 11 and found["float64"] < tensor_compare.CONSTANT


@pytest.mark.parametrize("framework", ["torch", "paddle"])
def test_one_file_serves_both(files, call, framework):
    options, source, target = files
    weights = source if framework == "torch" else target
    status, found, text = call(*options, "--weights", weights)
    assert status == 0, text
    assert found["weights"] == str(weights)


def test_the_libraries_own_resnet18_is_aligned_and_images_serve_as_inputs(tmp_path, call):
    make_folder(tmp_path / "images")
    report = tmp_path / "report"
    options = ["--images", tmp_path / "images", "--batch-size", 3, "--report", report]
    status, found, text = call(*RESNETS, *options)
    assert status == 0, text
    rows = found["inputs"][0]["layers"]
    assert rows[0]["name"] == "conv1" and rows[0]["shape"] == [3, 64, 32, 32]
    assert all(row["verdict"] in ("same", "no counterpart") for row in rows)
    assert sorted(found["logits"]) == ["paddle", "torch"] and len(found["logits"]["torch"]) == 4
    page = (report / "forward.html").read_text()
    assert "aligned" in page and page.count("data:image/png;base64,") == 3
    assert not re.search(r'(src|href)="(?!data:)', page)  # opens from the disk, with no network


def test_networks_that_differ_are_told_apart(files, tmp_path, call):
    gained = pairs.PADDLE.replace("3, 8, 3, bias_attr=False", "3, 8, 3")
    status, found, text = call(*pairs.write(tmp_path, paddle=gained))
    assert status == 1, text
    assert found["where"] == "stem" and "gained" in found["cause"], text


NAN = "import torch\n" + pairs.TORCH.replace("nn.Flatten()", "nn.Flatten(), Spoil()").replace(
    "\n\n\ndef net",
    "\n\n\nclass Spoil(nn.Module):\n    def forward(self, x):\n"
    "        return torch.where(torch.arange(x.shape[1]) == 3, torch.nan, x)\n\n\ndef net",
)


def test_nan_on_one_side_alone_is_a_difference(tmp_path, call):
    status, found, text = call(*pairs.write(tmp_path, torch=NAN))
    assert status == 1, text
    assert found["first_divergence"]["float64"]["problem"].startswith("NaN"), text


def test_mistakes_are_one_line_and_exit_status_2(files, tmp_path):
    options, source, _ = files
    tool = [sys.executable, ROOT / "tools" / "compare_forward.py"]
    cases = {
        "no such file": ["--weights", tmp_path / "no.pth"],
        "ending": ["--weights", ROOT / "README.md"],
        "both --torch-weights": ["--torch-weights", source],
        "--paddle-model": options[:2],
        "no such folder": ["--images", tmp_path / "no"],
        "did you mean --weights": ["--weigths", source],
        "port.py": ["--paddle-tree", tmp_path],
        "lacks": ["--weights", source],
    }
    for words, given in cases.items():
        assert_user_error(run(*tool, *given), words)


def test_the_dtype_of_weights_is_no_matter(files, tmp_path, call):
    options, source, _ = files
    double = {
        name: Tensor("F64", tensor.as_float64()) if tensor.dtype == "F32" else tensor
        for name, tensor in tensors.read(source).items()
    }
    tensors.write(tmp_path / "double.safetensors", double)
    status, found, text = call(*options, "--weights", tmp_path / "double.safetensors")
    assert status == 0, text
    assert "rounded to float32" in found["notes"][0]
