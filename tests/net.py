"""Compare two work trees on this machine: what every command computes, prints and writes.

    python -m tests.net BASE NEW                        # all cases
    python -m tests.net BASE NEW --short                # two trainings a tree, and align
    python -m tests.net BASE NEW --only "train-*-ema" align-alexnet
    python -m tests.net BASE NEW --only faults --faults NEW/docs/results/faults.csv

BASE is a git worktree of the commit to compare with (git worktree add --detach DIR COMMIT), NEW the
one that is to do the same. The cases (tests/net_cases.py) run in copies of both, one after the
other, so that the trees may be edited meanwhile. Their results are kept in the work folder, by the
commit and content of the tree: BASE runs once, and a call that was stopped resumes. A case that is
defined otherwise than when its result was kept runs again.

Exit status: 0 the same; 1 differences, a line each: case: field: old -> new (kind); 2 wrong usage.
Kinds are verdict, bits, figure and text; `new` is what NEW has in addition, and no difference, nor
is a changed text in the table of faults. With --short, that table may lack rows.
"""

import argparse
import difflib
import fnmatch
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from tests.net_cases import SUFFIX, Result, Tree, make_cases, make_inputs

SHORT = [f"train-{framework}-{name}" for framework in SUFFIX for name in ("plain", "stopped")]
SHORT += ["align-alexnet", "faults"]
VERDICTS = {"status", "verdict", "aligned", "first_divergence", "in the middle"}
VERDICTS |= {"expected", "first", "caught", "named"}  # of the table of faults
NUMBER = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?")
MISSING = "(missing)"


class Difference(NamedTuple):
    case: str
    field: str
    old: Any
    new: Any
    kind: str

    def __str__(self) -> str:
        old, new = (json.dumps(value, ensure_ascii=False) for value in (self.old, self.new))
        return f"{self.case}: {self.field}: {old} -> {new} ({self.kind})"


