"""What a project is told of before its conversion: each construct at its line, and nothing else."""

import pytest

from tools.convert import checks

HEAD = "import torch\nfrom torch.utils.data import DataLoader, Dataset\n"
FOUND = {
    "boards": "from torch.utils.tensorboard import SummaryWriter",
    "bitwise": "def f(a: torch.Tensor):\n    return (a > b) & (a < c)",
    "bitwise, not": "x = torch.isnan(y)\nz = ~x",
    "bitwise, of self": "class A(Dataset):\n    def __init__(self):\n"
    "        self.a = torch.ones(2)\n"
    "    def f(self, i):\n        a = self.a[i]\n        return (a > b) & c",
    "datasets": "class A:\n    def __len__(self): pass\n    def __getitem__(self, i): pass",
    "downloads": "torch.hub.load_state_dict_from_url(u)",
    "downloads, model": "import torchvision\ntorchvision.models.alexnet(pretrained=True)",
    "numbers": "x = torch.zeros(3)\nx[0] > 1",
    "workers": "class A(Dataset):\n    def __getitem__(self, i):\n        return x.cuda()\n"
    "DataLoader(A(), num_workers=n)",
    "samples": "class A(Dataset):\n    def __getitem__(self, i):\n        x = torch.tensor(i)\n"
    "        return x, 1",
    "casts": "def f(a: torch.Tensor):\n    return a * (a == b)",
    "casts, bytes": "x = torch.zeros(3).byte()",
}
RIGHT = {
    "sets and numbers": "x = {1} | {2}\ny = 3 & 4\nz = ~5\n",
    "annotations": "def f(a: torch.Tensor | None): pass\n",
    "data set": "class A(Dataset):\n    def __len__(self): pass\n    def __getitem__(self, i):\n"
    "        return i, 1\n",
    "numbers": "x = torch.zeros(3)\nx.size(0) > 1\nx.item() == 2\nlen(x) > 1\n",
    "models": "import torchvision\ntorchvision.models.alexnet(weights=None)\n",
    "of another class": "class A(Dataset):\n    def __init__(self):\n"
    "        self.a = torch.ones(2)\n"
    "class B(Dataset):\n    def f(self):\n        return self.a & 1, self.a > 1\n",
    "no workers": "DataLoader(a, num_workers=2)\n",
}


def rules(tmp_path, text):
    (tmp_path / "a.py").write_text(HEAD + text + "\n")
    return checks.check(tmp_path)


@pytest.mark.parametrize("case", FOUND)
def test_found(tmp_path, case):
    found = rules(tmp_path, FOUND[case])
    assert case.split(",")[0] in {one.rule for one in found}
    assert all(one.line > 2 and one.fix for one in found)


@pytest.mark.parametrize("case", RIGHT)
def test_what_is_right_is_not_told_of(tmp_path, case):
    assert rules(tmp_path, RIGHT[case]) == []


def test_weights_in_shell_scripts(tmp_path):
    (tmp_path / "run.sh").write_text("# see https://a.b/net.pth\npython a.py weights/net.ckpt\n")
    assert [(one.file, one.line) for one in checks.check(tmp_path)] == [("run.sh", 2)]
