"""The files of a run's checkpoints: written atomically, the newest few, each with its checksum.

A checkpoint is called checkpoint-STEP-CRC with the framework's ending: STEP counts the run's steps,
CRC is the CRC-32 of its bytes. `last` is the newest and `best` that of the best epoch.
"""

import errno
import os
import re
import shutil
import sys
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from portproof.system.atomic import link_or_copy
from portproof.system.errors import FULL, UserError, reason

SUFFIX = {"torch": ".pth", "paddle": ".pdparams"}
LITTLE = 1 << 20  # bytes: a disk with less is full
NAME = re.compile(r"checkpoint-(\d+)-([0-9a-f]{8})\.\w+")


def write(
    folder: Path, step: int, suffix: str, save: Callable[[Path], None], keep: int, best: bool
) -> Path:
    """Have `save` write a checkpoint, give it its names, and drop all but the newest `keep`.

    The one before is there until this one is on the disk. Raises UserError where it cannot be
    written; nothing is left of it then.
    """
    partial = folder / f".checkpoint.partial{suffix}"
    try:
        save(partial)
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
            crc = _crc(file)
        path = folder / f"checkpoint-{step:08d}-{crc:08x}{suffix}"
        # The name that a run resumes from comes last: until then it would write all three anew.
        for name in ("last", "best") if best else ("last",):
            link_or_copy(partial, folder / f"{name}{suffix}")
        os.replace(partial, path)
        _sync_folder(folder)
    except Exception as error:  # writers in C++ have error types of their own
        text, number = reason(error)
        if shutil.disk_usage(folder).free < LITTLE:  # torch's writer does not say why it failed
            text, number = os.strerror(errno.ENOSPC), errno.ENOSPC
        before = next((path for _, path in listed(folder, suffix)), None)
        kept = f"{before.name} is intact" if before else "there is none before it"
        what = "free some space" if number in FULL else "look at the disk and its rights"
        raise UserError(
            f"{folder}: the checkpoint of step {step} cannot be written ({text}); {kept}; "
            f"{what}, then resume by --resume auto"
        ) from error
    finally:
        with suppress(OSError):  # a disk that has become read-only
            partial.unlink(missing_ok=True)
    others = [(other, old) for other, old in listed(folder, suffix) if old != path]
    # The end of an epoch takes the place of its last step, of which it is the same state.
    replaced = [old for other, old in others if other == step]
    for old in replaced + [old for other, old in others if other != step][keep - 1 :]:
        old.unlink()
    return path


def _crc(file) -> int:
    crc = 0
    while block := file.read(1 << 22):
        crc = zlib.crc32(block, crc)
    return crc


def _sync_folder(folder: Path) -> None:
    """Have the folder's names on the disk too."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def listed(folder: Path, suffix: str) -> list[tuple[int, Path]]:
    """Return the checkpoints of a run folder, the newest first, each with its step."""
    names = [(NAME.fullmatch(path.name), path) for path in folder.glob(f"checkpoint-*{suffix}")]
    steps = [(int(match[1]), path) for match, path in names if match]
    return sorted(steps, key=lambda pair: (pair[0], pair[1].stat().st_mtime_ns), reverse=True)


def is_intact(path: Path) -> bool:
    """Say whether a checkpoint's bytes are those that were written."""
    match = NAME.fullmatch(path.name)
    try:
        with open(path, "rb") as file:
            return match is not None and _crc(file) == int(match[2], 16)
    except OSError:
        return False


def newest(folder: Path, suffix: str) -> Path | None:
    """Return the newest intact checkpoint of a run folder; say on standard error which are not."""
    for _, path in listed(folder, suffix):
        if is_intact(path):
            return path
        print(f"warning: {path} is damaged; looking for the one before it", file=sys.stderr)
    return None


def begin(folder: Path, suffix: str, step: int) -> None:
    """Remove half files, and later checkpoints than `step`: they would pass for the newest."""
    for partial in folder.glob(".*.partial*"):
        partial.unlink()
    for other, later in listed(folder, suffix):
        if other > step:
            later.unlink()
