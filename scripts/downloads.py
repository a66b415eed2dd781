"""Files that torchvision names: downloaded once, atomically, and checked."""

import http.client
import os
import shutil
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from portproof.system import checksums, errors
from portproof.system.errors import UserError

if not sys.stderr.isatty():
    os.environ.setdefault("TQDM_DISABLE", "1")  # torchvision's bar; read as tqdm is imported

try:
    from torchvision.datasets import utils
except ImportError as missing:
    errors.fail(
        f"fetching needs torchvision ({missing}); install the project's extra 'torch', or name a "
        "Python that has it by TORCH_PYTHON"
    )

STALLED = 60  # seconds without a byte after which a server counts as gone
ALGORITHMS = {"md5": "MD5", "sha256": "SHA-256"}


class File(NamedTuple):
    url: str
    digits: str  # with which its checksum begins, in hexadecimal
    algorithm: str = "md5"

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]


def download(what: str, file: File, folder: Path, together: Sequence[File] = ()) -> None:
    """Have `file` in `folder`, its checksum right.

    Raises UserError, which says what is lacking of `together`, the files that it is needed with.
    """
    target = folder / file.name
    if target.exists():
        if not checksums.begins(target, file.algorithm, file.digits):
            raise UserError(
                f"{target}: its {ALGORITHMS[file.algorithm]} is not {file.digits}, it is damaged "
                "or another file; replace it, or delete it to have it downloaded"
            )
        return
    socket.setdefaulttimeout(STALLED)
    coming = folder / ".coming"
    shutil.rmtree(coming, ignore_errors=True)  # what an interrupted call left
    try:
        utils.download_url(file.url, coming, file.name)
        if not checksums.begins(coming / file.name, file.algorithm, file.digits):
            raise OSError("what came does not have the right checksum")
        os.replace(coming / file.name, target)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        reason = str(getattr(error, "reason", error)) or type(error).__name__
        lacking = [x.name for x in together or [file] if not (folder / x.name).exists()]
        raise UserError(
            f"{what}: {file.url} cannot be downloaded ({reason}); try again, or put "
            f"{' and '.join(lacking)} into {folder} by hand"
        ) from error
    finally:
        shutil.rmtree(coming, ignore_errors=True)
