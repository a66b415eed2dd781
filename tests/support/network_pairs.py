"""Small pairs of networks, one of each framework, as files that the tools load."""

import textwrap
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

# Layers of many kinds under the same names. All that can be is square, so that no shape tells
# whether a tensor has to be transposed. Words [N, 16] -> numbers [N, 6].
TORCH_KINDS = """
import torch
from torch import nn


class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(6, 6))

    def forward(self, x):
        return x @ self.matrix


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(6)
        self.scale = Scale()
        self.square = nn.Linear(6, 6)

    def forward(self, x):
        return self.square(self.scale(self.norm(x)))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(6, 6)
        self.block = Block()
        self.lstm = nn.LSTM(6, 6, num_layers=2, batch_first=True)
        self.gru = nn.GRU(6, 3, batch_first=True, bidirectional=True)
        self.up = nn.ConvTranspose2d(4, 4, 2, groups=2)
        self.grouped = nn.Conv2d(4, 4, 2, groups=2, bias=False)
        self.batch = nn.BatchNorm2d(4)
        self.group = nn.GroupNorm(2, 4)
        self.slope = nn.PReLU(4)
        self.head = nn.Linear(6, 6)

    def forward(self, words):
        x = self.gru(self.lstm(self.block(self.words(words)))[0])[0]  # [N, 16, 6]
        images = x.reshape(-1, 4, 4, 6)
        images = self.batch(self.grouped(self.up(images)))
        return self.head(self.slope(self.group(images)).mean(dim=(1, 2)))
"""

# What another framework calls what these networks have.
NAMES = {
    "torch": "paddle", "nn.Module": "nn.Layer",
    "nn.Parameter(paddle.randn(6, 6))": "self.create_parameter([6, 6])", ", batch_first=True": "",
    "bidirectional=True": 'direction="bidirect"', "ConvTranspose2d": "Conv2DTranspose",
    "2d(": "2D(", "bias=False": "bias_attr=False", "MultiheadAttention": "MultiHeadAttention",
    "reshape(-1, 4, 4, 6)": "reshape([-1, 4, 4, 6])", "mean(dim=(1, 2))": "mean(axis=[1, 2])",
}  # fmt: skip


def in_paddle(text: str, **others: str) -> str:
    """Return a text for torch as one for Paddle, with other names of its own too."""
    for old, new in (NAMES | others).items():
        text = text.replace(old, new)
    return text


# Paddle's head keeps its weight as torch does.
PADDLE_KINDS = in_paddle(TORCH_KINDS).replace("head = nn.", "head = paddle.compat.nn.")


def network(layers: str, forward: str = "x", arguments: str = "self") -> str:
    """Return the text of a network for torch, with these lines of __init__ and this output."""
    return f"""
from torch import nn


class Net(nn.Module):
    def __init__({arguments}):
        super().__init__()
{textwrap.indent(layers, 8 * " ")}

    def forward(self, x):
        return {forward}
"""


# Layers that are one another, where `tie`; Paddle's head is never tied to the words.
TIED = """self.words = nn.Embedding(5, 6)
self.first = nn.Linear(6, 6)
self.second = self.first if tie else nn.Linear(6, 6)
self.head = nn.Linear(6, 5, bias=False)"""
TIE = "\nif tie:\n    self.head.weight = self.words.weight"
TORCH_TIED = network(TIED + TIE, arguments="self, tie")
PADDLE_TIED = in_paddle(network(TIED, arguments="self, tie"))

# Two layers that never run, are alike and have other names.
IDLE = "self.body, self.left, self.right = (nn.Linear(3, 3) for _ in range(3))"
TORCH_IDLE = network(IDLE, "self.body(x)")
PADDLE_IDLE = in_paddle(TORCH_IDLE, body="trunk", left="one", right="two")

ATTENTION = "self.attention = nn.MultiheadAttention(4, 2, batch_first=True)"
TORCH_ATTENTION = network(ATTENTION, "self.attention(x, x, x)[0]")
PADDLE_ATTENTION = in_paddle(TORCH_ATTENTION).replace("[0]", "")

# A fully connected layer of the framework's beside one of the user's own, square.
TORCH_OWN = network("self.fc = nn.Linear(3, 3)")
LINEAR = network("self.weight, self.bias = map(self.create_parameter, ([3, 3], [3]))")
PADDLE_OWN = in_paddle(LINEAR).replace("Net", "Linear")
PADDLE_OWN += in_paddle(TORCH_OWN).replace("nn.Linear(3, 3)", "Linear()")


def write(folder: Path, torch=TORCH, paddle=PADDLE, name="net", shape="1,3,16,16") -> list[str]:
    """Write the pair, the torch network of a name; return the options that name it."""
    (folder / "net_torch.py").write_text(torch)
    (folder / "net_paddle.py").write_text(paddle)
    models = ["--torch-model", f"{folder}/net_torch.py:{name}"]
    models += ["--paddle-model", f"{folder}/net_paddle.py:Net"]
    return [*models, "--input-shape", shape]
