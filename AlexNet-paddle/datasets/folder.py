"""An image folder as batches of tensors."""

import argparse
from collections.abc import Iterator

import numpy as np
import paddle
from paddle.io import DataLoader, Dataset

import presets
from common.data import draws, folder, pca_colour, public_data, verify
from common.data.batches import (
    EpochBatches,
    Failure,
    Key,
    PartBatches,
    Process,
    attempt,
    first_failure,
    own_batch_size,
    raise_failure,
)
from common.data.folder import FolderIndex
from common.data.thread_loader import ThreadLoader
from common.data.uint8_images import Uint8Images
from common.data.workers import (
    check_shared_memory,
    end_with_parent,
    signals_held,
    watched,
)
from portproof.files.images import read_rgb


class FolderDataset(Dataset):
    """The images of one split; `train` chooses the preset."""

    def __init__(self, index: FolderIndex, args: argparse.Namespace, train: bool) -> None:
        self.index = index
        self.args = args
        self.train = train
        self.noise = pca_colour.of_run(index, args) if train else None

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, key: Key) -> tuple[np.ndarray, int] | Failure:
        """Return image [3, S, S], float32, and label; a Failure where the image is unreadable.

        With --eval-crops 10, evaluation has [10, 3, S, S].
        """
        return attempt(self.load, key)

    def load(self, key: Key) -> tuple[np.ndarray, int]:
        epoch, index = key
        args = self.args
        image = read_rgb(self.index.paths[index])
        if self.train and args.train_crop != "centre":
            if args.train_crop == "shifted":
                share = args.image_size / args.resize_size
                crop = draws.shifted_crop(args.seed, epoch, index, image.size, share)
            else:
                crop = draws.random_crop(args.seed, epoch, index, image.size)
            flip = draws.flip(args.seed, epoch, index)
            image = presets.train_preset(image, crop, flip, args.image_size)
        elif args.eval_crops > 1 and not self.train:
            image = presets.ten_crop_preset(image, args.resize_size, args.image_size)
        else:
            image = presets.eval_preset(image, args.resize_size, args.image_size)
        if self.noise:
            image = presets.add_colour(image, self.noise.draw(epoch, index))
        return image.numpy(), self.index.labels[index]


def collate(samples: list) -> tuple[np.ndarray, np.ndarray, Failure]:
    """Stack samples into images [N, 3, S, S], float32, and labels [N], int64."""
    failure = first_failure(samples)
    if failure.text:
        return np.zeros(1), np.zeros(1), failure
    images, labels = zip(*samples, strict=True)
    return np.stack(images), np.array(labels), failure


def load_data(
    args: argparse.Namespace, rank: int = 0, world_size: int = 1
) -> tuple[DataLoader | None, DataLoader, list[str]]:
    """Return the loaders of train (None if evaluation alone lacks it) and val, and the classes."""
    data_path = public_data.locate(args)
    train, val = folder.index_data(data_path, not args.eval_only, strict=not args.verify_data)
    if args.verify_data:
        train, val = verify.leave_out_bad(train, val, args.skip_bad)
    train_loader = make_loader(train, args, True, rank, world_size) if train else None
    return train_loader, make_loader(val, args, False, rank, world_size), val.classes


def make_loader(
    index: FolderIndex, args: argparse.Namespace, train: bool, rank: int = 0, world_size: int = 1
) -> DataLoader | ThreadLoader:
    """Return the loader of one split: `train` is shuffled and augmented.

    Of several processes, each loads its own part. With --fast or --cache it is one of bytes, but
    not of ten crops.
    """
    length, process = len(index), Process(rank, world_size)
    if train:
        batches = EpochBatches(
            length,
            own_batch_size(args, world_size),
            args.seed,
            shuffle=True,
            accumulate=args.accumulate,
            process=process,
        )
    else:
        batches = PartBatches(length, max(args.batch_size // args.eval_crops, 1), process)
    if (args.fast or args.cache) and (train or args.eval_crops == 1):
        return ThreadLoader(Uint8Images(index, args, train), batches, args.workers)
    crops = 1 if train else args.eval_crops
    numbers = min(batches.batch_size, length) * crops * 3 * args.image_size**2  # of a batch
    check_shared_memory(4 * numbers, args.workers)
    return DataLoader(
        FolderDataset(index, args, train),
        batch_sampler=batches,
        num_workers=args.workers,
        collate_fn=collate,
        worker_init_fn=end_with_parent,
        persistent_workers=args.workers > 0,
    )


def read_batches(
    loader: DataLoader | ThreadLoader,
    epoch: int,
    first: int = 0,
    device: str | None = None,
) -> Iterator[tuple[paddle.Tensor, paddle.Tensor]]:
    """Yield the batches (images, labels) of `epoch`, from number `first` on.

    A batch of bytes goes to the `device` and is normalized there.

    Raises UserError at an unreadable image.
    """
    loader.batch_sampler.epoch, loader.batch_sampler.first = epoch, first
    with signals_held():  # the loader's processes and threads are begun here
        batches = iter(loader)
    for images, labels, failure in watched(batches):
        raise_failure(Failure(*failure))
        if isinstance(loader, ThreadLoader):
            images, labels = paddle.to_tensor(images, place=device), paddle.to_tensor(labels)
            images = presets.normalize_bytes(images)
        yield images, labels
