"""AlexNet trained in the manner of torchvision's references/classification/train.py.

    python -m benchmarks.peers.torchvision_reference DIR --batch-size 128 --steps 10

Pillow decodes, torchvision's transforms draw and crop, DataLoader processes read, the network is
torchvision's in float32 and contiguous, loss and accuracy are fetched after every step. Trains the
window of benchmarks/window.py and prints its figures as JSON.
"""

import argparse
from collections.abc import Iterable

import torch
import torchvision
from torch import nn
from torchvision import transforms

from benchmarks import peers
from benchmarks.window import Window
from portproof.system import errors


def load_data(args: argparse.Namespace) -> tuple[torch.utils.data.DataLoader, int]:
    """Return the loader of DIR/train and the number of classes."""
    preset = transforms.Compose(
        [
            transforms.RandomResizedCrop(args.image_size),
            transforms.RandomHorizontalFlip(0.5),
            transforms.PILToTensor(),
            transforms.ConvertImageDtype(torch.float),
            transforms.Normalize(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
        ]
    )
    dataset = torchvision.datasets.ImageFolder(str(args.folder / "train"), preset)
    loader = torch.utils.data.DataLoader(
        dataset,
        batch_size=args.batch_size,
        sampler=torch.utils.data.RandomSampler(dataset),
        num_workers=args.workers,
        pin_memory=torch.cuda.is_available(),
    )
    return loader, len(dataset.classes)


def accuracy(output: torch.Tensor, target: torch.Tensor, topk: tuple[int, ...]) -> list[float]:
    """Return the top-k accuracies in per cent of logits [N, C] and classes [N]."""
    with torch.inference_mode():
        _, predicted = output.topk(max(topk), dim=1)  # [N, k]
        hits = predicted.eq(target[:, None])
        return [100 * hits[:, :k].sum().item() / len(target) for k in topk]


def train(batches: Iterable, classes: int, window: Window) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cuda":
        window.settle = torch.cuda.synchronize
    model = torchvision.models.get_model("alexnet", weights=None, num_classes=classes).to(device)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    model.train()
    log = []
    for image, target in batches:
        image, target = image.to(device), target.to(device)
        output = model(image)
        loss = criterion(output, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        log.append((loss.item(), *accuracy(output, target, topk=(1, min(5, classes)))))


if __name__ == "__main__":
    errors.run(lambda: peers.main("torchvision_reference", __doc__, load_data, train))
