"""An accuracy baseline: one recipe in both frameworks with several seeds, as a table.

    python -m experiments.accuracy --dataset cifar10
    python -m experiments.accuracy --dataset cifar10 --frameworks torch -- --fast
    python -m experiments.accuracy --data-path DIR --recipe imagenet --seeds 0 -- --processes 8

Each training is one call of scripts/train.sh, one after the other; what follows -- goes to it as it
is. A training whose row is in the table is not run again, and one that was stopped goes on from its
checkpoint: the same command goes on with the rest. Calls with other seeds, frameworks or options
may share a table. Writes TABLE, a row a training, and beside it a page in English (.md) and in
Chinese (.zh-CN.md) with mean and spread of each set of trainings and what the frameworks differ by.
"""

import argparse
import csv
import shlex
import signal
import subprocess
from pathlib import Path
from typing import Any

from common import errors
from common.args import LARGEST_SEED
from common.command_line import Parser, whole
from common.errors import RunError, UserError
from common.paths import ROOT, RUNS_DIR
from common.public_data import SIZES
from common.recipes import RECIPES
from common.run_folder import replace_whole
from common.whole_folders import locked
from experiments import accuracy_page
from experiments.collected import COLUMNS, read_run

FRAMEWORKS = ("torch", "paddle")
TABLE = ROOT / "docs" / "results" / "accuracy.csv"
KEY = ("recipe", "options", "framework", "seed")
STORED = (*KEY, *(name for name in COLUMNS if name not in KEY), "command")
STOPPED = {130, 143, -signal.SIGINT, -signal.SIGTERM}  # exit status after Ctrl-C or SIGTERM

Row = dict[str, Any]  # of one training, by the names in STORED; read from a file, all are texts


def main() -> int:
    args = parse()
    rows = read_table(args.table)
    for seed in args.seeds:
        for framework in args.frameworks:
            key = (args.recipe, args.options, framework, str(seed))
            told = " ".join(["train.sh", *names(framework, seed, args)])
            if key in rows:
                check_pictures(rows[key], command(framework, seed, args), args.table)
                print(f"{told}: is in {args.table.name}", flush=True)
                continue
            print(told, flush=True)
            folder = args.runs / folder_name(framework, seed, args)
            status = train(framework, seed, folder, args)
            if status in STOPPED:
                print("stopped; the same command goes on from here")
                return 130
            if status:
                raise RunError(f"{told}: exit status {status} (reason above)")
            with locked(args.table):
                rows = read_table(args.table)  # another call may have added to it meanwhile
                rows[key] = row(key, folder, args)
                write_table(args.table, rows)
    pages = accuracy_page.write(args.table, list(rows.values()))
    print(f"look at: {args.table} and {', '.join(map(str, pages))}")
    return 0


def parse() -> argparse.Namespace:
    parser = Parser(
        prog="experiments.accuracy",
        description=__doc__,
    )
    data = parser.add_mutually_exclusive_group()
    data.add_argument("--data-path", type=Path, metavar="DIR", help="pictures, as train.sh has it")
    data.add_argument("--dataset", choices=sorted(SIZES), help="a public data set (the sample)")
    parser.add_argument(
        "--recipe", choices=sorted(RECIPES), help="(cifar10 for --dataset cifar10, else needed)"
    )
    parser.add_argument(
        "--frameworks",
        nargs="+",
        choices=FRAMEWORKS,
        default=FRAMEWORKS,
        metavar="NAME",
        help="torch, paddle (both)",
    )
    parser.add_argument(
        "--seeds",
        nargs="+",
        type=whole(0, LARGEST_SEED),
        default=[0, 1, 2],
        metavar="N",
        help="a training of each framework with each of them (0 1 2)",
    )
    parser.add_argument(
        "--runs",
        type=Path,
        default=RUNS_DIR / "accuracy",
        metavar="DIR",
        help="where the run folders lie (runs/accuracy)",
    )
    parser.add_argument(
        "--table", type=Path, default=TABLE, metavar="FILE", help="(docs/results/accuracy.csv)"
    )
    parser.add_argument("more", nargs="*", metavar="-- OPTION", help="options of train.sh")
    args = parser.parse_args()
    if args.recipe is None:
        if args.dataset not in RECIPES:
            parser.error(f"--recipe names what to train by; one of {', '.join(sorted(RECIPES))}")
        args.recipe = args.dataset
    args.options = shlex.join(args.more)
    if args.table.suffix != ".csv":
        parser.error(f"--table {args.table}: a name that ends in .csv")
    if not args.table.parent.is_dir():
        parser.error(f"--table {args.table}: there is no folder {args.table.parent}")
    return args


