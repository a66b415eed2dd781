"""What a converter leaves is finished by rules with names, each applied until it changes nothing.

What no rule knows is reported: names of PyTorch, and words that say torch.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from portproof.convert import api_tables, rewrite_names, rewrites, x2paddle
from portproof.convert.source import (
    BY_HAND,
    DONE,
    Finding,
    Source,
    docstrings,
    fill_blocks,
    without_marks,
)

FRAMEWORKS = {"torch", "torchvision", "paddle", "x2paddle", "x2paddle_native"}
ROUNDS = 20  # nested calls are rewritten from the outside, one level a round
RULES = {
    "docstring": rewrite_names.docstring,
    "paths": rewrite_names.paths,
    "learning rate": x2paddle.silent_rates,
    "optimizer": rewrites.sgd,
    "emulations": x2paddle.emulations,
    "loaders": rewrites.loaders,
    "native": x2paddle.native,
    "groups": rewrites.param_groups,
    "scaler": rewrites.scaler,
    "names": rewrites.renames,
    "files": rewrites.files,
    "trust": rewrite_names.unpickled,
    "downloads": rewrite_names.downloads,
    "gradients": rewrites.gradients,
    "in place": rewrites.in_place,
    "division": rewrites.division,
    "created": rewrites.created,
    "layouts": rewrites.memory_formats,
    "pairs": rewrite_names.pairs,
    "extremes": rewrite_names.extremes,
    "kinds": rewrite_names.kinds,
    "schedule": rewrite_names.base_rates,
    "optimizer state": rewrites.optimizer_states,
    "schedule state": rewrite_names.schedule_state,
    "endings": rewrite_names.endings,
    "ranks": rewrite_names.ranks,
    "annotations": rewrite_names.annotations,
    "datasets": rewrite_names.datasets,
    "derived": rewrite_names.derived,
    "libraries": rewrite_names.libraries,
    "rates": rewrite_names.set_rates,
    "imports": rewrite_names.imports,
}
NAMES = sorted([*RULES, "lost names", "initialization", "layout"])


@dataclass
class Finished:
    """One file as it is when the rules are done with it."""

    text: str
    findings: list[Finding] = field(default_factory=list)


def finish(
    file: str,
    text: str,
    original: str | None = None,
    leave: set[str] = frozenset(),
    draws_itself: bool = True,
    own_modules: set[str] = frozenset(),
) -> Finished:
    """Return a converted file as the rules leave it, and what they did and could not do.

    `original` is the file before the conversion, `leave` names rules that are left out. Where the
    project does not draw its weights itself, layers start as PyTorch's do. `own_modules` are the
    project's modules, by their first name.
    """
    text, marked = without_marks(text)
    text, filled = fill_blocks(text)
    what = "an empty block"
    findings = [Finding(file, line, what, "holds pass", DONE, "blocks") for line in filled]
    finished = Finished(text, findings)
    try:
        Source(file, text)
    except SyntaxError as error:
        fix = "write the statement anew; the rest of the file is as the converter left it"
        what = f"no Python ({error.msg})"
        findings.append(Finding(file, error.lineno or 1, what, fix, BY_HAND, "syntax"))
        return finished
    before = _source(file, original)
    rules = {"lost names": lambda source: rewrite_names.lost_names(source, before, own_modules)}
    rules |= RULES
    if not draws_itself:
        rules["initialization"] = rewrite_names.initialization
    kept = [rule for name, rule in rules.items() if name not in leave]
    for rule in kept:
        _apply(finished, file, rule)
    source = Source(file, finished.text)
    source.import_modules("paddle", api_tables.HELPERS, "visualdl")
    finished.text = source.edited()
    source = Source(file, finished.text)
    for rule in kept:  # what they cannot do, on the lines where it stands now
        left = rule(Source(file, finished.text))
        findings += [finding for finding in left if finding.kind != DONE]
    findings += left_names(source)
    findings += words_of_torch(source, own_modules)
    if marked:
        what = f"{len(marked)} lines that the converter has marked"
        findings.append(Finding(file, marked[0], what, "marks removed", DONE, "marks"))
    return finished


def _source(file: str, text: str | None) -> Source | None:
    try:
        return None if text is None else Source(file, text)
    except SyntaxError:
        return None


def _apply(finished: Finished, file: str, rule: rewrites.Rewrite) -> None:
    """Apply a rule until it changes nothing, and keep what it says it has done."""
    for _ in range(ROUNDS):
        source = Source(file, finished.text)
        findings = list(rule(source))
        finished.findings += [finding for finding in findings if finding.kind == DONE]
        if not source.edits:
            break
        finished.text = source.edited()


def left_names(source: Source) -> Iterator[Finding]:
    """Tell of the names of PyTorch that are left."""
    for node, full in source.chains("torch", "torchvision"):
        if "." in full:
            yield source.finding(node, full, api_tables.advice(full), "left names")


def words_of_torch(source: Source, own_modules: set[str]) -> Iterator[Finding]:
    """Tell of strings that are "torch", and of functions from elsewhere that are torch's."""
    prose = docstrings(source.tree)
    roots = {full.partition(".")[0] for full in source.imported.values()} - FRAMEWORKS
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Constant) and node.value in ("torch", "pytorch"):
            if id(node) not in prose:
                fix = 'write "paddle" where the framework is meant'
                yield source.finding(node, f'the word "{node.value}"', fix, "words")
        elif isinstance(node, ast.Call):
            full = source.full(node.func)
            root, _, last = full.partition(".")
            if root in roots - own_modules and "torch" in last.rpartition(".")[2].lower():
                fix = "see whether it takes files or tensors of PyTorch alone"
                yield source.finding(node, f"{full}()", fix, "words")
