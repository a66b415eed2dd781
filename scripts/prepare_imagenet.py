"""Lay the official ImageNet (ILSVRC 2012) archives out as an image folder.

    bash scripts/prepare_imagenet.sh ARCHIVES DIR

DIR/train/<wnid>/* and DIR/val/<wnid>/* appear when each is whole. Until then they grow in
DIR/.partial, from where an interrupted call resumes. torchvision.datasets.ImageNet makes the
same layout, but unpacks whatever names an archive holds and takes a half-made folder for whole.
"""

import hashlib
import io
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NamedTuple

from scipy.io import loadmat
from tqdm import tqdm

from common.data import archives
from portproof.system import errors, locks
from portproof.system.atomic import replace_atomically
from portproof.system.command_line import Parser, add_options, whole
from portproof.system.errors import UserError, explained, show

TRAIN, VAL = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
DEVKIT = "ILSVRC2012_devkit_t12.tar.gz"
# Those of https://image-net.org/challenges/LSVRC/2012/2012-downloads.php, as in torchvision.
MD5 = {
    TRAIN: "1d675b47d978889d74fa0da5fadfb00e",
    VAL: "29b22e2961454d5413ddabcf34fc5622",
    DEVKIT: "fa75699e90414af021442c21a62c3abf",
}
IMAGES = (1_281_167, 50_000)  # of train and of val
OPTIONS = (
    ("archives", f"the folder with {', '.join(MD5)}", Path, "ARCHIVES"),
    ("output", "where train and val are to be", Path, "DIR"),
    ("--md5", "checksums as md5sum prints them, for archives that are not the official ones",
     Path, "FILE"),
)  # fmt: skip


class Release(NamedTuple):
    """What the archives have to be."""

    md5: dict[str, str]
    train_images: int
    val_images: int


def prepare(folder: Path, output: Path, release: Release) -> None:
    """Make output/train and output/val from the archives in `folder`; continue where one stopped.

    Raises UserError where an archive is missing, damaged or hostile, or cannot be laid out.
    """
    try:
        with locks.locked(output / "imagenet"):
            lacking = [split for split in ("train", "val") if not (output / split).exists()]
            if not lacking:
                print(f"{output / 'train'} and val are there already")
                return
            partial = output / ".partial"
            partial.mkdir(exist_ok=True)
            for name in release.md5:
                check_md5(folder / name, release.md5[name], partial)
            if "train" in lacking:
                write_train(folder / TRAIN, partial / "train", release.train_images)
            if "val" in lacking:
                write_val(folder, partial / "val", release.val_images)
            for split in lacking:
                (partial / split).rename(output / split)
            shutil.rmtree(partial)
    except OSError as error:
        raise UserError(
            f"{output}: ImageNet cannot be laid out ({error}); mend that and run it again, it "
            "resumes where it stopped"
        ) from error


def check_md5(archive: Path, expected: str, partial: Path) -> None:
    """Raise UserError where an archive is missing or another; a checked one is remembered."""
    if not archive.is_file():
        raise UserError(
            f"{archive}: there is no such file; get it from https://image-net.org (an account is "
            "needed) and put it there"
        )
    status = archive.stat()
    stamp = partial / f"{archive.name}.checked"
    described = f"{expected} {status.st_size} {status.st_mtime_ns}"
    if stamp.exists() and stamp.read_text() == described:
        return
    digest = hashlib.md5(usedforsecurity=False)
    with open(archive, "rb") as file, _bar(f"checking {archive.name}", status.st_size, "B") as bar:
        while piece := file.read(1 << 20):
            digest.update(piece)
            bar.update(len(piece))
    if digest.hexdigest() != expected:
        raise UserError(
            f"{archive}: its MD5 is {digest.hexdigest()} and not {expected}; fetch it again"
        )
    with replace_atomically(stamp) as file:
        file.write_text(described)


def write_train(archive: Path, folder: Path, expected: int) -> None:
    """Write train: the archive holds one archive of images for each class, <wnid>.tar."""
    count = 0
    with archives.opened(archive) as tar, _bar("train", expected, " images") as bar:
        for path, entry in archives.files(tar, archive):
            target = make_class(folder, path.stem, archive)
            with archives.opened(archive, tar.extractfile(entry)) as inner:
                for name, image in archives.files(inner, archive):
                    write_once(inner.extractfile(image), image.size, target / name.name)
                    count += 1
                    bar.update()
    _check_count(archive, count, expected)


