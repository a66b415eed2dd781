import json

import pytest

from tests.support.trees import SMALL, copy_tree


@pytest.fixture
def run_tool(tmp_path, capsys):
    """A function that runs a tool in this process; it returns exit status, JSON and text."""

    def call(tool, *options):
        file = tmp_path / "report.json"
        status = tool.main([*map(str, options), "--json", str(file)])
        return status, json.loads(file.read_text()), capsys.readouterr().out

    return call


@pytest.fixture
def on_small_trees(tmp_path, small_trees, run_tool):
    """The same, on small trees, or on copies of them with edits. Kept workers serve both."""

    def call(tool, paddle, *options, torch=()):
        trees = []
        for framework, edits in (("torch", torch), ("paddle", paddle)):
            tree = small_trees[framework]
            if edits:
                tree = copy_tree(framework, tmp_path / f"AlexNet-{framework}", [*edits, *SMALL])
            trees += [f"--{framework}-tree", tree]
        return run_tool(tool, *trees, *options)

    return call
