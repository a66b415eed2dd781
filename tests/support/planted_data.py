"""Faults of the data, and correct ports, to be made of a tree by editing its code."""

from functools import lru_cache

from common.paths import ROOT
from tests.support.planting import Edit, find

IMPORTS = "import paddle\nfrom paddle.vision.transforms import functional as F"
READ = "image = read_rgb(self.index.paths[index])"
LABEL = "self.index.labels[index]"
TENSOR = "image = F.to_tensor(image)"
MEAN = "MEAN = (0.485, 0.456, 0.406)"
NORMALIZE = "return F.normalize(image, MEAN, STD)"
RESIZE = "image = F.resize(image, resize_size)"
CENTRE = "image = F.center_crop(image, image_size)"
CROP = "image = F.crop(image, crop.top, crop.left, crop.height, crop.width)"
TRAIN_RESIZE = "image = F.resize(image, (image_size, image_size))"
FLIP = "if flip:\n    image = F.hflip(image)"
DRAW_CROP = "draws.random_crop(args.seed, epoch, index, image.size)"
DRAW_FLIP = "draws.flip(args.seed, epoch, index)"
DRAWN = "args.seed, epoch, index"
SHUFFLE = "shuffle=True"
TRAIN_PRESET = "presets.train_preset(image, crop, flip, args.image_size)"
SAMPLE = "return image.numpy(), self.index.labels[index]"
# Of the evaluation.
PARTS = "PartBatches(length, max(args.batch_size // args.eval_crops, 1), process)"
INTERPOLATE = """x = F.to_tensor(image)[None]
scale = resize_size / min(image.size)
x = paddle.nn.functional.interpolate(x, size=[int(s * scale + 1e-9) for s in x.shape[2:]], mode="bilinear")
x = (x[0].transpose([1, 2, 0]) * 255).round().astype("uint8").numpy()
image = __import__("PIL.Image").Image.fromarray(x)"""


def edit(old, new, within=""):
    return [Edit(old, new, within)]


def everywhere(old, new):
    return [Edit(old, new, every=True)]


@lru_cache
def at(code: str, later: int = 0) -> str:
    """Return where Paddle's tree first holds `code`, such as folder.py:50."""
    place = find(ROOT / "AlexNet-paddle", Edit(code, ""))[0]
    return f"{place.path.name}:{place.line + later}"


def in_data(edits, words, where="sample 0"):
    """Return a fault of the evaluation's data: edits of the Paddle tree, words of cause or fix."""
    return "data", edits, where, words


def in_train_data(edits, words, where="epoch 0, sample"):
    return "train_data", edits, where, words


