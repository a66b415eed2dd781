"""portproof/runs/logs.py: each form of log is known by its content, and read in per cent."""

import json
import math

import pytest

from portproof.runs.logs import read_log
from portproof.system.errors import UserError
from tests.support import logs

TOP1, TOP5 = [10.5, 41.25, 56.5], [31.0, 65.75, 79.1]
FORMS = {
    "this project": logs.own, "timm": logs.timm, "PaddleClas": logs.paddleclas,
    "torchvision's reference": logs.torchvision, "AlexNet-Prod": logs.alexnet_prod,
}  # fmt: skip
AVERAGED = ("PaddleClas", "torchvision's reference")  # those that tell of a moving average
forms = pytest.mark.parametrize("form", FORMS)
NO_LOGS = [
    ("", "is empty"),
    ("epoch  loss\n1  2.3\n", "no log of a known form"),
    (b"\x80\x02PK\x00\x01" * 50, "no log of a known form"),
    ('{"epoch": 1, "val', "no epoch is finished"),
    ('{"epoch": 1, "val\n' + logs.own([1.0]), "line 1: not the metrics of an epoch"),
    ('{"epoch": 1, "val_top1": "good"}\n', "epoch 1 holds what is no number"),
    ('{"epoch": 1, "val_top1": true}\n', "epoch 1 holds what is no number"),
    (logs.own([101.0]), "val_top1 of epoch 1 is 101 per cent"),
    (logs.timm([1.0]).rstrip(), "its last line was cut off"),
    (logs.timm([1.0, 2.0]).replace("2.0", "two"), "line 3: not the numbers of an epoch"),
    (logs.timm([1.0]) + "1,2.5\n", "line 3: not the numbers of an epoch"),
    (logs.timm([1.0]) + "1,2,3,4,5,6,7\n", "line 3: not the numbers of an epoch"),
    ("epoch,train_loss\n", "no epoch is finished"),
    ("Epoch: [0] Total time: 0:10:11\n", "no epoch is finished"),
    (logs.paddleclas([250.0]), "is 250 per cent"),
]
WITH_NAN = [logs.timm(TOP1).replace("2.5,", "nan,")]
WITH_NAN += [logs.paddleclas(TOP1).replace("2.40000", "nan")]
WITH_NAN += [logs.own(TOP1).replace("2.0,", "NaN,")]


@pytest.fixture
def read(tmp_path):
    def write_and_read(text, name="a.log"):
        file = tmp_path / name
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        return read_log(file)

    return write_and_read


def curve(log, metric="val_top1", rows=None):
    return {epoch: row[metric] for epoch, row in (rows or log.epochs).items() if metric in row}


@forms
def test_each_form_is_known_by_its_content_and_counts_epochs_from_1(read, form):
    log = read(FORMS[form](TOP1, TOP5), "no-hint-in-the-name.txt")
    assert log.format == form
    assert curve(log) == dict(enumerate(TOP1, 1))
    assert curve(log, "val_top5") == dict(enumerate(TOP5, 1))
    assert log.average == {}


@pytest.mark.parametrize("form", ["timm", "PaddleClas"])
def test_losses_are_read_where_they_are_told_whole(read, form):
    log = read(FORMS[form](TOP1))
    starts = {"train_loss": 2.5, "val_loss": 2.25}
    for metric, start in starts.items():
        first = 0 if form == "timm" else 1
        expected = {epoch: start - (epoch - 1 + first) / 10 for epoch in (1, 2, 3)}
        assert curve(log, metric) == pytest.approx(expected)
    assert curve(read(logs.torchvision(TOP1)), "val_loss") == {}


