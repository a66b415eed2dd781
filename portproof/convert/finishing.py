"""What a converter leaves is finished by rules with names, each applied until it changes nothing.

What no rule knows is reported: names of PyTorch, and words that say torch.
"""

import ast
import contextlib
from dataclasses import dataclass

from portproof.convert import api_tables, rewrite_names, rewrites, x2paddle
from portproof.convert.source import BY_HAND, DONE, LOOK, Finding, Place, Places, Source
from portproof.convert.texts import fill_blocks, without_marks
from portproof.convert.trees import is_docstring, nodes

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
# Rules whose findings are counted under another's name.
COUNTED_AS = {
    "emulations": "native",
    "groups": "optimizer",
    "trust": "files",
    "created": "names",
    "extremes": "pairs",
    "schedule state": "schedule",
}
TO_LOOK_AT = {"trust", "ranks", "libraries"}  # what these find may be right


@dataclass
class Finished:
    """One file as it is when the rules are done with it."""

    text: str
    findings: list[Finding]


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
    try:
        source = Source(file, text)
    except SyntaxError as error:
        fix = "write the statement anew; the rest of the file is as the converter left it"
        what = f"no Python ({error.msg})"
        findings.append(Finding(file, error.lineno or 1, what, fix, BY_HAND, "syntax"))
        return Finished(text, findings)
    imported = {}
    with contextlib.suppress(SyntaxError):
        imported = Source(file, original or "").imported
    rules = {"lost names": lambda source: rewrite_names.lost_names(source, imported, own_modules)}
    rules |= RULES
    if not draws_itself:
        rules["initialization"] = rewrite_names.initialization
    rules = {name: rule for name, rule in rules.items() if name not in leave}
    for name, rule in rules.items():
        source, done = _apply(source, name, rule)
        findings += done
    source.import_modules("paddle", api_tables.HELPERS, "visualdl")
    source = Source(file, source.edited())
    for name, rule in rules.items():  # what they cannot do, on the lines where it stands now
        kind = LOOK if name in TO_LOOK_AT else BY_HAND
        findings += source.left(rule(source), COUNTED_AS.get(name, name), kind)
    findings += source.left(left_names(source), "left names")
    findings += source.left(words_of_torch(source, own_modules), "words")
    if marked:
        what = f"{len(marked)} lines that the converter has marked"
        findings.append(Finding(file, marked[0], what, "marks removed", DONE, "marks"))
    return Finished(source.text, findings)


def _apply(source: Source, name: str, rule: rewrites.Rule) -> tuple[Source, list[Finding]]:
    """Apply a rule until it changes nothing; return the new source, and what was done."""
    findings: list[Finding] = []
    for _ in range(ROUNDS):
        findings += source.rewrite(rule(source), COUNTED_AS.get(name, name))
        if not source.edits:
            break
        source = Source(source.file, source.edited())
    return source, findings


def left_names(source: Source) -> Places:
    """Tell of the names of PyTorch that are left."""
    for node, full in source.chains("torch", "torchvision"):
        if "." in full:
            yield Place(node, full, api_tables.advice(full))


def words_of_torch(source: Source, own_modules: set[str]) -> Places:
    """Tell of strings that are "torch", and of functions from elsewhere that are torch's."""
    roots = {full.partition(".")[0] for full in source.imported.values()} - FRAMEWORKS
    for node in nodes(source.tree, ast.Constant, ast.Call):
        if isinstance(node, ast.Call):
            full = source.full(node.func)
            root, _, last = full.partition(".")
            if root in roots - own_modules and "torch" in last.rpartition(".")[2].lower():
                fix = "see whether it takes files or tensors of PyTorch alone"
                yield Place(node, f"{full}()", fix)
        elif node.value in ("torch", "pytorch") and not is_docstring(node.parent):
            fix = 'write "paddle" where the framework is meant'
            yield Place(node, f'the word "{node.value}"', fix)