# name: (checkpoint, edits of the Paddle tree, words of where, words of the cause or the fix)
DATA_FAULTS = {
    "channels reversed as decoded": in_data(
        edit(READ, READ + "\nfrom PIL import Image\nimage = Image.merge('RGB', image.split()[::-1])"),
        ["BGR", "not RGB", "before normalization", "folder.py:"]),
    "channels reversed after normalization": in_data(
        edit(NORMALIZE, NORMALIZE + ".flip(0)"), ["BGR", "after normalization", at(NORMALIZE)]),
    "interpolation": in_data(everywhere(RESIZE, RESIZE[:-1] + ", 'bicubic')"),
        ["interpolation is bicubic", "bilinear", at(RESIZE)]),
    "interpolation without antialiasing": in_data(
        everywhere(RESIZE, INTERPOLATE), ["bilinear without antialiasing", "presets.py:"]),
    "aspect not kept": in_data(
        everywhere(RESIZE, "image = F.resize(image, (resize_size, resize_size))"),
        ["aspect ratio", "73 x 73", at(RESIZE)]),
    "another resize": in_data(everywhere(RESIZE, "image = F.resize(image, image_size)"),
        ["shorter side to 64, not 73", at(RESIZE)]),
    "not the centre": in_data(edit(CENTRE, "image = F.crop(image, 0, 0, image_size, image_size)"),
        ["centre crop begins at (0, 0)", at(CENTRE)]),
    "mirrored in evaluation": in_data(edit(CENTRE, CENTRE + "\nimage = F.hflip(image)"),
        ["mirrored left to right", at(CENTRE, later=1)]),
    "values 0 to 255": in_data(edit(TENSOR, "image = F.to_tensor(image) * 255"),
        ["normalized before scaling", "0 to 255", "presets.py:"]),
    "not normalized": in_data(edit(NORMALIZE, "return image"), ["0 to 1", "not normalized"]),
    "wrong mean": in_data(edit(MEAN, MEAN.replace("0.456", "0.465")),
        ["mean of channel G is 0.465", "0.456 in PyTorch", at(MEAN)]),
    "mean and std exchanged": in_data(edit(NORMALIZE, "return F.normalize(image, STD, MEAN)"),
        ["mean and std exchanged", at(NORMALIZE)]),
    "labels shifted": in_data(edit(LABEL, LABEL + " + 1"), ["shifted by +1", at(LABEL)]),
    "classes sorted otherwise": in_data(
        edit(LABEL, "sorted(self.index.classes, reverse=True).index(self.index.classes[self.index.labels[index]])"),
        ["sorts the classes in reverse", "bars is class 2", at(LABEL)]),
    "labels at random": in_data(edit(LABEL, "(self.index.labels[index] * 5 + index) % 3"),
        ["labels differ", at(LABEL)], "labe"),
    "evaluation shuffled": in_data(
        edit("batches = " + PARTS, "batches = " + PARTS + "\nbatches.part = draws.order(args.seed, 0, length).tolist()"),
        ["evaluation is shuffled", at(PARTS)]),
    "last batch left out": in_data(
        edit(PARTS, "PartBatches(length // args.batch_size * args.batch_size, args.batch_size, process)"),
        ["drop_last", "of 2 images", at(PARTS)], "last batch"),
    "another batch size": in_data(
        edit(PARTS, PARTS.replace("args.batch_size", "2 * args.batch_size")),
        ["batches are of 10", "of 5 in PyTorch", at(PARTS)], "batch 0"),
    "EXIF rotation": in_data(
        edit(READ, "from PIL import Image, ImageOps\nimage = ImageOps.exif_transpose(Image.open(self.index.paths[index])).convert('RGB')"),
        ["EXIF", at(READ, later=1)], "turned.jpg"),
    "another size": in_data(
        everywhere("args.resize_size, args.image_size", "args.resize_size, args.image_size + 1"),
        ["shape [3, 65, 65]", "[3, 64, 64]"]),
    "double numbers": in_data(edit("image.numpy()", "image.numpy().astype('float64')"),
        ["float64 in PaddlePaddle", "float32 in PyTorch", at(LABEL)]),
    "not a number": in_data(
        edit(NORMALIZE, NORMALIZE + " + float('nan')"), ["NaN", "PaddlePaddle"]),
    "flip missing": in_train_data(edit(FLIP, ""), ["flip is missing", "presets.py:"]),
    "flip always": in_train_data(
        edit(FLIP, FLIP.replace("if flip", "if True")), ["flips always", "presets.py:"]),
    "flip vertical": in_train_data(everywhere("F.hflip", "F.vflip"), ["vertical", at("F.hflip")]),
    "flip of another probability": in_train_data(
        edit(DRAW_FLIP, "draws.uniform(args.seed, draws.Purpose.FLIP, epoch, index, 1)[0] < 0.1"),
        ["another probability", "folder.py:"]),
    "flip not of the seed": in_train_data(edit(DRAW_FLIP, "bool(np.random.rand() < 0.5)"),
        ["flip is drawn anew at each reading", at(DRAW_FLIP)]),
    "crop area": in_train_data(edit(DRAW_CROP, DRAW_CROP[:-1] + ", area=(0.5, 1.0))"),
        ["area 0.5", "area=[0.5, 1.0]", at(DRAW_CROP)]),
    "crop aspect": in_train_data(edit(DRAW_CROP, DRAW_CROP[:-1] + ", aspect=(1.0, 1.0))"),
        ["aspect ratio 1.00 to", "aspect=[1.0, 1.0]", at(DRAW_CROP)]),
    "crop missing": in_train_data(edit(CROP, ""), ["crop is missing", "presets.py:"]),
    "crop turned": in_train_data(
        edit(CROP, "image = F.crop(image, crop.left, crop.top, crop.width, crop.height)"),
        ["rows and columns", at(CROP)]),
    "no augmentation": in_train_data(
        edit(TRAIN_PRESET, "presets.eval_preset(image, args.resize_size, args.image_size)"),
        ["evaluation's preset", "without augmentation", at(TRAIN_PRESET)]),
    "the epoch not passed on": in_train_data(everywhere(DRAWN, "args.seed, 0, index"),
        ["in every epoch", "epoch is not passed on", at(DRAW_CROP)], "epoch 1, sample"),
    "the same order in every epoch": in_train_data(
        edit("loader.batch_sampler.epoch, loader.batch_sampler.first = epoch, first", "loader.batch_sampler.epoch, loader.batch_sampler.first = 0, first"),
        ["every epoch in the same order", "folder.py:"], "epoch 1, sample"),
    "train not shuffled": in_train_data(
        edit(SHUFFLE, "shuffle=False"), ["not shuffled", at(SHUFFLE)]),
    "shuffled anew each time": in_data(
        edit(PARTS, "paddle.io.BatchSampler(FolderDataset(index, args, train), shuffle=True, batch_size=args.batch_size)") + edit("epoch, index = key", "epoch, index = key if train_key(key) else (0, int(key))") + edit("", "def train_key(key):\n    return isinstance(key, tuple)", "collate"),
        ["evaluation is shuffled", "another way at each reading", "folder.py:"], "sample "),
    "divided by 256": in_data(
        edit(TENSOR, "image = F.to_tensor(image) * 255 / 256"), ["by 256, not by 255", at(TENSOR)]),
    "one number in one image": in_data(
        edit(SAMPLE, "x = image.numpy()\nx[0, 5, 7] += 9e-4 * (index == 9)\n" "return x, self.index.labels[index]"),
        ["1 of 12288 numbers", "row 5, column 7"], "sample 9"),
    "colours changed": in_train_data(
        edit(TRAIN_RESIZE, TRAIN_RESIZE + "\nimage = F.adjust_brightness(image, 1.2)"),
        ["changes the colours", at(TRAIN_RESIZE, later=1)], "epoch 0, sample 0"),
    "Paddle's own random crop": in_train_data(
        edit(CROP, "image = paddle.vision.transforms.RandomResizedCrop(image_size)(image)"),
        ["another stream", at(CROP)], "epoch 0, sample 0"),
    "flip missing and a wrong mean": in_train_data(
        edit(FLIP, "") + edit(MEAN, MEAN.replace("0.456", "0.465")), ["flip is missing"]),
}  # fmt: skip

