"""What all benchmarks share: contenders measured in turn, and what came out put down.

On a machine that others share, two measurements an hour apart differ by more than what is measured.
So contenders take turns, A B A B; a ratio is that of the two in the same round.
"""

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.window import children
from common.paths import CACHE_DIR, ROOT
from common.tables import write_csv
from common.training import plots
from portproof.cli.options import add_number, add_path
from portproof.report import markdown
from portproof.system import processor
from portproof.system.command_line import Parser
from portproof.system.errors import UserError
from portproof.system.versions import package_versions

RESULTS = ROOT / "docs" / "results" / "speed"
QUICK_RESULTS = CACHE_DIR / "speed"
# Of the user's environment, what would change the speed of one side and not of the other.
SPEED_SETTINGS = ("OMP_", "MKL_", "KMP_", "GOMP_", "OPENBLAS_", "FLAGS_", "ONEDNN_", "DNNL_")
INTERVAL = 0.01  # seconds between two looks at the memory
# Paddle's loader, as installed, hangs once in some hundred starts.
TRIES, PATIENCE, QUICK_PATIENCE = 3, 900.0, 80.0  # seconds
_patience = PATIENCE

Figures = dict[str, float]  # what one run of a contender gave, by the figure's name
Contender = Callable[[], Figures]


class Line(NamedTuple):
    """A contender's figure over all rounds; `ratio` is its share of the peer's, round by round."""

    contender: str
    figure: str
    unit: str
    median: float
    least: float
    most: float
    runs: int
    ratio: float | None = None  # None where there is no peer
    ratio_least: float | None = None
    ratio_most: float | None = None


def interleave(
    contenders: dict[str, Contender], repeats: int, warm_ups: int = 0
) -> dict[str, list[Figures]]:
    """Run the contenders in turn; return by name what each gave, `warm_ups` left out."""
    rounds: dict[str, list[Figures]] = {name: [] for name in contenders}
    for number in range(-warm_ups, repeats):
        title = f"{number + 1}/{repeats}" if number >= 0 else "warm-up"
        for name, contender in contenders.items():
            figures = contender()
            if number >= 0:
                rounds[name].append(figures)
            shown = ", ".join(f"{key} {value:.4g}" for key, value in figures.items())
            print(f"[{title}] {name}: {shown}", file=sys.stderr, flush=True)
    return rounds


def summarize(
    rounds: dict[str, list[Figures]], units: dict[str, str], peer: str | None = None
) -> list[Line]:
    """Return a line for each contender and figure that it has; `units` are those of the figures."""
    lines = []
    for name, kept in rounds.items():
        for figure, unit in units.items():
            values = [figures.get(figure) for figures in kept]
            if None in values:
                continue
            ratios = []
            if peer in rounds and name != peer:
                pairs = zip(kept, rounds[peer], strict=True)
                ratios = [own[figure] / other[figure] for own, other in pairs if other.get(figure)]
            lines.append(Line(name, figure, unit, *_spread(values), len(values), *_spread(ratios)))
    return lines


def _spread(values: list[float]) -> tuple[float, ...]:
    """Return median, least and most; nothing of nothing."""
    return (statistics.median(values), min(values), max(values)) if values else ()


def show(lines: Sequence[Line]) -> str:
    """Return the lines as a table in Markdown."""
    rows = [("contender", "figure", "median", "least to most", "ratio to the peer")]
    for line in lines:
        ratio = ""
        if line.ratio is not None:
            ratio = f"{line.ratio:.3g} ({line.ratio_least:.3g} to {line.ratio_most:.3g})"
        figure, spread = f"{line.figure} ({line.unit})", f"{line.least:.4g} to {line.most:.4g}"
        rows.append((line.contender, figure, f"{line.median:.4g}", spread, ratio))
    return markdown.table(rows)


def machine() -> str:
    """Return what was measured on: processor, cores, memory, system, versions."""
    model, cores = processor.describe()[1], processor.available_cores()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = {"python": platform.python_version()} | package_versions()
    packages = " ".join(f"{name}={version}" for name, version in versions.items())
    return f"{model}, {cores} cores, {memory:.0f} GiB, {platform.platform()}; {packages}"


def write(folder: Path, name: str, title: str, lines: Sequence[Line]) -> None:
    """Print the table and write it as `name`.csv and `name`.png into `folder`."""
    described = machine()
    print(show(lines))
    print(f"machine: {described}; load {os.getloadavg()[0]:.1f}")
    folder.mkdir(parents=True, exist_ok=True)
    table, image = folder / f"{name}.csv", folder / f"{name}.png"
    rows = []
    for line in lines:
        cells = [f"{cell:.5g}" if isinstance(cell, float) else cell for cell in line]
        rows.append(Line(*cells)._asdict() | {"machine": described})
    write_csv(table, [*Line._fields, "machine"], rows)
    _plot(image, title, lines)
    print(f"look at: {table} and {image}")


