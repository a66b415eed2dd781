"""Small pairs of networks, one of each framework, as files that the tools load."""

from pathlib import Path

# Renamed layers, a square Linear, a grouped convolution, BatchNorm, a convolution without bias.
TORCH = """
from torch import nn


def net(num_classes=4):
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 8, 3, groups=2), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, num_classes),
    )
"""

PADDLE = """
import paddle
import paddle.nn.functional as F
from paddle import nn


class Net(nn.Layer):
    def __init__(self, num_classes=4):
        super().__init__()
        self.fc2 = nn.Linear(32, num_classes)
        self.stem = nn.Conv2D(3, 8, 3, bias_attr=False)
        self.norm = nn.BatchNorm2D(8)
        self.grouped = nn.Conv2D(8, 8, 3, groups=2)
        self.pool = nn.AdaptiveAvgPool2D(2)
        self.fc1 = nn.Linear(32, 32)

    def forward(self, x):
        x = F.relu(self.norm(self.stem(x)))
        x = paddle.flatten(self.pool(self.grouped(x)), 1)
        return self.fc2(F.relu(self.fc1(x)))
"""


def write(folder: Path, torch: str = TORCH, paddle: str = PADDLE) -> list[str]:
    """Write the pair; return the options that name it."""
    (folder / "net_torch.py").write_text(torch)
    (folder / "net_paddle.py").write_text(paddle)
    return [
        "--torch-model",
        f"{folder}/net_torch.py:net",
        "--paddle-model",
        f"{folder}/net_paddle.py:Net",
        "--input-shape",
        "1,3,16,16",
    ]