# name: edits of the Paddle tree
SPELLINGS = {
    "NumPy": [
        Edit(TENSOR, "x = np.asarray(image, dtype='float32').transpose(2, 0, 1) / 255"),
        Edit(NORMALIZE, "return paddle.to_tensor((x - np.float32(MEAN).reshape(3, 1, 1)) / np.float32(STD).reshape(3, 1, 1))"),
        Edit(IMPORTS, f"import numpy as np\n{IMPORTS}"),
    ],
    "constants for bytes": [
        Edit(TENSOR, "x = np.asarray(image, dtype='float32').transpose(2, 0, 1)"),
        Edit(NORMALIZE, "return paddle.to_tensor((x - 255 * np.float32(MEAN).reshape(3, 1, 1)) / (255 * np.float32(STD).reshape(3, 1, 1)))"),
        Edit(IMPORTS, f"import numpy as np\n{IMPORTS}"),
    ],
    "transforms as objects, Pillow's own methods": [
        Edit(NORMALIZE, "return T.Normalize(MEAN, STD)(image)"),
        Edit(TENSOR, "image = T.ToTensor()(image)"),
        Edit(CENTRE, "image = T.CenterCrop(image_size)(image)"),
        Edit(CROP, "image = image.crop((crop.left, crop.top, crop.left + crop.width, crop.top + crop.height))"),
        Edit(TRAIN_RESIZE, "image = image.resize((image_size, image_size), 2)"),
        Edit(IMPORTS, IMPORTS.replace("\n", "\nfrom paddle.vision import transforms as T\n")),
    ],
}  # fmt: skip
