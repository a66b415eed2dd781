"""Which image files the user means: by name, by folder, by pattern."""

import glob
import os
from collections.abc import Iterable

from portproof.files.images import ENDINGS, is_seen
from portproof.system.errors import UserError, show


def find(words: Iterable[str]) -> list[str]:
    """Return the files that `words` name, in this order, each once; those of one word are sorted.

    A word is a file, even where its name reads as a pattern, else a folder, of which all images at
    any depth are meant, else a pattern with * ? [] or **. Raises UserError where it means nothing.
    """
    paths: dict[str, None] = {}
    for word in words:
        paths |= dict.fromkeys(_expand(word))
    return list(paths)


def _expand(word: str) -> list[str]:
    matches = [word] if os.path.exists(word) else sorted(glob.glob(word, recursive=True))
    if not matches:
        nothing = "nothing fits this pattern" if glob.has_magic(word) else "there is no such file"
        raise UserError(f"{show(word)}: {nothing}; name images, folders or patterns")
    paths = []
    for match in matches:
        paths += _images_below(match) if os.path.isdir(match) else [match]
    return paths


def _images_below(folder: str) -> list[str]:
    """Return the images in a folder and the folders in it, by their names' endings."""
    paths = []
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths += [os.path.join(parent, name) for name in sorted(files) if _is_image(name)]
    if not paths:
        raise UserError(
            f"{show(folder)}: no images in this folder (they end with {' '.join(ENDINGS)})"
        )
    return paths


def _is_image(name: str) -> bool:
    return name.lower().endswith(ENDINGS) and is_seen(name)
