"""support/planting.py: an edit finds its code wherever it stands, and changes nothing else."""

import pytest

from tests.support.planting import Edit, find, plant

NETWORK = '''"""A network: x = f(x)."""


class Net(Layer):
    def __init__(self, width=64):
        self.layers = Sequential(  # shapes
            Conv(3, 64, kernel=3),  # [N, 64]
            ReLU(),
            Pool(3),
            ReLU(),
        )

    def forward(self, x):
        return self.layers(x)  # [N, 64]


@register
def small(width=8):
    return Net(width)
'''
LOOP = '''"""Größe."""


def train(model, optimizer):
    for images in batches:
        if images:
            loss = model(
                images,  # [N, 3]
                "quoted",
            )
            print(f"{loss}", "größer"); loss.backward()
            optimizer.step()  # the update
        total += loss * weight


def evaluate(model):
    model.eval()
    return model(images, "quoted")


def export(model):
    model.eval()
'''

CONV = "Conv(3, 64, kernel=3)"
ROW = "Pool(3),\n            ReLU()"
REMOVED = [
    (("optimizer.step()", ""), "            optimizer.step()  # the update\n", ""),
    (('"quoted"', "", "train"), '                "quoted",\n', ""),
    (('"quoted"', "", "evaluate"), ', "quoted")', ")"),
    (("images", "", "evaluate"), "model(images, ", "model( "),
]


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "net.py").write_text(NETWORK)
    (tmp_path / "loop.py").write_text(LOOP)
    (tmp_path / "port.py").write_text("optimizer.step()\n")  # an instrument
    return tmp_path


@pytest.fixture
def planted(tree):
    """Plant one edit; return the texts of both files."""

    def call(*edit, **options):
        plant(tree, [Edit(*edit, **options)])
        assert (tree / "port.py").read_text() == "optimizer.step()\n"
        return (tree / "models" / "net.py").read_text(), (tree / "loop.py").read_text()

    return call


@pytest.mark.parametrize(
    ("edit", "old", "new"),
    [
        (("optimizer.step()", "pass"), "optimizer.step()  #", "pass  #"),
        (("loss.backward()", "loss"), "loss.backward()", "loss"),  # after a letter of two bytes
        (("loss * weight", "(loss + 1)"), "loss * weight", "(loss + 1)"),
        (("model.eval()", "pass", "evaluate"), "model.eval()\n    return", "pass\n    return"),
        (("total += loss*weight # here", "x = 1"), "total += loss * weight", "x = 1"),
        (("'größer'", "'ß'"), '"größer"', "'ß'"),
    ],
)
def test_an_expression_or_a_statement_is_found_in_any_file(planted, edit, old, new):
    assert planted(*edit) == (NETWORK, LOOP.replace(old, new))


@pytest.mark.parametrize(
    ("edit", "old", "new"),
    [
        (("kernel=3", "kernel=5, stride=2"), "kernel=3", "kernel=5, stride=2"),
        ((CONV, f"{CONV}, Norm(64)"), CONV, f"{CONV}, Norm(64)"),
        (("Pool(3), ReLU()", "Pool(2),\nTanh()"), ROW, "Pool(2),\n            Tanh()"),
        (("3, 64", "1, 8"), "3, 64, ", "1, 8, "),
        (("Conv", "Other"), "Conv(", "Other("),  # what is called
        (("64", "32", "Net.__init__", True), "64", "32"),  # a default too
        (("Layer", "Other"), "(Layer)", "(Other)"),
    ],
)  # fmt: skip
def test_arguments_and_elements_are_found_in_a_row(planted, edit, old, new):
    code = NETWORK.replace(old, new)
    code = code.replace("[N, 32]", "[N, 64]")  # comments stay
    assert planted(*edit) == (code, LOOP)


def test_statements_in_a_row_and_lines_take_the_indentation_of_the_place(planted):
    new = "if images:\n    pass\n\nwith context:\n    step()"
    _, loop = planted('print(f"{loss}", "größer"); loss.backward()\noptimizer.step()', new)
    lines = [f"            {line}" if line else "" for line in new.split("\n")]
    old = '            print(f"{loss}", "größer"); loss.backward()\n            optimizer.step()'
    assert loop == LOOP.replace(old, "\n".join(lines))


@pytest.mark.parametrize(("edit", "old", "new"), REMOVED)
def test_what_is_taken_out_takes_its_line_and_its_comma_along(planted, edit, old, new):
    assert planted(*edit) == (NETWORK, LOOP.replace(old, new))


def test_code_is_put_before_a_definition(planted):
    new = "def eval(self):\n    return self"
    method = "    def eval(self):\n        return self\n\n    def forward("
    assert planted("", new, "Net.forward")[0] == NETWORK.replace("    def forward(", method)
    text = NETWORK.replace("    def forward(", method).replace("@register", f"{new}\n\n\n@register")
    assert planted("", new, "small")[0] == text


def test_every_place_is_changed_where_that_is_wanted(planted):
    changed = LOOP.replace("eval()", "train()")
    assert planted("model.eval()", "model.train()", every=True) == (NETWORK, changed)


def test_code_that_is_missing_or_stands_in_several_places_is_refused(tree):
    def refused(match, *edit):
        with pytest.raises(LookupError, match=match):
            plant(tree, [Edit(*edit)])
        assert (tree / "loop.py").read_text() == LOOP

    refused("has no 'optimizer.zero_grad", "optimizer.zero_grad()", "pass")
    refused("within evaluate", "optimizer.step()", "pass", "evaluate")
    refused(r"has no 'loss \+ weight'", "loss + weight", "pass")
    refused("stands at loop.py:17, loop.py:22: name", "model.eval()", "pass")
    refused("has no '' within nothing", "", "pass", "nothing")
    (tree / "models" / "other.py").write_text("class Net:\n    forward = 1\n\n\nReLU()\n")
    refused("models/net.py:8, models/net.py:10, models/other.py:5", "ReLU()", "Tanh()")


def test_code_that_would_be_read_otherwise_is_refused(tree):
    def refused(error, *edit):
        with pytest.raises(error):
            plant(tree, [Edit(*edit)])
        assert (tree / "loop.py").read_text() == LOOP

    (tree / "other.py").write_text("rate * 2\n")
    refused(ValueError, "rate", "rate + 1")  # (rate + 1) * 2 is meant
    refused(ValueError, "loss *", "loss")
    refused(SyntaxError, "weight", "")  # loss * nothing


def test_an_edit_sees_what_the_one_before_it_left(tree):
    edits = [Edit("optimizer.step()", ""), Edit("loss.backward()", "optimizer.step()\nloss()")]
    with pytest.raises(LookupError):
        plant(tree, [edits[0], edits[0]])
    (tree / "loop.py").write_text("loss.backward()\noptimizer.step()\n")
    plant(tree, edits)
    assert (tree / "loop.py").read_text() == "optimizer.step()\nloss()\n"


def test_places_are_told_by_file_and_line(tree):
    (place,) = find(tree, Edit("Pool(3)", ""))
    assert (place.path, place.line) == (tree / "models" / "net.py", 9)
    assert [place.line for place in find(tree, Edit("model.eval()", ""))] == [17, 22]
