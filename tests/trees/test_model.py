"""Both networks hold the same parameters, drawn from the same distribution."""

import math

import numpy as np
import pytest

from common.paths import ROOT
from tests.support.helpers import FRAMEWORKS, assert_success, run_warm
from tests.support.trees import run_parts

SHAPES = {  # of torchvision.models.alexnet()
    "features.0": (64, 3, 11, 11), "features.3": (192, 64, 5, 5), "features.6": (384, 192, 3, 3),
    "features.8": (256, 384, 3, 3), "features.10": (256, 256, 3, 3), "classifier.1": (4096, 9216),
    "classifier.4": (4096, 4096), "classifier.6": (1000, 4096),
}  # fmt: skip
KEYS_AND_SHAPES = {f"{name}.weight": shape for name, shape in SHAPES.items()}
KEYS_AND_SHAPES |= {f"{name}.bias": shape[:1] for name, shape in SHAPES.items()}


@pytest.fixture(scope="module", params=FRAMEWORKS)
def weights(request, tmp_path_factory):
    out_dir = tmp_path_factory.mktemp(request.param)
    return run_parts(request.param, out_dir, "--seed", 3, weights={})["weights"]


def test_keys_and_shapes_are_torchvisions(weights):
    assert {name: array.shape for name, array in weights.items()} == KEYS_AND_SHAPES
    assert sum(array.size for array in weights.values()) == 61_100_840
    assert all(array.dtype == np.float32 for array in weights.values())


def test_every_tensor_is_uniform_within_one_over_root_fan_in(weights):
    for name, array in weights.items():
        fan_in = math.prod(KEYS_AND_SHAPES[name.replace("bias", "weight")][1:])
        assert np.abs(array).max() <= (1 + 1e-6) / math.sqrt(fan_in), name
        few = array.ravel()[:: -(-array.size // 10**6)]  # a million at the most
        scaled = np.sort(few.astype(np.float64)) * math.sqrt(fan_in)
        # Kolmogorov-Smirnov: the largest gap to the uniform distribution on [-1, 1], whose limit
        # 2.23 / sqrt(n) a right implementation passes in 1 of 10,000 draws.
        shares = np.arange(1, scaled.size + 1) / scaled.size
        assert np.abs(shares - (scaled + 1) / 2).max() < 2.23 / math.sqrt(scaled.size), name


def test_tensors_do_not_repeat_each_other(weights):
    first = [array.ravel()[:8] * math.sqrt(array.shape[-1]) for array in weights.values()]
    assert len({tuple(np.round(values, 5)) for values in first}) == len(first)


def test_torchvisions_own_weights_load_and_give_the_same_logits(tmp_path):
    """The published weights come as torchvision's state dict; here one of random numbers."""
    script = """
import sys
import torch, torchvision
import checkpoint
from models import AlexNet
theirs = torchvision.models.alexnet().eval()
path = checkpoint.Path(sys.argv[1])
torch.save(theirs.state_dict(), path)
ours = AlexNet().eval()
checkpoint.load_weights(path, ours)
images = torch.rand(2, 3, 224, 224)
assert torch.equal(ours(images), theirs(images))
"""
    path = str(ROOT / "AlexNet-torch")
    assert_success(run_warm("torch", "-c", script, tmp_path / "alexnet.pth", PYTHONPATH=path))
