"""tools/compare_forward.py: files as they are, any pair of networks, the report."""

import re

import numpy as np
import pytest

from portproof.core import tensor_compare
from portproof.core.comparison import describe
from portproof.files import pickles
from portproof.weights import initial, tensors
from portproof.weights.tensors import Tensor
from portproof.worker.client import Side
from tests.portproof.commands import explanation
from tests.support import network_pairs as pairs
from tests.support.helpers import make_folder
from tools import compare_forward, transfer_weights

RESNETS = ["--torch-model", "torchvision.models:resnet18"]
RESNETS += ["--paddle-model", "paddle.vision.models:resnet18"]
RESNETS += ["--num-classes", "4", "--image-size", "64", "--second-image-size", "45"]
NAN = "import torch\n" + pairs.TORCH.replace("nn.Flatten()", "nn.Flatten(), Spoil()").replace(
    "\n\n\ndef net",
    "\n\n\nclass Spoil(nn.Module):\n    def forward(self, x):\n"
    "        return torch.where(torch.arange(x.shape[1]) == 3, torch.nan, x)\n\n\ndef net",
)

pytestmark = pytest.mark.usefixtures("kept_probes")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The weights of a small pair as a .safetensors, and the same in Paddle's names and layout."""
    folder = tmp_path_factory.mktemp("files")
    options = pairs.write(folder)
    networks = {"torch": "net_torch.py:net", "paddle": "net_paddle.py:Net"}
    models = {side: {"name": f"{folder}/{networks[side]}", "arguments": {}} for side in networks}
    sides = {framework: Side(framework, None, model) for framework, model in models.items()}
    network = describe(sides, folder / "describe", [1, 3, 16, 16], "float32")["torch"]
    drawn = initial.draw_weights(network, 5)
    weights = {name: tensors.from_array(array) for name, array in drawn.items()}
    tensors.write(folder / "torch.safetensors", weights)
    source, target = folder / "torch.safetensors", folder / "paddle.pdparams"
    transfer_weights.main([str(source), str(target), *options])
    return options, source, target


@pytest.fixture
def compare_files(files, tmp_path, run_tool):
    """A function that compares the pair, with a change of Paddle's weights."""

    def call(change):
        options, source, target = files
        weights = dict(pickles.read(target))
        change(weights)
        pickles.write(tmp_path / "changed.pdparams", weights)
        weights = ["--torch-weights", source, "--paddle-weights", tmp_path / "changed.pdparams"]
        return run_tool(compare_forward, *options, *weights)

    return call


def turn(name):
    def change(weights):
        weights[name] = np.ascontiguousarray(weights[name].T)

    return change


def rename(names):
    def change(weights):
        for old, new in names.items():
            for name in [name for name in weights if name.endswith(old)]:
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
    "key renamed": (rename({"fc2.bias": "fc2.b"}), "fc2", ["fc2.b in its place", "rename"]),
    "buffers not renamed": (
        rename({"_mean": "running_mean", "_variance": "running_var"}),
        "norm",
        ["norm._mean", "norm.running_mean", "rename"],
    ),
    "one number among many": (nudge, "3", ["0.0009"]),
    "a prefix": (prefix, "fc2", ["starts with", "_layers."]),
    "a key too many": (lambda names: names.update(more=names["fc2.bias"]), "more", ["unknown"]),
}


@pytest.mark.parametrize("name", FILE_FAULTS)
def test_a_fault_in_a_pair_of_files_is_named(compare_files, name):
    change, where, words = FILE_FAULTS[name]
    status, report, text = compare_files(change)
    assert status == 1, text
    assert report["where"] == where, text
    assert all(word in " ".join(map(explanation, report["causes"])) for word in words), text


def test_a_right_pair_of_files_is_aligned(compare_files):
    status, report, text = compare_files(lambda weights: None)
    assert status == 0, text
    assert report["same_tensors"] == 11 and report["float64"] < tensor_compare.CONSTANT


@pytest.mark.parametrize("file", [1, 2], ids=["torch", "paddle"])
def test_one_file_serves_both(files, run_tool, file):
    status, report, text = run_tool(compare_forward, *files[0], "--weights", files[file])
    assert status == 0, text
    assert report["weights"] == str(files[file])


def test_the_libraries_own_resnet18_is_aligned_and_images_serve_as_inputs(tmp_path, run_tool):
    images, page = make_folder(tmp_path / "images"), tmp_path / "page"
    options = [*RESNETS, "--images", images, "--batch-size", 3, "--report", page]
    status, report, text = run_tool(compare_forward, *options)
    assert status == 0, text
    rows = report["inputs"][0]["layers"]
    assert rows[0]["name"] == "conv1" and rows[0]["shape"] == [3, 64, 32, 32]
    assert all(row["verdict"] in ("same", "no counterpart") for row in rows)
    assert sorted(report["logits"]) == ["paddle", "torch"] and len(report["logits"]["torch"]) == 4
    html = (page / "forward.html").read_text()
    assert "aligned" in html and html.count("data:image/png;base64,") == 3
    assert not re.search(r'(src|href)="(?!data:)', html)  # opens from the disk, with no network


def test_networks_that_differ_are_told_apart(tmp_path, run_tool):
    gained = pairs.PADDLE.replace("3, 8, 3, bias_attr=False", "3, 8, 3")
    status, report, text = run_tool(compare_forward, *pairs.write(tmp_path, paddle=gained))
    assert status == 1, text
    assert report["where"] == "stem" and "gained" in report["cause"], text


def test_nan_on_one_side_alone_is_a_difference(tmp_path, run_tool):
    status, report, text = run_tool(compare_forward, *pairs.write(tmp_path, torch=NAN))
    assert status == 1, text
    assert report["first_divergence"]["float64"]["problem"].startswith("NaN"), text


def test_the_dtype_of_weights_is_no_matter(files, tmp_path, run_tool):
    options, source, _ = files
    weights = dict(tensors.read(source))
    for name in [name for name in weights if weights[name].dtype == "F32"]:
        weights[name] = Tensor("F64", weights[name].as_float64())
    tensors.write(tmp_path / "double.safetensors", weights)
    options = [*options, "--weights", tmp_path / "double.safetensors"]
    status, report, text = run_tool(compare_forward, *options)
    assert status == 0, text
    assert "rounded to float32" in report["notes"][0]
