"""Reading tar archives without trusting the names in them."""

import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from portproof.system.errors import UserError, explained, show


@contextmanager
def opened(archive: Path, inner: IO[bytes] | None = None) -> Iterator[tarfile.TarFile]:
    """Open a tar; `inner` is one within `archive`. Raises UserError, within too, at damage."""
    kinds = (tarfile.TarError, EOFError, zlib.error)
    readable = explained(f"{archive}: a damaged archive", "fetch it again", kinds)
    with readable, tarfile.open(None if inner else archive, fileobj=inner) as tar:
        yield tar


def files(tar: tarfile.TarFile, archive: Path) -> Iterator[tuple[PurePosixPath, tarfile.TarInfo]]:
    """Yield the path and the entry of each regular file, in the archive's order.

    Raises UserError at a link, a device, or a name that leads out of the folder.
    """
    for entry in tar:
        path = PurePosixPath(entry.name)
        if path.is_absolute() or ".." in path.parts or not (entry.isreg() or entry.isdir()):
            raise UserError(
                f"{archive}: refused: {show(entry.name)} in it could write outside its folder"
            )
        if entry.isreg():
            yield path, entry


def extract(archive: Path, folder: Path) -> None:
    """Write the regular files of a tar into `folder`. Raises UserError as `files` does."""
    with opened(archive) as tar:
        for path, entry in files(tar, archive):
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with tar.extractfile(entry) as source, open(target, "wb") as file:
                shutil.copyfileobj(source, file)
