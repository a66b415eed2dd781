"""The paper's colour noise: multiples of the principal components of the training set's pixels.

Section 4.1 of the paper: to every pixel of an image [p1 p2 p3] [a1 l1, a2 l2, a3 l3]^T is added,
where p and l are the eigenvectors and eigenvalues of the 3 x 3 covariance matrix of R, G and B over
the training set, and each a is drawn anew from N(0, 0.1) whenever the image is used. Pixels are
on a scale of 0 to 1 here: of 0 to 255, variances would make noise far larger than any image.
"""

import argparse
import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common.data import draws
from common.data.folder import FolderIndex, cache_name
from common.data.parallel import on_all_cores
from common.data.prepared_copy import find_keys
from common.paths import CACHE_DIR
from portproof.files.images import read_rgb
from portproof.system import locks
from portproof.system.atomic import write_json
from portproof.system.errors import explained


class Components(NamedTuple):
    """Of pixels R, G, B on a scale of 0 to 1; the largest component first."""

    values: np.ndarray  # [3], float64, variances
    vectors: np.ndarray  # [3, 3], float64, one in each row


class Noise(NamedTuple):
    """What is added to the images of one split, whichever tree asks."""

    components: Components
    seed: int
    std: float

    def draw(self, epoch: int, index: int) -> np.ndarray:
        """Return what is added to R, G, B of every pixel of an image: [3], float32, of 0 to 1."""
        multiples = self.std * draws.colour(self.seed, epoch, index) * self.components.values
        return (multiples @ self.components.vectors).astype(np.float32)


def of_run(index: FolderIndex, args: argparse.Namespace) -> Noise | None:
    """Return the noise of --colour-noise for the training images `index`; None where it is 0."""
    if not args.colour_noise:
        return None
    return Noise(find(index), args.seed, args.colour_noise)


def find(index: FolderIndex) -> Components:
    """Return the components of a split, stored or computed. Raises UserError at a bad image."""
    file = cache_file(index)
    files = hashlib.sha256(find_keys(index).tobytes()).hexdigest()
    what, advice = f"{file.parent}: cannot be written", "allow it, or leave out --colour-noise"
    with explained(what, advice, OSError), locks.locked(file):
        components = _read(file, files)  # of several processes one computes
        if components is None:
            components = compute(index)
            contents = {
                "folder": str(index.folder()),
                "pictures": len(index),
                "files": files,
                "eigenvalues": components.values.tolist(),
                "eigenvectors": components.vectors.tolist(),
            }
            write_json(file, contents)
    return components


def cache_file(index: FolderIndex) -> Path:
    """Return where the components of a split are stored."""
    return CACHE_DIR / "colour" / f"{cache_name(index.folder().resolve())}.json"


def compute(index: FolderIndex) -> Components:
    """Return the components of all pixels, from exact sums of whole numbers below 2^53."""

    def sums(number: int) -> tuple[int, np.ndarray, np.ndarray]:
        pixels = np.asarray(read_rgb(index.paths[number]), np.float64).reshape(-1, 3)
        return len(pixels), pixels.sum(axis=0), pixels.T @ pixels

    count, total, products = 0, np.zeros(3, object), np.zeros([3, 3], object)
    for pixels, image_total, image_products in on_all_cores(sums, len(index), "colours"):
        count += pixels
        total += image_total.astype(int)  # Python's whole numbers, of any size
        products += image_products.astype(int)
    spread = count * products - np.outer(total, total)
    covariance = (spread / (255 * count) ** 2).astype(np.float64)
    values, columns = np.linalg.eigh(covariance)
    vectors = columns.T[::-1]  # the largest first
    largest = np.abs(vectors).argmax(axis=1)
    return Components(values[::-1], vectors * np.sign(vectors[range(3), largest])[:, None])


def _read(file: Path, files: str) -> Components | None:
    """Return what is stored of these files; None where nothing is, or it is damaged."""
    try:
        stored = json.loads(file.read_bytes())
        values, vectors = np.array(stored["eigenvalues"]), np.array(stored["eigenvectors"])
        shapes = values.shape, vectors.shape
        whole = shapes == ((3,), (3, 3)) and np.isfinite([*vectors, values]).all()
        return Components(values, vectors) if whole and stored["files"] == files else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
