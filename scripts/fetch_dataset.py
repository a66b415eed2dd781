"""Fetch a public data set through torchvision and lay it out as an image folder.

python scripts/fetch_dataset.py {cifar10,imagenette,flowers102} [--output DIR]

    DIR/train/<class>/* and DIR/val/<class>/*, the classes in words; DIR is data/<name> by default

Each file is checked against torchvision's checksum and kept in DIR/../.downloads/<name>, where one
that you have from elsewhere may be put by hand. DIR is written atomically.

    cifar10      its train and test images as PNG, which loses nothing
    imagenette   its train and val images, those whose shorter side is 320 pixels
    flowers102   train: the 2,040 images of its train and val splits; val: the 6,149 of its test
"""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from downloads import File, download  # first: it says so where torchvision is missing
from PIL.Image import Image
from torchvision import datasets

from common.data import archives, public_data
from common.paths import DATA_DIR
from portproof.system import atomic_folders, errors
from portproof.system.command_line import Parser
from portproof.system.errors import explained

# Split, class and file name of an image; its file, to be moved, or its pixels, to be written.
ImageRow = tuple[str, str, str, Path | Image]


def files_of(name: str) -> list[File]:
    """Return what has to be downloaded of a data set, as torchvision knows it; the tar first."""
    if name == "cifar10":
        return [File(datasets.CIFAR10.url, datasets.CIFAR10.tgz_md5)]
    if name == "imagenette":
        return [File(*datasets.Imagenette._ARCHIVES["320px"])]
    flowers = datasets.Flowers102
    named = [flowers._file_dict[key] for key in ("image", "label", "setid")]
    return [File(flowers._download_url_prefix + file, md5) for file, md5 in named]


def images_of(name: str, root: Path) -> Iterator[ImageRow]:
    """Yield the images of a data set that is unpacked in `root`, as torchvision reads it."""
    if name == "cifar10":
        for split, train in (("train", True), ("val", False)):
            dataset = datasets.CIFAR10(root, train)
            for number, (image, label) in enumerate(dataset):
                yield split, dataset.classes[label], f"{number:05d}.png", image
    elif name == "imagenette":
        for split in ("train", "val"):
            dataset = datasets.Imagenette(root, split, "320px")
            for path, label in dataset._samples:
                yield split, dataset.classes[label][0], Path(path).name, Path(path)
    else:
        for official, split in (("train", "train"), ("val", "train"), ("test", "val")):
            dataset = datasets.Flowers102(root, official)
            for path, label in zip(dataset._image_files, dataset._labels, strict=True):
                yield split, dataset.classes[label], path.name, path


def fetch(name: str, folder: Path) -> None:
    """Make the image folder of a data set, if it is not complete.

    Raises UserError where a file is damaged or cannot be had, or the folder cannot be written.
    """

    def fill(partial: Path) -> None:
        downloads = folder.parent / ".downloads" / name
        for file in files_of(name):
            download(name, file, downloads, files_of(name))
        unpack(name, downloads, partial / ".unpacked")
        lay_out(images_of(name, partial / ".unpacked"), partial)
        shutil.rmtree(partial / ".unpacked")

    advice = "free some disk space, or allow writing there"
    with explained(f"{name} cannot be written to {folder}", advice, OSError):
        atomic_folders.make(folder, "dataset", public_data.description(name), fill)


def unpack(name: str, downloads: Path, root: Path) -> None:
    """Put the downloaded files into `root` in the way that torchvision's classes expect them."""
    if name == "flowers102":
        root = root / "flowers-102"
    archive, *others = files_of(name)
    archives.extract(downloads / archive.name, root)
    for file in others:
        shutil.copy(downloads / file.name, root)


def lay_out(images: Iterator[ImageRow], folder: Path) -> None:
    """Write images to <split>/<class>/<file> within `folder`."""
    for split, class_name, file_name, source in images:
        target = folder / split / class_name / file_name
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(source, Path):
            source.rename(target)
        else:
            source.save(target)


def main(argv: Sequence[str] | None = None) -> None:
    parser = Parser(
        prog="fetch_dataset.py", description="Fetch a public data set as an image folder."
    )
    parser.add_argument("name", choices=sorted(public_data.SIZES))
    parser.add_argument("--output", type=Path, metavar="DIR", help="the folder (data/<name>)")
    args = parser.parse_args(argv)
    fetch(args.name, (args.output or DATA_DIR / args.name).resolve())


if __name__ == "__main__":
    errors.run(main)