def names(framework: str, seed: int, args: argparse.Namespace) -> list[str]:
    """Return what tells a training from the others, as options of train.sh."""
    which = ["--framework", framework, "--recipe", args.recipe, "--seed", str(seed)]
    return [*which, *args.more]


def folder_name(framework: str, seed: int, args: argparse.Namespace) -> str:
    """Return the run folder's name, another one for other options."""
    words = "".join(one if one.isalnum() or one in ".-" else "_" for one in args.options)
    return "-".join(filter(None, [framework, args.recipe, words.strip("-"), str(seed)]))


def pictures(args: argparse.Namespace) -> list[str]:
    """Return the options of train.sh that name the pictures."""
    if args.data_path:
        return ["--data-path", str(args.data_path.resolve())]
    return ["--dataset", args.dataset] if args.dataset else []


def command(framework: str, seed: int, args: argparse.Namespace) -> str:
    """Return the command of a training as the table has it, without the places of a machine."""
    shown = ["--data-path", "DIR"] if args.data_path else pictures(args)
    return shlex.join(["bash", "scripts/train.sh", *names(framework, seed, args), *shown])


def check_pictures(row: Row, own: str, table: Path) -> None:
    """Raise UserError where the row of the table is of another data set than the call is."""
    if row["command"] != own:
        raise UserError(
            f"--table {table}: has that training of other pictures ({row['command']}); name "
            "another --table and other --runs"
        )


def train(framework: str, seed: int, folder: Path, args: argparse.Namespace) -> int:
    """Run one training to its end, from its newest checkpoint if there is one; return the status.

    Ctrl-C reaches the training as well: it saves and ends, and is waited for.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    options = [*names(framework, seed, args), *pictures(args)]
    words = ["bash", str(ROOT / "scripts" / "train.sh"), *options]
    told, processes = [], []

    def end(number: int, frame: object) -> None:
        told.append(number)
        if number == signal.SIGTERM:  # Ctrl-C reaches every process of the terminal
            for process in processes:
                process.terminate()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        processes.append(
            subprocess.Popen([*words, "--output-dir", str(folder), "--resume", "auto"])
        )
        if signal.SIGTERM in told:  # while it was begun
            processes[0].terminate()
        return processes[0].wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def row(key: tuple[str, ...], folder: Path, args: argparse.Namespace) -> Row:
    """Return the row of a finished training. Raises UserError where its folder tells of none."""
    told = read_run(folder)
    own = command(told["framework"], told["seed"], args)
    return told | dict(zip(KEY, key, strict=True)) | {"command": own}


def read_table(path: Path) -> dict[tuple[str, ...], Row]:
    """Return the rows of a table by their keys; none where there is no file.

    Raises UserError where the file is no such table.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"--table {path}: cannot be read ({error})") from error
    if tuple(reader.fieldnames or ()) != STORED or any(None in one.values() for one in rows):
        raise UserError(f"--table {path}: not a table of this command; name another file")
    return {tuple(one[name] for name in KEY): one for one in rows}


def write_table(path: Path, rows: dict[tuple[str, ...], Row]) -> None:
    """Write the rows in the order of their keys, whole or not at all."""
    with replace_whole(path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, STORED, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[key] for key in sorted(rows))


if __name__ == "__main__":
    errors.run(main)
