"""common/inference/onnx_graph.py: what Paddle's layers become in ONNX says what they say."""

import json
import os

import pytest

from common.paths import ROOT
from tests.support.helpers import assert_success, run_warm

# Each ends a small network; x is [N, 8, 7, 7]. Of a module, so is what it has kept.
LAYERS = {
    "BatchNorm2D": "nn.BatchNorm2D(8)", "LocalResponseNorm": "nn.LocalResponseNorm(5, alpha=0.5)",
    "Tanh": "nn.Tanh()", "arithmetic": "lambda x: (2 * x - 1) / (x * x + 3)",
    "residual": "lambda x: x + nn.functional.relu(x)",
    "batch_norm": "lambda x: nn.functional.batch_norm(x, *of_norm(), training=False)",
}  # fmt: skip
PROGRAM = """
import json
from pathlib import Path
import numpy as np
import paddle
from paddle import nn
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
measured = dict()
for name, text in {layers!r}.items():
    network = Network(eval(text))
    kept = network.last if isinstance(network.last, nn.Layer) else nn.Layer()
    if "of_norm" in text:
        network.norm = kept = norm
    for tensor in [*kept.parameters(), *kept.buffers()]:
        tensor.set_value(tensor + 0.5 * paddle.rand(tensor.shape))
    path = Path({path!r})
    export.export(network, path, "onnx", ModelMetadata(63, (0, 0, 0), (1, 1, 1)))
    live, exported = export.run_live(network, images), export.open_exported(path).run(images)
    apart = float(np.abs(live - exported).max() / np.abs(live).max())
    measured[name] = apart, float(live.std() / np.abs(live).max())
print(json.dumps(measured))
"""


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """By layer: the largest difference over the largest logit, and how much the logits vary."""
    folder = tmp_path_factory.mktemp("onnx")
    program = folder / "program.py"  # Paddle reads the source of a network that it exports
    program.write_text(PROGRAM.format(path=str(folder / "it.onnx"), layers=LAYERS))
    path = os.pathsep.join([str(ROOT / "AlexNet-paddle"), str(ROOT)])
    done = assert_success(run_warm("paddle", program, PYTHONPATH=path))
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", LAYERS)
def test_an_exported_layer_says_what_the_live_one_says(measured, name):
    apart, varies = measured[name]
    assert varies > 0.01  # not all alike, which would fit anything
    assert apart < 5e-6
