"""common/inference/onnx_graph.py: what Paddle's layers become in ONNX says what they say."""

import json
import sys

import pytest

from common.paths import ROOT
from tests.support.helpers import run

# Each ends a small network; x is [N, 8, 7, 7]. Of a module, so is what it has kept.
LAYERS = {
    "BatchNorm2D": "nn.BatchNorm2D(8)",
    "LocalResponseNorm": "nn.LocalResponseNorm(5, alpha=0.5)",
    "Tanh": "nn.Tanh()",
    "arithmetic": "lambda x: (2 * x - 1) / (x * x + 3)",
    "residual": "lambda x: x + nn.functional.relu(x)",
    "batch_norm": "lambda x: nn.functional.batch_norm(x, *of_norm(), training=False)",
}
PROGRAM = """
import json, sys
from pathlib import Path
import numpy as np
import paddle
from paddle import nn
sys.path.insert(0, {tree!r})
import export
from common.inference.metadata import ModelMetadata

class Network(nn.Layer):
    def __init__(self, last):
        super().__init__()
        self.first = nn.Conv2D(3, 8, 9, stride=9)
        self.last = last

    def forward(self, x):
        return paddle.flatten(self.last(self.first(x)), 1)

def of_norm():
    return norm._mean, norm._variance, norm.weight, norm.bias

paddle.seed(0)
norm = nn.BatchNorm2D(8)
images = np.random.default_rng(0).normal(size=[5, 3, 63, 63]).astype(np.float32)
found = dict()
for name, text in {layers!r}.items():
    network = Network(eval(text))
    kept = network.last if isinstance(network.last, nn.Layer) else nn.Layer()
    if "of_norm" in text:
        network.norm = kept = norm
    for value in [*kept.parameters(), *kept.buffers()]:
        value.set_value(value + 0.5 * paddle.rand(value.shape))
    path = Path("it.onnx")
    export.export(network, path, "onnx", ModelMetadata(63, (0, 0, 0), (1, 1, 1)))
    live, exported = export.run_live(network, images), export.open_exported(path).run(images)
    apart = float(np.abs(live - exported).max() / np.abs(live).max())
    found[name] = apart, float(live.std() / np.abs(live).max())
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """By layer: the largest difference over the largest logit, and how much the logits vary."""
    place = tmp_path_factory.mktemp("onnx")
    program = place / "program.py"
    program.write_text(PROGRAM.format(tree=str(ROOT / "AlexNet-paddle"), layers=LAYERS))
    done = run("sh", "-c", f"cd {place} && {sys.executable} {program}")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", LAYERS)
def test_an_exported_layer_says_what_the_live_one_says(found, name):
    apart, varies = found[name]
    assert varies > 0.01  # not all alike, which would fit anything
    assert apart < 5e-6