def compare(case: str, old: Any, new: Any, field: str = "") -> Iterator[Difference]:
    """Yield the differences of two results: by their keys, and by the lines of texts."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old | new:
            inside = f"{field}.{key}" if field else key
            if key in old:
                yield from compare(case, old[key], new.get(key, MISSING), inside)
            else:
                yield Difference(case, inside, None, new[key], "new")
    elif isinstance(old, list) and isinstance(new, list):
        if all(isinstance(item, str) for item in old + new):
            yield from compare_lines(case, old, new, field)
            return
        for number, (before, after) in enumerate(zip(old, new, strict=False)):
            yield from compare(case, before, after, f"{field}[{number}]")
        if len(old) != len(new):
            yield Difference(case, f"{field}.length", len(old), len(new), "figure")
    elif json.dumps(old) != json.dumps(new):  # as JSON, where NaN is like NaN
        yield Difference(case, field, old, new, kind_of(field, old, new))


def compare_lines(case: str, old: list[str], new: list[str], field: str) -> Iterator[Difference]:
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag == "replace" and b - a == d - c:
            for before, after in zip(old[a:b], new[c:d], strict=True):
                yield Difference(case, field, before, after, kind_of(field, before, after))
        elif tag != "equal":
            yield Difference(case, field, old[a:b], new[c:d], "text")


def kind_of(field: str, old: Any, new: Any) -> str:
    """Say whether a verdict, the bits of an array, a figure or a text differs."""
    if field.rpartition(".")[2] in VERDICTS or MISSING in (old, new):
        return "verdict"
    if not (isinstance(old, str) and isinstance(new, str)):
        return "figure"
    if re.fullmatch(r"[0-9a-f]{8}", old):
        return "bits"
    return "figure" if NUMBER.sub("", old) == NUMBER.sub("", new) else "text"


def copy_tree(source: Path, work: Path) -> Path:
    """Return a copy of the files of a work tree, named by their commit and contents."""
    git = ["git", "-C", str(source)]
    commit = subprocess.check_output([*git, "rev-parse", "--short=8", "HEAD"], text=True).strip()
    files = [*git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.check_output(files, text=True).split("\0")
    names = sorted({name for name in listed if name and (source / name).is_file()})
    contents = hashlib.sha256()
    for name in names:
        contents.update(name.encode() + b"\0" + (source / name).read_bytes())
    copy = work / "trees" / f"{commit}-{contents.hexdigest()[:8]}"
    if not copy.exists():
        unfinished = Path(tempfile.mkdtemp(dir=work, prefix="tree-"))
        for name in names:
            target = unfinished / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, target)
        copy.parent.mkdir(exist_ok=True)
        unfinished.rename(copy)
    return copy


def run_case(tree: Tree, name: str, case: Callable[[Tree], Result], work: Path) -> Result:
    """Return the result of a case in a tree: the one that is kept, or a new one, which is kept."""
    kept = work / "results" / tree.root.name / f"{name}.json"
    definition = repr(getattr(case, "keywords", None))
    if kept.exists() and name != "faults":
        contents = json.loads(kept.read_text())
        if contents["definition"] == definition:
            return contents["result"]
    start = time.monotonic()
    with tempfile.TemporaryDirectory(dir=work, prefix="out-") as folder:
        result = case(replace(tree, out=Path(folder)))
    text = json.dumps({"definition": definition, "result": result}, indent=1)
    kept.parent.mkdir(parents=True, exist_ok=True)
    unfinished = kept.with_suffix(".partial")
    unfinished.write_text(text)
    unfinished.replace(kept)
    print(f"{tree.root.name} {name}: {time.monotonic() - start:.0f} s", file=sys.stderr)
    return json.loads(text)["result"]


def counts(difference: Difference, short: bool) -> bool:
    """Say whether a difference is one, and not only to be read."""
    if difference.case != "faults":
        return difference.kind != "new"
    return difference.kind not in ("new", "text") and not (short and difference.new == MISSING)


def parse() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m tests.net", None, __doc__, formatter_class=raw)
    parser.add_argument("base", type=Path, metavar="BASE", help="the old work tree")
    parser.add_argument("new", type=Path, metavar="NEW", help="the new work tree")
    parser.add_argument("--short", action="store_true", help=f"only {', '.join(SHORT)}")
    parser.add_argument("--only", nargs="+", metavar="CASE", help="names or patterns of cases")
    parser.add_argument("--base-only", action="store_true", help="run BASE, and compare nothing")
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    parser.add_argument("--faults", type=Path, metavar="CSV", help="NEW's table of faults")
    work = Path.home() / "runs" / "net"
    parser.add_argument("--work", type=Path, default=work, metavar="DIR", help=f"({work})")
    args = parser.parse_args()
    for tree in (args.base, args.new):
        if not (tree / "AlexNet-torch").is_dir():
            parser.error(f"{tree}: no work tree of this project")
    if args.faults and not args.faults.is_file():
        parser.error(f"--faults {args.faults}: there is no such file")
    args.cases = make_cases()
    wanted = args.only or (SHORT if args.short else ["*"])
    for pattern in wanted:
        if not fnmatch.filter(args.cases, pattern):
            parser.error(f"--only {pattern}: there is no such case; see --list")
    if not args.faults:
        del args.cases["faults"]
    args.names = [name for name in args.cases if any(fnmatch.fnmatch(name, w) for w in wanted)]
    return args


def main() -> int:
    args = parse()
    if args.list:
        print("\n".join(args.names))
        return 0
    work = args.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    inputs = work / "inputs"
    if not inputs.exists():
        unfinished = Path(tempfile.mkdtemp(dir=work, prefix="inputs-"))
        make_inputs(unfinished)
        unfinished.rename(inputs)
    base, new = (copy_tree(tree, work) for tree in (args.base, args.new))
    table = base / "docs" / "results" / "faults.csv"
    old_tree = Tree(base, inputs, work, table)
    new_tree = Tree(new, inputs, work, args.faults or table)
    count = 0
    for name in args.names:
        old = run_case(old_tree, name, args.cases[name], work)
        if args.base_only:
            continue
        for difference in compare(name, old, run_case(new_tree, name, args.cases[name], work)):
            print(difference, flush=True)
            count += counts(difference, args.short)
    print(f"{len(args.names)} cases, {count} differences")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
