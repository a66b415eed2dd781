"""Logs in the forms that portproof/runs/logs.py reads, of accuracies in per cent; run folders."""

import json


def own(top1, top5=None):
    lines = []
    for epoch, (first, fifth) in enumerate(zip(top1, top5 or top1, strict=True), 1):
        row = {"epoch": epoch, "train_loss": 2 / epoch, "val_loss": 2.1 / epoch}
        lines.append(json.dumps(row | {"val_top1": first, "val_top5": fifth}) + "\n")
    return "".join(lines)


def timm(top1, top5=None, start=0):
    lines = ["epoch,train_loss,eval_loss,eval_top1,eval_top5,lr\r\n"]
    for epoch, (first, fifth) in enumerate(zip(top1, top5 or top1, strict=True), start):
        lines.append(f"{epoch},{2.5 - epoch / 10},{2.25 - epoch / 10},{first},{fifth},0.01\r\n")
    return "".join(lines)


def paddleclas(top1, top5=None, average=None, start=1, planned=None):
    planned = planned or start + len(top1) - 1
    lines = ["train with paddle 2.5.0 and device Place(gpu:0)"]
    for number, first in enumerate(top1):
        epoch, fifth = start + number, (top5 or top1)[number]
        lines += [
            f"[Train][Epoch {epoch}/{planned}][Iter: 0/10]lr(PiecewiseDecay): 0.01000000, top1: "
            "0.00000, top5: 0.00781, CELoss: 6.90000, loss: 6.90000, batch_cost: 0.90000s, "
            "reader_cost: 0.10000, ips: 140.00000 samples/s, eta: 0:01:00",
            f"[Train][Epoch {epoch}/{planned}][Avg]top1: 0.10000, top5: 0.20000, "
            f"CELoss: {2.5 - epoch / 10:.5f}, loss: {2.5 - epoch / 10:.5f}",
        ]
        lines += _paddleclas_evaluation(epoch, first, fifth)
        lines.append(f"[Eval][Epoch {epoch}][best metric: {first / 100}]")
        if average:
            lines += _paddleclas_evaluation(epoch, average[number], average[number])
            lines.append(f"[Eval][Epoch {epoch}][best metric ema: {average[number] / 100}]")
        lines.append("Already save model in ./output/AlexNet/latest")
    return "".join(f"[2021/08/13 20:10:34] root INFO: {line}\n" for line in lines)


def _paddleclas_evaluation(epoch, first, fifth):
    loss = f"CELoss: {2.25 - epoch / 10:.5f}, loss: {2.25 - epoch / 10:.5f}, "
    return [
        f"[Eval][Epoch {epoch}][Iter: 0/4]{loss}top1: 0.99000, top5: 0.99000, "
        "batch_cost: 0.90000s, reader_cost: 0.20000, ips: 6.75680 images/sec",
        f"[Eval][Epoch {epoch}][Avg]{loss}top1: {first / 100:.5f}, top5: {fifth / 100:.5f}",
    ]


def torchvision(top1, top5=None, average=None, start=0, planned=None):
    planned = planned or start + len(top1)
    arguments = f"Namespace(batch_size=32, epochs={planned}, lr_warmup_epochs=5, lr=0.1)"
    lines = ["Not using distributed mode", arguments, "Start training"]
    for number, first in enumerate(top1):
        epoch, fifth = start + number, (top5 or top1)[number]
        lines += [
            f"Epoch: [{epoch}]  [   0/1563]  eta: 1:00:00  lr: 0.01  img/s: 90.0  loss: 6.9 (6.9)  "
            "acc1: 99.0000 (99.0000)  acc5: 99.0000 (99.0000)  time: 0.3  data: 0.1  max mem: 2013",
            f"Epoch: [{epoch}] Total time: 0:10:11",
            "Test:   [   0/1563]  eta: 0:19:04  loss: 3.9 (3.9)  acc1: 99.0000 (99.0000)  "
            "acc5: 99.0000 (99.0000)  time: 0.7323  data: 0.7053  max mem: 2013",
            "Test:  Total time: 0:00:17",
            f"Test:  Acc@1 {first:.3f} Acc@5 {fifth:.3f}",
        ]
        if average:
            lines += ["Test: EMA Total time: 0:00:17"]
            lines += [f"Test: EMA Acc@1 {average[number]:.3f} Acc@5 {average[number]:.3f}"]
    return "\n".join([*lines, "Training time 3:06:33", ""])


def old_torchvision(top1, top5=None):
    """As torchvision printed before, and AlexNet-Prod's torch tree and pytorch/examples do."""
    lines = []
    for epoch, (first, fifth) in enumerate(zip(top1, top5 or top1, strict=True)):
        lines += [f"Epoch: [{epoch}] Total time: 0:10:11", "Test: Total time: 0:00:17"]
        lines += [f" * Acc@1 {first:.3f} Acc@5 {fifth:.3f}"]
    return "\n".join([*lines, ""])


def alexnet_prod(top1, top5=None, fraction=False):
    """As AlexNet-Prod's Paddle tree prints: in per cent, or, in its older logs, in fractions."""
    sign, scale = ("", 0.01) if fraction else ("%", 1)
    lines = []
    for epoch, (first, fifth) in enumerate(zip(top1, top5 or top1, strict=True)):
        lines += [
            f"[Epoch {epoch}, iter: 10] top1: {0.1:.5f}{sign}, top5: {0.3:.5f}{sign}, lr: 0.01000, "
            "loss: 5.34719, avg_reader_cost: 0.03644 sec, avg_batch_cost: 0.05536 sec, "
            "avg_samples: 64.0, avg_ips: 1156.08863 images/sec.",
            "Test:  [   0/1563]  eta: 1:14:20  loss: 1.0456 (1.0456)  acc1: 0.7812 (0.7812)",
            f" * Acc@1 {scale * first:.3f} Acc@5 {scale * fifth:.3f}",
        ]
    return "\n".join([*lines, ""])


def write_run(folder, framework, seed, top1, epochs=2, planned=2, fast=False, seconds=7):
    """Write the folder of a run that has ended after `epochs` of those `planned`."""
    folder.mkdir(parents=True)
    arguments = {"framework": framework, "recipe": "sample", "fast": fast, "seed": seed}
    described = {"arguments": arguments | {"epochs": planned}, "versions": {"python": "3.11"}}
    described["machine"] = {"processor": "P", "cores": 2}
    (folder / "args.json").write_text(json.dumps(described))
    measured = {"val_top1": top1, "val_top5": 99, "val_loss": 1, "seconds": seconds}
    measured |= {"lr": 0.01, "train_loss": 1, "train_top1": 70}
    rows = [{"epoch": epoch, "images_per_s": 5} | measured for epoch in range(1, epochs + 1)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
