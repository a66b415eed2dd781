"""The paper's claims, one by one, as controlled comparisons on small images.

    python -m experiments.claims                                   # CIFAR-10, about 90 minutes
    python -m experiments.claims --claims dropout --seeds 0        # a part of it
    python -m experiments.claims --report-only --output docs/results

Each claim is one thing that differs between two trainings of the same network, in both frameworks
and with several seeds:

    relu      ReLU against tanh: epochs to 25 % training error of a four-layer network
    norm      local response normalization on and off
    pooling   pooling windows that overlap (3, stride 2) against plain ones (2, stride 2)
    dropout   dropout on and off: how much larger the error on val is than that on train
    colour    colour noise on and off
    groups    all kernels in two groups against half of them in one
    crops     evaluation by ten crops against the centre crop alone, of the same weights

Trainings that several claims need are run once. Each has one thread; as many run side by side as
there are cores. A call that was stopped or killed resumes when it is given again: finished
trainings are not run again, and the others resume from their checkpoints.
"""

import argparse
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from common.data import public_data, synthetic
from common.paths import RUNS_DIR
from experiments import claims_plot, claims_tables, pages
from experiments.images import choose, described
from experiments.options import add_images, add_names, add_trainings
from experiments.plan import ARMS, CLAIMS, Run, runs_of, search_runs
from experiments.runner import leave_at_sigterm
from experiments.runs import Outcome, Workplace
from portproof.cli.options import add_number, add_path
from portproof.system import errors, processor
from portproof.system.command_line import Parser, add_option

# Seconds for an epoch of 10,000 + 5,000 images, and around the epochs, on one core of an AMD EPYC
# (Zen 5): the first estimate, until trainings of this call are over.
SECONDS = {"torch": 7.5, "paddle": 11.5}
AROUND = 12.0
USUAL_IMAGES = 10_000 + 5_000
SAMPLE = "sample"


def main(argv: Sequence[str] | None = None) -> None:
    args = parse(argv)
    workplace = Workplace(args.work)
    runs = runs_of(args.claims, args.frameworks, args.seeds, args.epochs)
    if args.search_rates:
        runs = [run for name in args.frameworks for run in search_runs(name, args.epochs)]
    if not args.report_only:
        with workplace.held():
            choose(data_path(args), workplace.images, {"train": args.train, "val": args.val})
            train(workplace, runs, args)
    outcomes = [outcome for run in runs if (outcome := workplace.outcome(run))]
    if not outcomes:
        raise errors.UserError(f"--work {args.work}: no finished training of these claims in it")
    args.output.mkdir(parents=True, exist_ok=True)
    if args.search_rates:
        claims_tables.write_runs(args.output / "claims-rates.csv", outcomes)
    else:
        report(args.output, outcomes, args.claims, described(workplace.images))
    print(f"look at: {args.output}")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="experiments.claims", description=__doc__)
    what = parser.add_argument_group("what")
    add_names(what, "--claims", tuple(CLAIMS))
    add_trainings(what)
    usual = f"{ARMS['base'].epochs}, of the four-layer networks {ARMS['relu'].epochs}"
    add_number(what, "--epochs", f"of each training ({usual})", limits=(2, 1_000_000))
    text = "the four-layer networks at several learning rates, with a seed of their own"
    what.add_argument("--search-rates", action="store_true", help=f"in place of the claims: {text}")
    data = parser.add_argument_group("images (cifar10)")
    add_images(data, SAMPLE)
    add_number(data, "--train", "training images", 10_000)
    add_number(data, "--val", "images to validate with", 5_000)
    run = parser.add_argument_group("run")
    text = "begin nothing that would not end within N minutes; the same command does the rest"
    add_number(run, "--budget-minutes", text, 90)
    text = "trainings side by side, of one thread each; usually one a core"
    add_number(run, "--jobs", text, processor.available_cores(), (1, 256))
    text = "where trainings and their results lie (runs/claims)"
    add_option(run, "--work", text, Path, "DIR", RUNS_DIR / "claims")
    add_path(run, "--output", "for the table, the pages and the plots (report in --work)", "DIR")
    text = "train nothing; report what is finished"
    run.add_argument("--report-only", action="store_true", help=text)
    args = parser.parse_args(argv)
    args.output = args.output or args.work / "report"
    return args


