"""The versions of the packages that decide a result."""

import importlib.metadata
from contextlib import suppress

PACKAGES = ("torch", "torchvision", "paddlepaddle", "paddlepaddle-gpu", "numpy", "pillow")


def package_versions() -> dict[str, str]:
    """Return the versions of what is installed of the packages that decide a result."""
    versions = {}
    for name in PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions
