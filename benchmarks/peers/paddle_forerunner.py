"""AlexNet trained in Paddle in the manner of the course that this project follows.

    python -m benchmarks.peers.paddle_forerunner DIR --batch-size 32 --steps 4

Paddle as installed: no setting of threads or of MKL, paddle.vision's transforms on Pillow images,
its DataLoader and its network, loss and accuracy fetched after every step. Trains the window of
benchmarks/window.py and prints its figures as JSON.
"""

import argparse
from collections.abc import Iterable

import paddle
from paddle import nn
from paddle.vision import transforms

from benchmarks import peers
from benchmarks.window import Window
from portproof.system import errors


def load_data(args: argparse.Namespace) -> tuple[paddle.io.DataLoader, int]:
    """Return the loader of DIR/train and the number of classes."""
    preset = transforms.Compose(
        [
            transforms.RandomResizedCrop(args.image_size),
            transforms.RandomHorizontalFlip(0.5),
            transforms.ToTensor(),
            transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
        ]
    )
    dataset = paddle.vision.datasets.DatasetFolder(str(args.folder / "train"), transform=preset)
    loader = paddle.io.DataLoader(
        dataset, batch_size=args.batch_size, shuffle=True, num_workers=args.workers
    )
    return loader, len(dataset.classes)


def train(batches: Iterable, classes: int, window: Window) -> None:
    model = paddle.vision.models.alexnet(num_classes=classes)
    criterion = nn.CrossEntropyLoss()
    optimizer = paddle.optimizer.Momentum(
        0.01, momentum=0.9, parameters=model.parameters(), weight_decay=1e-4
    )
    model.train()
    log = []
    for image, target in batches:
        output = model(image)
        loss = criterion(output, target)
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
        top1, top5 = (
            paddle.metric.accuracy(output, target.reshape([-1, 1]), k=k).item()
            for k in (1, min(5, classes))
        )
        log.append((loss.item(), top1, top5))


if __name__ == "__main__":
    errors.run(lambda: peers.main("paddle_forerunner", __doc__, load_data, train))
