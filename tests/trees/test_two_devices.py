"""The paper's network, half on either device: what the grouped network is, in float64.

Two processes stand for the two devices; each holds its half alone.
"""

import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from common.paths import ROOT
from portproof.checks.distributed import environments
from tests.support.helpers import FRAMEWORKS, run
from tests.support.planting import Edit, plant
from tests.support.trees import SMALL, copy_tree

HALVES = [
    Edit(units, fewer, "AlexNetTwoDevices", every=True)
    for units, fewer in (("4096", "32"), ("2048", "16"))
]
PROGRAM = {
    "torch": """
import numpy as np
import torch
import distributed
from models.alexnet_paper import AlexNetPaper
from two_devices import AlexNetTwoDevices, half_of
from torch import nn

torch.set_default_dtype(torch.float64)
rank, world_size = distributed.start(torch.device("cpu"))
torch.manual_seed(5)
whole = AlexNetPaper(num_classes=6, dropout=0.0)
weights = {name: 5 * value for name, value in whole.state_dict().items()}
whole.load_state_dict(weights)
half = AlexNetTwoDevices(num_classes=6, dropout=0.0)
start = {name: 5 * value for name, value in half.state_dict().items()}
half.load_state_dict(half_of(weights, rank))
images, labels = torch.randn(4, 3, 67, 67), torch.tensor([0, 1, 5, 3])

def gradients(model):
    return {name: value.grad for name, value in model.named_parameters()}

def trained(model):
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, weight_decay=5e-4)
    for step in range(3):
        optimizer.zero_grad()
        logits = model(images)
        nn.functional.cross_entropy(logits, labels).backward()
        yield logits.detach(), gradients(model)
        optimizer.step()

def numbers(tensors):
    return {name: np.array(value) for name, value in tensors.items()}
""",
    "paddle": """
import numpy as np
import paddle
import distributed
from models.alexnet_paper import AlexNetPaper
from two_devices import AlexNetTwoDevices, half_of
from paddle import nn

paddle.set_device("cpu")
paddle.set_default_dtype("float64")
rank, world_size = distributed.start("cpu")
paddle.seed(5)
whole = AlexNetPaper(num_classes=6, dropout=0.0)
weights = {name: 5 * value for name, value in whole.state_dict().items()}
whole.set_state_dict(weights)
half = AlexNetTwoDevices(num_classes=6, dropout=0.0)
start = {name: 5 * value for name, value in half.state_dict().items()}
half.set_state_dict(half_of(weights, rank))
images, labels = paddle.randn([4, 3, 67, 67]), paddle.to_tensor([0, 1, 5, 3])

def gradients(model):
    return {name: value.grad for name, value in model.named_parameters()}

def trained(model):
    optimizer = paddle.optimizer.Momentum(0.01, 0.9, model.parameters(), weight_decay=5e-4)
    for step in range(3):
        optimizer.clear_grad()
        logits = model(images)
        nn.functional.cross_entropy(logits, labels).backward()
        yield logits.detach(), gradients(model)
        optimizer.step()

def numbers(tensors):
    return {name: value.numpy() for name, value in tensors.items()}
""",
}
CHECK = """
assert world_size == 2
for name, value in numbers(half_of(weights, rank)).items():
    if name.endswith(".bias"):  # a half starts from the paper's biases, too
        np.testing.assert_array_equal(numbers(start)[name], value)
assert sum(v.size for v in numbers(half.state_dict()).values()) * 2 == sum(
    v.size for v in numbers(whole.state_dict()).values()
)
for (own, own_gradients), (logits, whole_gradients) in zip(
    trained(half), trained(whole), strict=True
):
    np.testing.assert_allclose(np.array(own), np.array(logits), rtol=1e-9, atol=1e-12)
    expected, found = numbers(half_of(whole_gradients, rank)), numbers(own_gradients)
    for name, value in expected.items():
        size = np.abs(value).max()
        assert size > 0 and np.abs(found[name] - value).max() < 1e-11 * size, name
distributed.end()
print("the same on", rank)
"""


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_two_devices_are_the_grouped_network(framework, tmp_path):
    tree = copy_tree(framework, tmp_path / f"AlexNet-{framework}", SMALL)
    shutil.copyfile(ROOT / "examples" / f"two_devices_{framework}.py", tree / "two_devices.py")
    plant(tree, HALVES)
    file = tmp_path / "program.py"
    file.write_text(PROGRAM[framework] + CHECK)
    path = os.pathsep.join([str(tree), str(ROOT)])

    def one(environment):
        return run(sys.executable, file, PYTHONPATH=path, **environment)

    places = environments(framework)
    with ThreadPoolExecutor(len(places)) as pool:
        done = list(pool.map(one, places))
    for rank, process in enumerate(done):
        assert f"the same on {rank}" in process.stdout, process.stderr
