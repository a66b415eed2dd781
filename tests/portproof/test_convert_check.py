"""What a project is told of before its conversion: each construct at its line, and nothing else."""

import pytest

from portproof.convert import precheck

HEAD = "import torch\nfrom torch.utils.data import DataLoader, Dataset\n"
FOUND = {
    "boards": "from torch.utils.tensorboard import SummaryWriter",
    "bitwise": "def f(a: torch.Tensor):\n    return (a > b) & (a < c)",
    "bitwise, not": "x = torch.isnan(y)\nz = ~x",
    "bitwise, of self": "class A(Dataset):\n    def __init__(self):\n"
    "        self.a = torch.ones(2)\n"
    "    def f(self, i):\n        a = self.a[i]\n        return (a > b) & c",
    "bitwise, of a batch": "def f(loader):\n    for i, (x, y) in enumerate(loader):\n"
    "        y &= (y == 3)",
    "bitwise, of a network": "def f(model, x: torch.Tensor):\n    y = model(x)\n    return ~y",
    "datasets, object": "class A(object):\n    def __len__(self): pass\n"
    "    def __getitem__(self, i): pass",
    "datasets": "class A:\n    def __len__(self): pass\n    def __getitem__(self, i): pass",
    "downloads": "torch.hub.load_state_dict_from_url(u)",
    "downloads, model": "import torchvision\ntorchvision.models.alexnet(pretrained=True)",
    "downloads, by place": "from torchvision.models import vgg16\nvgg16(True)",
    "downloads, timm": "import timm\ntimm.create_model('vit', pretrained=True)",
    "numbers": "x = torch.zeros(3)\nx[0] > 1",
    "numbers, of a loss": "def f(loader, net, loss):\n    for x, y in loader:\n"
    "        if loss(net(x), y) > 9: pass",
    "workers": "class A(Dataset):\n    def __getitem__(self, i):\n        return x.cuda()\n"
    "DataLoader(A(), num_workers=n)",
    "workers, in advance": "class A(Dataset):\n    def __init__(self):\n"
    "        self.x = torch.ones(3, device='cuda')\n    def __getitem__(self, i): pass\n"
    "DataLoader(A(), num_workers=2)",
    "samples, of a dict": "class A(Dataset):\n    def __getitem__(self, i):\n"
    "        return {'x': torch.tensor(i), 'y': 1}",
    "samples, by a transform": "from torchvision import transforms\nt = transforms.ToTensor()\n"
    "class A(Dataset):\n    def __getitem__(self, i):\n        x = self.transform(i)\n"
    "        return x, 1",
    "samples, by an annotation": "class A(Dataset):\n"
    "    def __getitem__(self, i) -> tuple[torch.Tensor, int]:\n        return load(i)",
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
    "a transform of arrays": "class A(Dataset):\n    def __getitem__(self, i):\n"
    "        return self.transform(i), 1\n",
    "loops": "def f(loaders, rows):\n    for loader in loaders:\n        loader & 1\n"
    "    for row in rows:\n        row > 1\n",
    "functions": "def count(x): pass\ndef f(x: torch.Tensor):\n"
    "    return count(x) > 1, len(x) > 1\n",
    "a model by its name": "import torchvision\n"
    "torchvision.models.get_model('alexnet', weights=None)\n",
    "a kind of number": "class A(Dataset):\n    def __getitem__(self, i):\n"
    "        y = x.to(torch.float32)\nDataLoader(A(), num_workers=2)\n",
    "no workers": "DataLoader(a, num_workers=2)\n",
}


def check(tmp_path, text):
    (tmp_path / "a.py").write_text(HEAD + text + "\n")
    return precheck.check(tmp_path)


@pytest.mark.parametrize("case", FOUND)
def test_found(tmp_path, case):
    findings = check(tmp_path, FOUND[case])
    assert case.split(",")[0] in {finding.rule for finding in findings}
    assert all(finding.line > 2 and finding.fix for finding in findings)


@pytest.mark.parametrize("case", RIGHT)
def test_what_is_right_is_not_told_of(tmp_path, case):
    assert check(tmp_path, RIGHT[case]) == []


def test_every_file_is_looked_at(tmp_path):
    for name in ("b.py", "c.py"):
        (tmp_path / name).write_text(HEAD + FOUND["bitwise, not"])
    assert [finding.file for finding in check(tmp_path, "x = ~2")] == ["b.py", "c.py"]


def test_weights_in_shell_scripts(tmp_path):
    (tmp_path / "run.sh").write_text("# see https://a.b/net.pth\npython a.py weights/net.ckpt\n")
    (finding,) = precheck.check(tmp_path)
    assert (finding.file, finding.line) == ("run.sh", 2)
