"""The torch tree's Linear layers by oneDNN: the same numbers, to rounding, where it is meant."""

import json

import pytest

PROGRAM = """
import json
import torch
from torch import nn
import products

if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
    print("null")
    raise SystemExit
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(30, 7), nn.ReLU(), nn.Linear(7, 5, bias=False))
keys = list(model.state_dict())
used = []
multiply = products.multiply
products.multiply = lambda *given: used.append(len(given)) or multiply(*given)


def run(autocast=False, dtype=torch.float32, shape=(4, 30)):
    x = torch.linspace(-1, 1, 120).reshape(shape).to(dtype).requires_grad_()
    model.to(dtype)
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        y = model(x)
    y.float().square().sum().backward()
    return [y.detach(), x.grad, *(weight.grad.clone() for weight in model.parameters())]


before = run()
products.is_quicker = lambda: QUICKER
products.use_onednn(model)
used.clear()
after = run()
facts = {
    "products": len(used),
    "kept keys": keys == list(model.state_dict()),
    "layouts": all(one.is_contiguous() for one in after),
    "largest difference": max(
        ((a - b).abs().max() / b.abs().max()).item() for a, b in zip(after, before)
    ),
}
for name, options in {
    "autocast": {"autocast": True},
    "float64": {"dtype": torch.float64},
    "more axes": {"shape": (2, 2, 30)},
}.items():
    used.clear()
    run(**options)
    facts[name] = len(used)
model.float()
used.clear()
with torch.no_grad():
    model(torch.zeros(1, 30))
facts["without gradients"] = len(used)
print(json.dumps(facts))
"""


def facts_of(run_in_tree, quicker):
    done = run_in_tree("torch", PROGRAM.replace("QUICKER", str(quicker)))
    facts = json.loads(done.stdout)
    if facts is None:
        pytest.skip("this torch has no oneDNN")
    return facts


def test_products_by_onednn_are_those_of_linear(run_in_tree):
    facts = facts_of(run_in_tree, True)
    # Two layers: a product forward, two backward.
    assert facts["products"] == 6
    assert facts["largest difference"] < 2e-6  # in another order of summation
    assert facts["kept keys"] and facts["layouts"]
    assert facts["without gradients"] == 2
    assert facts["autocast"] == facts["float64"] == facts["more axes"] == 0


def test_where_it_is_not_quicker_nothing_changes(run_in_tree):
    facts = facts_of(run_in_tree, False)
    assert facts["products"] == facts["largest difference"] == 0
