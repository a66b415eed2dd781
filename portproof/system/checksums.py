"""Checksums of files."""

import hashlib
from pathlib import Path


def begins(path: Path, algorithm: str, digits: str) -> bool:
    """Say whether a file's checksum, in hexadecimal, begins with `digits`. Raises OSError."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest().startswith(digits)