OLD = logs.old_torchvision(TOP1, TOP5)
VARIANTS = {
    "torchvision, old": (OLD, "torchvision's reference"),
    "torchvision, wide": (OLD.replace(" * Acc", " *   Acc"), "torchvision's reference"),
    "Windows": (logs.torchvision(TOP1, TOP5).replace("\n", "\r\n"), "torchvision's reference"),
    "byte order mark": ("\ufeff" + logs.timm(TOP1, TOP5), "timm"),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_variants(read, name):
    text, form = VARIANTS[name]
    log = read(text)
    assert log.format == form and curve(log) == dict(enumerate(TOP1, 1))
    assert curve(log, "val_top5") == dict(enumerate(TOP5, 1))


def test_fractions_where_alexnet_prod_wrote_no_per_cent_sign(read):
    log = read(logs.alexnet_prod([0.1, 56.4], [0.5, 79.0], fraction=True))
    assert log.format == "AlexNet-Prod" and curve(log) == {1: 0.1, 2: 56.4}
    assert curve(log, "val_top5") == {1: 0.5, 2: 79.0}


@pytest.mark.parametrize(
    ("name", "form"),
    [("metrics.jsonl", "own"), ("summary.csv", "timm"), ("train.log", "paddleclas")],
)
def test_the_log_in_a_run_folder_is_found(tmp_path, name, form):
    (tmp_path / name).write_text(getattr(logs, form)(TOP1))
    log = read_log(tmp_path)
    assert log.file == tmp_path / name and curve(log) == dict(enumerate(TOP1, 1))


def test_the_arguments_beside_our_own_log_name_it_and_its_end(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(logs.own(TOP1))
    arguments = {"framework": "paddle", "epochs": 90}
    (tmp_path / "args.json").write_text(json.dumps({"arguments": arguments}))
    log = read_log(tmp_path)
    assert (log.framework, log.planned) == ("paddle", 90)
    odd = '{"arguments": {"framework": 1, "epochs": 1e999}}'
    for damaged in ('{"arguments": 3}', odd, "[" * 9999):
        (tmp_path / "args.json").write_text(damaged)
        assert read_log(tmp_path).planned is None


@pytest.mark.parametrize("form", AVERAGED)
def test_a_moving_average_is_kept_apart(read, form):
    log = read(FORMS[form](TOP1, TOP5, average=[1.0, 45.0, 57.5]))
    assert curve(log) == dict(enumerate(TOP1, 1))
    assert curve(log, rows=log.average) == {1: 1.0, 2: 45.0, 3: 57.5}
    assert log.planned == 3


@pytest.mark.parametrize("form", ["timm", "PaddleClas", "torchvision's reference"])
def test_a_run_that_was_resumed_counts_from_there(read, form):
    write, first = FORMS[form], int(form == "PaddleClas")
    text = write([10, 20, 30, 40]) + write([31.5, 41.5], start=first + 2)
    assert curve(read(text)) == {1: 10, 2: 20, 3: 31.5, 4: 41.5}
    # Begun anew in the same file: nothing of the longer run before it is left.
    assert curve(read(write([10, 20, 30, 40]) + write([11, 21]))) == {1: 11, 2: 21}


CLAS, MORE = logs.paddleclas([10, 20]), logs.paddleclas([21], start=2)
EVALUATIONS = [line for line in (CLAS + MORE).splitlines(keepends=True) if "[Eval]" in line]
EVALUATED = "[2021/08/13] root INFO: [Eval][Epoch 0][Avg]loss: 1.91000, top1: {}, top5: 0.79066\n"
TESTED = "Namespace(epochs=90, test_only=True)\nTest:  Acc@1 56.522 Acc@5 79.066\n"
# What an epoch is told of several times, and the curve: the last counts.
AGAIN = {
    "this project": (logs.own([10, 20, 30]) + logs.own([11, 22]).split("\n")[1], {1: 10, 2: 22}),
    # "best metric" tells a model from its moving average, in lines that were picked out by grep.
    "PaddleClas, evaluated twice": ("".join(EVALUATIONS), {1: 10, 2: 21}),
    # It was trained before.
    "PaddleClas, resumed": ((CLAS + MORE).rpartition("[Eval][Epoch 2][best")[0], {1: 10, 2: 21}),
    # A model that was only evaluated is epoch 0.
    "torchvision, evaluated": (TESTED, {0: 56.522}),
    "PaddleClas, evaluated": (EVALUATED.format(0.1) + EVALUATED.format(0.56522), {0: 56.522}),
}


@pytest.mark.parametrize("name", AGAIN)
def test_an_epoch_is_what_was_told_of_it_last(read, name):
    text, expected = AGAIN[name]
    log = read(text)
    assert curve(log) == expected and log.average == {}
    assert 0 not in expected or log.planned is None


def test_fractions_or_per_cent_is_never_guessed_from_a_value(read):
    low = [0.1, 0.2, 0.9]  # per cent, though they look like fractions
    for form, write in FORMS.items():
        assert curve(read(write(low))) == dict(enumerate(low, 1)), form
    with pytest.raises(UserError, match="no line of training, which would tell"):
        read(" * Acc@1 0.564 Acc@5 0.790\n")
    with pytest.raises(UserError, match="val_top1 of epoch 1 is 5650 per cent"):
        read(logs.alexnet_prod([56.5]).replace("%", ""))


@forms
def test_a_log_that_is_cut_off_anywhere_gives_right_numbers_or_an_error(read, form):
    options = {"average": [9.0, 40.0]} if form in AVERAGED else {}
    text = FORMS[form]([10.25, 56.522], [31.0, 79.066], **options)
    whole, answers = read(text), 0
    for length in range(len(text)):
        try:
            log = read(text[:length])
        except UserError:
            continue
        answers += 1
        for part, all_of_it in ((log.epochs, whole.epochs), (log.average, whole.average)):
            for epoch, row in part.items():
                assert row.items() <= all_of_it[epoch].items(), text[:length]
    assert answers > 1


@pytest.mark.parametrize(("text", "message"), NO_LOGS)
def test_what_is_no_log_is_one_clear_line(read, text, message):
    with pytest.raises(UserError, match=message):
        read(text)


def test_what_is_not_there_is_one_clear_line(tmp_path):
    with pytest.raises(UserError, match=r"holds none of metrics\.jsonl, summary\.csv"):
        read_log(tmp_path)
    for name in ("no", "n" * 300):
        with pytest.raises(UserError, match="there is no such file"):
            read_log(tmp_path / name)


@pytest.mark.parametrize("text", WITH_NAN)
def test_a_loss_that_is_no_number_is_read_as_it_is(read, text):
    log = read(text)
    assert math.isnan(curve(log, "train_loss")[1]) and curve(log)[1] == TOP1[0]
