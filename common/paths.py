"""Places inside the clone."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATA_DIR = ROOT / "data"
SAMPLE_DIR = DATA_DIR / "sample"
CACHE_DIR = ROOT / ".cache"
RUNS_DIR = ROOT / "runs"
AUTO = "auto"  # given for a path: the program finds it
