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
        matches = [word] if os.path.exists(word) else sorted(glob.glob(word, recursive=True))
        if not matches:
            nothing = "nothing fits this pattern" if glob.has_magic(word) else "no such file"
            raise UserError(f"{show(word)}: {nothing}; name images, folders or patterns")
        for match in matches:
            paths |= dict.fromkeys(_images_below(match) if os.path.isdir(match) else [match])
    return list(paths)


def _images_below(folder: str) -> list[str]:
    """Return the images in a folder and the folders in it, by their names' endings."""
    paths = []
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        images = [n for n in sorted(files) if is_seen(n) and n.lower().endswith(ENDINGS)]
        paths += [os.path.join(parent, name) for name in images]
    if not paths:
        endings = " ".join(ENDINGS)
        raise UserError(f"{show(folder)}: no images in this folder (they end with {endings})")
    return paths
