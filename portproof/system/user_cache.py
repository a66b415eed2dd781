"""Where what can be made again is kept, of those who name no folder."""

import os
from pathlib import Path


def user_cache() -> Path:
    """Return this library's folder in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "portproof"
