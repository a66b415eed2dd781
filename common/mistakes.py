"""A page of the pictures that a model got wrong."""

import base64
import html
import io
from pathlib import Path

import numpy as np

from common.folder import FolderIndex
from common.pictures import read_rgb
from common.run_folder import replace_whole, write_text

MOST = 60  # pictures on the page
THUMBNAIL = 200  # pixels of the longer side

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem; color: #222; background: #fafafa; }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: 1rem; }
figure { margin: 0; padding: .6rem; background: #fff; border: 1px solid #ddd; }
img { width: 100%; height: 8rem; object-fit: contain; }
figcaption { overflow-wrap: anywhere; }
.said { color: #b3261e; } .is { color: #14632b; } .file { color: #666; font-size: .8rem; }
"""


def write_page(
    path: Path, index: FolderIndex, predicted: np.ndarray, probability: np.ndarray
) -> None:
    """Write the misclassified pictures, surest mistakes first, as one HTML file by itself.

    predicted [N], classes, and probability [N] of them, for the N pictures of `index`.
    """
    labels = np.asarray(index.labels)
    wrong = np.flatnonzero(predicted != labels)
    surest = wrong[np.argsort(-probability[wrong], kind="stable")][:MOST]
    figures = [_figure(index, i, predicted[i], probability[i]) for i in surest.tolist()]
    shown = f"; the {MOST} surest of them" if len(wrong) > MOST else ""
    summary = f"{len(wrong)} of {len(index)} pictures are misclassified{shown}."
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Misclassified pictures</title><style>{STYLE}</style></head>\n"
        f"<body><h1>Misclassified pictures</h1><p>{summary}</p>\n"
        f"<main>{''.join(figures)}</main></body></html>\n"
    )
    with replace_whole(path) as partial:
        write_text(partial, page)


def _figure(index: FolderIndex, i: int, predicted: int, probability: float) -> str:
    picture = read_rgb(index.paths[i])
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    source = base64.b64encode(buffer.getvalue()).decode()
    said, truth = html.escape(index.classes[predicted]), html.escape(index.classes[index.labels[i]])
    name = html.escape(Path(index.paths[i]).name)
    return (
        f'<figure><img src="data:image/jpeg;base64,{source}" alt="a picture of class {truth}">\n'
        f'<figcaption><span class="said">{said}</span> {100 * probability:.0f} %<br>'
        f'is <span class="is">{truth}</span><br><span class="file">{name}</span>'
        "</figcaption></figure>\n"
    )
