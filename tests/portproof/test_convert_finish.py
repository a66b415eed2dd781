"""What converters leave is finished, told on small sources: no converter runs here."""

import ast

import pytest

from portproof.convert import finishing, running
from portproof.convert.files import changed, with_endings
from portproof.convert.source import BY_HAND, DONE, LOOK, Source


def finish(text, original=None, **settings):
    return finishing.finish("a.py", text, original, **settings)


def rewritten(text, **settings):
    """Return what the rules make of text, parsed and printed anew."""
    return ast.unparse(ast.parse(finish(text, **settings).text))


def found(text, kind):
    """Return the findings of a kind."""
    return [finding for finding in finish(text).findings if finding.kind == kind]


CASES = {
    "SGD with momentum": (
        "import paddle\n>>>>>>o = torch.optim.SGD(p(), lr=r, momentum=m, weight_decay=w, "
        "nesterov=n)",
        "paddle.optimizer.Momentum(learning_rate=r, parameters=p(), weight_decay=w, momentum=m, "
        "use_nesterov=n)"),
    "SGD without": ("import paddle\no = torch.optim.SGD(p(), 0.1)",
        "paddle.optimizer.SGD(learning_rate=0.1, parameters=p(), weight_decay=0.0)"),
    "a rate that is read": ("def f(optimizer):\n    return optimizer.param_groups[0]['lr']",
        "return optimizer.get_lr()"),
    "a rate that is set": ("def f(self):\n    self.optimizer.param_groups[0]['lr'] = 2 * x",
        "self.optimizer.set_lr(2 * x)"),
    "a rate of each group": (
        "def f(o):\n    for g in o.param_groups:\n        g['lr'] = max(g['lr'], x)",
        "o.set_lr(max(o.get_lr(), x))"),
    "a rate that is multiplied": (
        "def f(o):\n    for group in o.param_groups:\n        group['lr'] *= 0.1",
        "o.set_lr(o.get_lr() * 0.1)"),
    "in place": ("a.mul_(0.5)", "paddle_helpers.in_place(a, 'mul_', 0.5)"),
    "in place, in a chain": ("a.mul_(d).add_(p, alpha=1 - d)",
        "paddle_helpers.in_place(paddle_helpers.in_place(a, 'mul_', d), 'add_', p, alpha=1 - d)"),
    "a gradient of its own": ("class F(torch.autograd.Function):\n    def backward(ctx, grad):\n"
        "        x, = ctx.saved_tensors\n        return grad * x",
        "class F(paddle.autograd.PyLayer):\n\n    def backward(ctx, grad):\n"
        "        x, = ctx.saved_tensor()"),
    "division": ("y = (x + 1).div(255)", "y = (x + 1) / 255"),
    "a pair": ("h = x.max(axis=1), x.argmax(axis=1)", "h = paddle.compat.max(x, 1)"),
    "a pair by dim": ("h = x.max(dim=1)", "h = paddle.compat.max(x, dim=1)"),
    "a pair that is unpacked": ("_, t = x.max(1)", "_, t = paddle.compat.max(x, 1)"),
    "kind": ("isinstance(x, paddle.ByteTensor)", "x.dtype == paddle.uint8"),
    "schedule": ("scheduler.load_state_dict(c)", "scheduler.set_state_dict(c)"),
    "optimizer's state": ("optimizer.load_state_dict(c['o'])",
        "paddle_helpers.load_optimizer_state(optimizer, c['o'])"),
    "a class of a schedule": ("import paddle\nclass A(paddle.optimizer.lr.ReduceOnPlateau): pass",
        "class A(paddle_helpers.ReduceLROnPlateau):"),
    "base rate": (
        "import paddle\ns = paddle.optimizer.lr.StepDecay(step_size=2, learning_rate=o.get_lr())",
        "learning_rate=paddle_helpers.base_lr(o)"),
    "a file of weights": ("path = 'out/net.pth'", "path = 'out/net.pdparams'"),
    "loading": ("import paddle\nw = torch.load(path, map_location='cpu', weights_only=True)",
        "w = paddle.load(str(path))"),
    "scaler": ("import paddle\ns = torch.amp.GradScaler(d, enabled=e)",
        "paddle.amp.GradScaler(enable=e)"),
    "fan in": ("import paddle\npaddle.nn.init.kaiming_uniform_(w, a=1)",
        "paddle_helpers.kaiming_uniform_(w, a=1)"),
    "layout": ("x = x.to(d, memory_format=l)", "x = x.to(d)"),
    "device": ("import paddle\npaddle.to_tensor(1, device=d)", "paddle.tensor(1, device=d)"),
    "X2Paddle's momentum": (
        "from x2paddle.torch2paddle import Momentum\nMomentum(p, lr=1, momentum=m, fused=True)",
        "paddle.optimizer.Momentum(learning_rate=1, parameters=p, weight_decay=0.0, momentum=m)"),
    "X2Paddle's rate": (
        "from x2paddle import torch2paddle\ntorch2paddle.CosineAnnealingDecay(o, 5)",
        "paddle_helpers.CosineAnnealingLR(o, 5)"),
    "X2Paddle's methods": ("from x2paddle import torch2paddle\ntorch2paddle.concat(a)",
        "from x2paddle_native import torch2paddle"),
    "data set": (
        "class A:\n    def __len__(self):\n        return 1\n\n    def __getitem__(self, i):\n"
        "        return i",
        "class A(paddle.io.Dataset):"),
    "a folder of this machine": ("import sys\nsys.path.append('/home/me/out')", "__file__"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_rule(case):
    before, after = CASES[case]
    assert after in rewritten(before)


@pytest.mark.parametrize("case", CASES)
def test_rules_change_nothing_twice(case):
    once = finish(CASES[case][0]).text
    assert finish(once).text == once
    assert not found(once, DONE)


CORRECT = [
    "x = {'a': 1}\nx.div\nmax(1, 2)\nx.max()\n",
    '"""Reads net.pth."""\nsay("load it from net.pth first")\n',
    "import paddle\npaddle.max(x, axis=1)\nisinstance(x, paddle.Tensor)\n",
    "url = 'http://a.b/net.pth'\n",
]


@pytest.mark.parametrize("text", CORRECT)
def test_what_is_right_stays(text):
    assert finish(text).text == text


def test_marks_go_and_empty_blocks_hold_pass():
    done = finish("try:\nexcept ImportError as error:\n>>>>>>    raise A(error)\n")
    assert done.text == "try:\n    pass\nexcept ImportError as error:\n    raise A(error)\n"
    assert {finding.rule for finding in done.findings} == {"blocks", "marks"}


def test_marks_in_a_docstring_go():
    text = finish('"""A.\n>>>>>>torch.x is mentioned.\n"""\n').text
    assert text == '"""A.\ntorch.x is mentioned.\n"""\n'


def test_docstring_stands_first_again():
    text = 'import paddle\n"""Says what this is."""\nimport os\npaddle.zeros(os.x)\n'
    assert ast.get_docstring(ast.parse(finish(text).text)) == "Says what this is."


def test_a_name_that_lost_its_import_is_found_in_the_original():
    original = "from torch.utils.data import DataLoader\ndef f(a: DataLoader | int): pass\n"
    text = "import paddle\ndef f(a: (DataLoader | int)): pass\n"
    assert "paddle.io.DataLoader" in rewritten(text, original=original)


def test_layers_start_as_torch_where_the_project_draws_none():
    text = "import paddle\npaddle.compat.nn.Linear(2, 3)\n"
    assert "paddle_helpers.Linear(2, 3)" in rewritten(text, draws_itself=False)
    assert "paddle_helpers" not in rewritten(text, draws_itself=True)


def test_a_rule_can_be_left_out():
    text = "from x2paddle import torch2paddle\ntorch2paddle.CosineAnnealingDecay(o, 5)\n"
    assert "torch2paddle.CosineAnnealingDecay" in finish(text, leave={"learning rate"}).text


def test_what_no_rule_knows_is_told_with_line_and_fix():
    text = "import paddle\n\n>>>>>>p = torch.export.export(m)\n"
    text += "parse('torch')\no = torch.optim.SGD(p, 0.1, 0.9, dampening=0.5)\n"
    left = found(text, BY_HAND)
    places = {(finding.line, finding.what.split()[0]) for finding in left}
    assert places >= {(3, "torch.export.export"), (4, "the"), (5, "SGD")}
    assert all(finding.fix for finding in left)


@pytest.mark.parametrize(
    "body", ["g['momentum'] = 0.5", "g['lr'] = g['initial_lr']", "g['lr'] = 1; x += 1", "f(g)"]
)
def test_what_else_is_done_to_groups_is_told(body):
    text = f"import paddle\nfor g in o.param_groups:\n    {body}\n"
    assert body.partition(";")[0] in finish(text).text
    assert [finding.what for finding in found(text, BY_HAND)] == ["param_groups"]


LINES = [("class A(paddle.optimizer.lr.StepDecay): pass", BY_HAND, "derived")]
LINES += [("paddle.hub.load_state_dict_from_url(url)", BY_HAND, "downloads")]
LINES += [("paddle.load('a.pdparams')", LOOK, "files"), ("x = = 1", BY_HAND, "syntax")]


@pytest.mark.parametrize(("line", "kind", "rule"), LINES)
def test_what_is_told_of(line, kind, rule):
    (finding,) = finish(f"import paddle\n{line}\n").findings
    assert (finding.kind, finding.rule, finding.line) == (kind, rule, 2)


def test_files_that_x2paddle_refuses_are_made_acceptable(tmp_path):
    path = tmp_path / "a.py"
    text = "import torch\nfrom torch.optim.lr_scheduler import StepLR\n\n\ndef f(x, o):\n"
    path.write_text(f"{text}    StepLR(o, 3)\n    return torch.flatten(x, 1)\n")
    names = {"torch.flatten", "torch.optim.lr_scheduler.StepLR"}
    assert len(running.make_acceptable(tmp_path, "a.py", names)) == 2
    text = path.read_text()
    assert "torch" not in text.replace("paddle.flatten", "")
    assert "paddle.flatten(x, 1)" in text and "paddle_helpers.StepLR(o, 3)" in text
    assert not running.make_acceptable(tmp_path, "a.py", names)


def test_endings_in_shell_scripts():
    line = "python a.py --w w/net.pth # of https://a.b/net.pth, my.pth.tar"
    expected = "python a.py --w w/net.pdparams # of https://a.b/net.pth, my.pth.tar"
    assert with_endings(line) == expected


def test_layout_and_comments_are_no_changed_lines():
    assert changed("f(a,\n  'b')  # why\nx = 1\n", '"""Z."""\nf(a, "b")\nx = 2\n') == 2


def test_source_counts_bytes():
    source = Source("a.py", "x = 'é'; y = a.b\n")
    source.replace(source.tree.body[1].value, "c")
    assert source.edited() == "x = 'é'; y = c\n"


def test_what_a_context_lacks_is_told():
    text = "import paddle\nclass F(paddle.autograd.PyLayer):\n    def backward(ctx, grad):\n"
    text += "        return grad if ctx.needs_input_grad[0] else None"
    (finding,) = found(text, BY_HAND)
    assert (finding.line, finding.what) == (4, ".needs_input_grad")
    other = finish(text.replace("paddle.autograd.PyLayer", "Base"))
    assert "gradients" not in {finding.rule for finding in other.findings}