def data_path(args: argparse.Namespace) -> Path:
    """Return the folder of the images, made or fetched where it is missing."""
    if args.dataset == SAMPLE:
        return synthetic.ensure()
    return args.data_path or public_data.ensure(args.dataset or "cifar10")


def train(workplace: Workplace, runs: list[Run], args: argparse.Namespace) -> None:
    """Run what is not finished, within the budget, and say how it goes."""
    deadline = time.monotonic() + 60 * args.budget_minutes
    left = [run for run in runs if workplace.outcome(run) is None]
    clock = Clock(len(runs), left, args)
    jobs = f"{len(runs)} trainings, {len(left)} to run, {args.jobs} side by side"
    minutes = f"{clock.minutes():.0f} minutes, of a budget of {args.budget_minutes}"
    print(f"{jobs}: about {minutes}", flush=True)

    def fits(run: Run) -> bool:
        return time.monotonic() + clock.seconds(run) <= deadline

    out = workplace.runner.perform_all(left, workplace.perform, clock.note, args.jobs, fits)
    if out:
        which = f"{len(out)} trainings are left ({out[0].name} and on)"
        print(f"the budget is spent: {which}; the same command resumes them", flush=True)


def report(
    folder: Path, outcomes: Sequence[Outcome], claims: Sequence[str], images: dict[str, object]
) -> None:
    """Write everything about these claims into a folder; `images` as `described` has it."""
    effects = {claim: claims_tables.effects_of(claim, outcomes) for claim in claims}
    claims_tables.write_runs(folder / "claims.csv", outcomes)
    claims_tables.write_epochs(folder / "claims-epochs.csv", outcomes)
    claims_plot.draw_effects(folder / "claims.png", effects)
    claims_plot.draw_curves(folder / "claims-curves.png", outcomes)
    values = partial(claims_tables.values, effects, outcomes, images)
    pages.write(folder / "claims", "claims", values)
    print(claims_tables.table(effects, pages.read_words("claims", "en")))


class Clock:
    """Estimates how long runs take, from what those before them took, and tells of each."""

    def __init__(self, total: int, left: list[Run], args: argparse.Namespace) -> None:
        self.total = total
        self.left = list(left)
        self.jobs = args.jobs
        self.share = (args.train + args.val) / USUAL_IMAGES
        self.guessed = self.spent = 0.0  # seconds of the runs that are over

    def guess(self, run: Run) -> float:
        return AROUND + SECONDS[run.framework] * run.epochs * self.share

    def seconds(self, run: Run) -> float:
        """Return what a run will take."""
        return self.guess(run) * (self.spent / self.guessed if self.guessed else 1)

    def minutes(self) -> float:
        """Return how long all that is left will take."""
        return sum(map(self.seconds, self.left)) / 60 / min(self.jobs, max(len(self.left), 1))

    def note(self, run: Run, outcome: Outcome) -> None:
        """Take the time of a run that is over, and say what came out."""
        self.guessed += self.guess(run)
        self.spent += outcome["seconds"] + AROUND
        self.left.remove(run)
        title = f"[{self.total - len(self.left)}/{self.total}] {run.arm}, {run.framework}"
        figures = [f"val error {outcome['val_error']:.2f} %", f"{outcome['seconds']:.0f} s"]
        if outcome["epochs_to_goal"] is not None:
            figures.insert(1, f"25 % after {outcome['epochs_to_goal']:.1f} epochs")
        left = f"about {self.minutes():.0f} minutes left"
        print(f"{title}, seed {run.seed}: {', '.join(figures)}; {left}", flush=True)


if __name__ == "__main__":
    leave_at_sigterm()
    errors.run(main)
