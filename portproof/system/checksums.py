"""Checksums of files."""

import hashlib
from pathlib import Path


def of_file(path: Path, algorithm: str = "sha256") -> str:
    """Return a file's checksum in hexadecimal. Raises OSError."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def begins(path: Path, algorithm: str, digits: str) -> bool:
    """Say whether a file's checksum begins with `digits`. Raises OSError."""
    return of_file(path, algorithm).startswith(digits)
