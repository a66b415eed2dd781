"""Compare one forward pass of the two networks by hand, as one writes it on the first day.

    python -m course.compare_by_hand torch DIR     # writes weights, images and logits to DIR
    python -m course.compare_by_hand paddle DIR    # carries the weights over, and compares

DIR holds AlexNet-torch and AlexNet-paddle, as a clone does. Each framework has a process of its
own, so both may be in one environment or in two. Exit status: 0 OK, 1 different, 2 wrong usage.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from portproof.system import errors
from portproof.system.command_line import Parser

FULLY_CONNECTED = ("classifier.1.weight", "classifier.4.weight", "classifier.6.weight")
ROUNDING = 1e-5  # a guess; sums of the same float32 numbers in another order differ by less


def forward_torch() -> dict[str, np.ndarray]:
    """Return weights by name, images [2, 3, 224, 224] and logits [2, 1000] of a new network."""
    import torch

    from models import AlexNet  # of AlexNet-torch: main() puts it on the path

    torch.manual_seed(0)
    model = AlexNet().eval()
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        logits = model(images)
    arrays = {"images": images, "logits": logits} | model.state_dict()
    return {name: array.numpy() for name, array in arrays.items()}


def forward_paddle(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Return the logits [2, 1000] of Paddle's network with torch's weights, of the same images."""
    import paddle

    from models import AlexNet  # of AlexNet-paddle

    model = AlexNet()
    model.eval()
    for name, parameter in model.state_dict().items():
        weight = arrays[name]
        if name in FULLY_CONNECTED:
            weight = weight.T  # torch's [out, in] -> Paddle's [in, out]
        parameter.set_value(weight)
    with paddle.no_grad():
        return model(paddle.to_tensor(arrays["images"])).numpy()


def compare(torch_logits: np.ndarray, paddle_logits: np.ndarray) -> bool:
    """Print the first five logits of either side and their largest difference; say whether OK."""
    print("torch ", *(f"{logit:9.5f}" for logit in torch_logits[0, :5]))
    print("paddle", *(f"{logit:9.5f}" for logit in paddle_logits[0, :5]))
    difference = np.abs(torch_logits - paddle_logits).max()
    is_ok = bool(difference < ROUNDING)
    print(f"largest difference {difference:.1e}: {'OK' if is_ok else 'DIFFERENT'}")
    return is_ok


def main(argv: Sequence[str] | None = None) -> int:
    parser = Parser(prog="python -m course.compare_by_hand", description=__doc__)
    parser.add_argument("framework", choices=["torch", "paddle"], help="torch first")
    parser.add_argument("folder", type=Path, metavar="DIR", help="where the trees are")
    args = parser.parse_args(argv)
    tree, file = args.folder / f"AlexNet-{args.framework}", args.folder / "by_hand.npz"
    needed = tree if args.framework == "torch" else file
    if not needed.exists():
        parser.error(f"{needed}: not there; DIR must hold both trees, and torch comes first")
    sys.path.insert(0, str(tree))
    if args.framework == "torch":
        np.savez(file, **forward_torch())
        print(f"wrote {file}")
        return 0
    with np.load(file) as arrays:
        return 0 if compare(arrays["logits"], forward_paddle(arrays)) else 1


if __name__ == "__main__":
    errors.run(main)