def write_val(folder: Path, target: Path, expected: int) -> None:
    """Write val: all images are in one archive, their classes in the development kit."""
    wnids = read_val_classes(folder / DEVKIT)
    archive = folder / VAL
    with archives.opened(archive) as tar:
        numbered = sorted(path.name for path, _ in archives.files(tar, archive))
    _check_count(archive, len(numbered), expected)
    _check_count(folder / DEVKIT, len(wnids), expected)
    wnid_of = dict(zip(numbered, wnids, strict=True))
    with archives.opened(archive) as tar, _bar("val", expected, " images") as bar:
        for path, entry in archives.files(tar, archive):
            of_class = make_class(target, wnid_of[path.name], folder / DEVKIT)
            write_once(tar.extractfile(entry), entry.size, of_class / path.name)
            bar.update()


def read_val_classes(devkit: Path) -> list[str]:
    """Return the WordNet id of each validation image, in the order of their numbers."""
    wanted = {"meta.mat": b"", "ILSVRC2012_validation_ground_truth.txt": b""}
    with archives.opened(devkit) as tar:
        for path, entry in archives.files(tar, devkit):
            if path.name in wanted:
                wanted[path.name] = tar.extractfile(entry).read()
    meta, truth = wanted.values()
    if not meta or not truth:
        raise UserError(f"{devkit}: lacks {' or '.join(wanted)}; fetch it again")
    with explained(f"{devkit}: its tables cannot be read", "fetch it again"):
        synsets = loadmat(io.BytesIO(meta), squeeze_me=True)["synsets"]
        wnid_of = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in synsets}
        return [wnid_of[int(number)] for number in truth.split()]


def make_class(parent: Path, wnid: str, source: Path) -> Path:
    """Return the folder of a class, made. Raises UserError where the name is no WordNet id."""
    if not re.fullmatch(r"n\d{8}", wnid):
        raise UserError(f"{source}: refused: {show(wnid)} in it is no WordNet id")
    (parent / wnid).mkdir(parents=True, exist_ok=True)
    return parent / wnid


def write_once(source: IO[bytes], size: int, target: Path) -> None:
    """Write an image, atomically, unless an earlier call has."""
    if target.exists() and target.stat().st_size == size:
        return
    partial = target.with_name(f".{target.name}")
    with open(partial, "wb") as file:
        shutil.copyfileobj(source, file)
    os.replace(partial, target)


def _check_count(archive: Path, count: int, expected: int) -> None:
    if count != expected:
        raise UserError(f"{archive}: holds {count} images and not {expected}; fetch it again")


def _bar(title: str, total: int, unit: str) -> tqdm:
    return tqdm(total=total, desc=title, unit=unit, unit_scale=True, disable=None)


def read_md5s(file: Path) -> dict[str, str]:
    """Return name -> MD5 from what `md5sum` printed. Raises UserError where one is missing."""
    what = f"--md5 {show(file)}: has no line for each archive"
    with explained(what, "write it by md5sum", (OSError, ValueError, KeyError)):
        lines = [line.split() for line in file.read_text().splitlines() if line.strip()]
        digests = {Path(name.lstrip("*")).name: digest for digest, name in lines}
        return {name: digests[name] for name in MD5}


def main(argv: Sequence[str] | None = None) -> None:
    parser = Parser(prog="prepare_imagenet.py", description=__doc__)
    add_options(parser, OPTIONS)
    parser.add_argument(
        "--pictures",
        type=whole(1, 10**9),
        nargs=2,
        metavar=("TRAIN", "VAL"),
        default=IMAGES,
        help=f"how many images such archives hold ({IMAGES[0]} {IMAGES[1]})",
    )
    args = parser.parse_args(argv)
    md5 = read_md5s(args.md5) if args.md5 else MD5
    prepare(args.archives, args.output.resolve(), Release(md5, *args.pictures))


if __name__ == "__main__":
    errors.run(main)
