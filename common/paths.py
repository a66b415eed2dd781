"""Places inside the clone."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SAMPLE_DIR = ROOT / "data" / "sample"
RUNS_DIR = ROOT / "runs"
