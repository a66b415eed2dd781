"""A page of the images that a model got wrong."""

import io
from pathlib import Path
from typing import Any

import numpy as np

from common.data.folder import FolderIndex
from portproof.files.images import read_rgb
from portproof.report import html
from portproof.system.atomic import replace_atomically, write_text

MOST = 60  # images on the page
THUMBNAIL = 200  # pixels of the longer side


def write_page(
    path: Path, index: FolderIndex, predicted: np.ndarray, probability: np.ndarray
) -> None:
    """Write an HTML file of mistakes, surest first; predicted [N] and its probability [N]."""
    labels = np.asarray(index.labels)
    wrong = np.flatnonzero(predicted != labels)
    surest = wrong[np.argsort(-probability[wrong], kind="stable")][:MOST]
    page = html.render(
        "gallery",
        title="Misclassified images",
        summary=f"{len(wrong)} of {len(index)} images are misclassified"
        + (f"; the {MOST} surest of them." if len(wrong) > MOST else "."),
        images=[_image(index, i, predicted[i], probability[i]) for i in surest.tolist()],
    )
    with replace_atomically(path) as partial:
        write_text(partial, page)


def _image(index: FolderIndex, i: int, predicted: int, probability: float) -> dict[str, Any]:
    image = read_rgb(index.paths[i])
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return {
        "jpeg": buffer.getvalue(),
        "predicted": index.classes[predicted],
        "percent": f"{100 * probability:.0f}",
        "label": index.classes[index.labels[i]],
        "file": Path(index.paths[i]).name,
    }