def _plot(path: Path, title: str, lines: Sequence[Line]) -> None:
    """Draw the medians of each figure as bars, with the least and the most."""
    groups: dict[str, list[Line]] = {}  # by figure
    for line in lines:
        groups.setdefault(f"{line.figure} ({line.unit})", []).insert(0, line)
    rows = max(map(len, groups.values()))
    drawing = plots.new_figure(9, 0.8 + len(groups) * (0.9 + 0.35 * rows))
    drawing.suptitle(title)
    grid = drawing.subplots(len(groups), squeeze=False)[:, 0]
    for axes, (figure, shown) in zip(grid, groups.items(), strict=True):
        names, medians = zip(*((line.contender, line.median) for line in shown), strict=True)
        spreads = [(line.median - line.least, line.most - line.median) for line in shown]
        whiskers = np.transpose(spreads)
        bars = axes.barh(names, medians, xerr=whiskers, capsize=3, color="tab:cyan")
        axes.bar_label(bars, [_label(line) for line in shown], padding=4)
        room = 1.3 * max(line.most for line in shown)  # for the words
        axes.set(xlabel=figure, xlim=(0, room))
        axes.grid(alpha=0.3, axis="x")
    plots.save(drawing, path)


def _label(line: Line) -> str:
    median = f"{line.median:,.0f}" if line.median >= 1000 else f"{line.median:.3g}"
    if line.ratio is None or line.unit == "%":
        return median
    return f"{median}, {line.ratio:.2f} x the peer"


def clean_environment(**settings: str) -> dict[str, str]:
    """Return the environment for a contender: none of the user's speed settings, but `settings`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(SPEED_SETTINGS)}
    return kept | {"PYTHONPATH": str(ROOT)} | settings


def run_json(command: Sequence[object], **settings: str) -> dict:
    """Return the last JSON object that a command prints. Raises UserError where it fails."""
    words = [str(word) for word in command]
    for _ in range(TRIES):
        try:
            status, output, complaints = _run(words, clean_environment(**settings))
            break
        except subprocess.TimeoutExpired:
            print(f"{' '.join(words)}: hangs; begun anew", file=sys.stderr, flush=True)
    else:
        raise UserError(f"{' '.join(words)}: hangs, {TRIES} times out of {TRIES}")
    objects = [line for line in output.splitlines() if line.startswith("{")]
    if status or not objects:
        last = ["it says nothing", *filter(str.strip, (complaints + output).split("\n"))][-1]
        raise UserError(f"{' '.join(words)}: status {status}, no figures; {last}")
    return json.loads(objects[-1])


def _run(words: list[str], environment: dict[str, str]) -> tuple[int, str, str]:
    """Return exit status, output and errors of a command, killed with all that it started if it
    does not end."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, env=environment, start_new_session=True, **pipes) as process:
        try:
            output, errors = process.communicate(timeout=_patience)
        except BaseException:  # Ctrl-C: it is for the whole group, which is no longer this one
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode, output, errors


def watch(command: Sequence[object]) -> Figures:
    """Run a command; return its `seconds`, and `resident_mb`, the most that it and all it started
    had at once (what they share counts for each). Linux. Raises UserError where it fails."""
    words = [str(word) for word in command]
    started, most = time.monotonic(), 0
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, env=clean_environment()) as process:
        while process.poll() is None:
            most = max(most, resident(process.pid))
            time.sleep(INTERVAL)
    if process.returncode:
        raise UserError(f"{' '.join(words)}: status {process.returncode} (reason above)")
    return {"seconds": time.monotonic() - started, "resident_mb": most / 1e6}


def resident(process: int) -> int:
    """Return the resident memory of a process and all that it started, in bytes."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
        started = children(process)
    except (OSError, IndexError):  # it has ended
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(map(resident, started))


def parser(name: str, description: str | None, repeats: int) -> Parser:
    """Return a parser with what every benchmark takes; `description` is the module's docstring."""
    made = Parser(prog=f"benchmarks.{name}", description=description)
    add_number(made, "--repeats", f"rounds ({repeats})")
    made.add_argument("--quick", action="store_true", help="small and short, to see that it works")
    usual, quick = RESULTS.relative_to(ROOT), QUICK_RESULTS.relative_to(ROOT)
    text = f"for the CSV and the plot ({usual}; with --quick {quick})"
    add_path(made, "--output-dir", text, "DIR")
    made.set_defaults(usual_repeats=repeats)
    return made


def parse(made: Parser, argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse, and fill in what depends on --quick."""
    global _patience
    args = made.parse_args(argv)
    _patience = QUICK_PATIENCE if args.quick else PATIENCE
    args.repeats = args.repeats or (1 if args.quick else args.usual_repeats)
    args.output_dir = args.output_dir or (QUICK_RESULTS if args.quick else RESULTS)
    return args
