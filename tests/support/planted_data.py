"""Faults of the data, and correct ports, to be made of a tree by editing its code; a line for each."""

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
PARTS = (
    "PartBatches(length, max(args.batch_size // args.eval_crops, 1), process)"  # of the evaluation
)
INTERPOLATE = """x = F.to_tensor(image)[None]
scale = resize_size / min(image.size)
x = paddle.nn.functional.interpolate(x, size=[int(s * scale + 1e-9) for s in x.shape[2:]], mode="bilinear")
x = (x[0].transpose([1, 2, 0]) * 255).round().astype("uint8").numpy()
image = __import__("PIL.Image").Image.fromarray(x)"""


def edits(*given):
    """Return edits: of each the code, what takes its place, and what else an `Edit` has."""
    return [Edit(*edit) for edit in given]


def everywhere(old, new):
    return [Edit(old, new, every=True)]


@lru_cache
def at(code: str, later: int = 0) -> str:
    """Return where Paddle's tree first holds `code`, such as folder.py:50."""
    place = find(ROOT / "AlexNet-paddle", Edit(code, ""))[0]
    return f"{place.path.name}:{place.line + later}"


# name: (checkpoint, edits of the Paddle tree, words of where, words of the cause or the fix)
DATA_FAULTS = {
    "channels reversed as decoded": (
        "data",
        edits(
            (
                READ,
                READ + "\nfrom PIL import Image\nimage = Image.merge('RGB', image.split()[::-1])",
            )
        ),
        "sample 0",
        ["BGR", "not RGB", "before normalization", "folder.py:"],
    ),
    "channels reversed after normalization": (
        "data",
        edits((NORMALIZE, NORMALIZE + ".flip(0)")),
        "sample 0",
        ["BGR", "after normalization", at(NORMALIZE)],
    ),
    "interpolation": (
        "data",
        everywhere(RESIZE, RESIZE[:-1] + ", 'bicubic')"),
        "sample 0",
        ["interpolation is bicubic", "bilinear", at(RESIZE)],
    ),
    "interpolation without antialiasing": (
        "data",
        everywhere(RESIZE, INTERPOLATE),
        "sample 0",
        ["bilinear without antialiasing", "presets.py:"],
    ),
    "aspect not kept": (
        "data",
        everywhere(RESIZE, "image = F.resize(image, (resize_size, resize_size))"),
        "sample 0",
        ["aspect ratio", "73 x 73", at(RESIZE)],
    ),
    "another resize": (
        "data",
        everywhere(RESIZE, "image = F.resize(image, image_size)"),
        "sample 0",
        ["shorter side to 64, not 73", at(RESIZE)],
    ),
    "not the centre": (
        "data",
        edits((CENTRE, "image = F.crop(image, 0, 0, image_size, image_size)")),
        "sample 0",
        ["centre crop begins at (0, 0)", at(CENTRE)],
    ),
    "mirrored in evaluation": (
        "data",
        edits((CENTRE, CENTRE + "\nimage = F.hflip(image)")),
        "sample 0",
        ["mirrored left to right", at(CENTRE, later=1)],
    ),
    "values 0 to 255": (
        "data",
        edits((TENSOR, "image = F.to_tensor(image) * 255")),
        "sample 0",
        ["normalized before scaling", "0 to 255", "presets.py:"],
    ),
    "not normalized": (
        "data",
        edits((NORMALIZE, "return image")),
        "sample 0",
        ["0 to 1", "not normalized"],
    ),
    "wrong mean": (
        "data",
        edits((MEAN, MEAN.replace("0.456", "0.465"))),
        "sample 0",
        ["mean of channel G is 0.465", "0.456 in PyTorch", at(MEAN)],
    ),
    "mean and std exchanged": (
        "data",
        edits((NORMALIZE, "return F.normalize(image, STD, MEAN)")),
        "sample 0",
        ["mean and std exchanged", at(NORMALIZE)],
    ),
    "labels shifted": (
        "data",
        edits((LABEL, LABEL + " + 1")),
        "sample 0",
        ["shifted by +1", at(LABEL)],
    ),
    "classes sorted otherwise": (
        "data",
        edits(
            (
                LABEL,
                "sorted(self.index.classes, reverse=True).index(self.index.classes[self.index.labels[index]])",
            )
        ),
        "sample 0",
        ["sorts the classes in reverse", "bars is class 2", at(LABEL)],
    ),
    "labels at random": (
        "data",
        edits((LABEL, "(self.index.labels[index] * 5 + index) % 3")),
        "labe",
        ["labels differ", at(LABEL)],
    ),
    "evaluation shuffled": (
        "data",
        edits(
            (
                "batches = " + PARTS,
                "batches = "
                + PARTS
                + "\nbatches.part = draws.order(args.seed, 0, length).tolist()",
            )
        ),
        "sample 0",
        ["evaluation is shuffled", at(PARTS)],
    ),
    "last batch left out": (
        "data",
        edits(
            (
                PARTS,
                "PartBatches(length // args.batch_size * args.batch_size, args.batch_size, process)",
            )
        ),
        "last batch",
        ["drop_last", "of 2 images", at(PARTS)],
    ),
    "another batch size": (
        "data",
        edits((PARTS, PARTS.replace("args.batch_size", "2 * args.batch_size"))),
        "batch 0",
        ["batches are of 10", "of 5 in PyTorch", at(PARTS)],
    ),
    "EXIF rotation": (
        "data",
        edits(
            (
                READ,
                "from PIL import Image, ImageOps\nimage = ImageOps.exif_transpose(Image.open(self.index.paths[index])).convert('RGB')",
            )
        ),
        "turned.jpg",
        ["EXIF", at(READ, later=1)],
    ),
    "another size": (
        "data",
        everywhere("args.resize_size, args.image_size", "args.resize_size, args.image_size + 1"),
        "sample 0",
        ["shape [3, 65, 65]", "[3, 64, 64]"],
    ),
    "double numbers": (
        "data",
        edits(("image.numpy()", "image.numpy().astype('float64')")),
        "sample 0",
        ["float64 in PaddlePaddle", "float32 in PyTorch", at(LABEL)],
    ),
    "not a number": (
        "data",
        edits((NORMALIZE, NORMALIZE + " + float('nan')")),
        "sample 0",
        ["NaN", "PaddlePaddle"],
    ),
    "flip missing": (
        "train_data",
        edits((FLIP, "")),
        "epoch 0, sample",
        ["flip is missing", "presets.py:"],
    ),
    "flip always": (
        "train_data",
        edits((FLIP, FLIP.replace("if flip", "if True"))),
        "epoch 0, sample",
        ["flips always", "presets.py:"],
    ),
    "flip vertical": (
        "train_data",
        everywhere("F.hflip", "F.vflip"),
        "epoch 0, sample",
        ["vertical", at("F.hflip")],
    ),
    "flip of another probability": (
        "train_data",
        edits(
            (DRAW_FLIP, "draws.uniform(args.seed, draws.Purpose.FLIP, epoch, index, 1)[0] < 0.1")
        ),
        "epoch 0, sample",
        ["another probability", "folder.py:"],
    ),
    "flip not of the seed": (
        "train_data",
        edits((DRAW_FLIP, "bool(np.random.rand() < 0.5)")),
        "epoch 0, sample",
        ["flip is drawn anew at each reading", at(DRAW_FLIP)],
    ),
    "crop area": (
        "train_data",
        edits((DRAW_CROP, DRAW_CROP[:-1] + ", area=(0.5, 1.0))")),
        "epoch 0, sample",
        ["area 0.5", "area=[0.5, 1.0]", at(DRAW_CROP)],
    ),
    "crop aspect": (
        "train_data",
        edits((DRAW_CROP, DRAW_CROP[:-1] + ", aspect=(1.0, 1.0))")),
        "epoch 0, sample",
        ["aspect ratio 1.00 to", "aspect=[1.0, 1.0]", at(DRAW_CROP)],
    ),
    "crop missing": (
        "train_data",
        edits((CROP, "")),
        "epoch 0, sample",
        ["crop is missing", "presets.py:"],
    ),
    "crop turned": (
        "train_data",
        edits((CROP, "image = F.crop(image, crop.left, crop.top, crop.width, crop.height)")),
        "epoch 0, sample",
        ["rows and columns", at(CROP)],
    ),
    "no augmentation": (
        "train_data",
        edits(
            (
                TRAIN_PRESET,
                "presets.eval_preset(image, args.resize_size, args.image_size)",
            )
        ),
        "epoch 0, sample",
        ["evaluation's preset", "without augmentation", at(TRAIN_PRESET)],
    ),
    "the epoch not passed on": (
        "train_data",
        everywhere(DRAWN, "args.seed, 0, index"),
        "epoch 1, sample",
        ["in every epoch", "epoch is not passed on", at(DRAW_CROP)],
    ),
    "the same order in every epoch": (
        "train_data",
        edits(
            (
                "loader.batch_sampler.epoch, loader.batch_sampler.first = epoch, first",
                "loader.batch_sampler.epoch, loader.batch_sampler.first = 0, first",
            )
        ),
        "epoch 1, sample",
        ["every epoch in the same order", "folder.py:"],
    ),
    "train not shuffled": (
        "train_data",
        edits((SHUFFLE, "shuffle=False")),
        "epoch 0, sample",
        ["not shuffled", at(SHUFFLE)],
    ),
    "shuffled anew each time": (
        "data",
        edits(
            (
                PARTS,
                "paddle.io.BatchSampler(FolderDataset(index, args, train), shuffle=True, batch_size=args.batch_size)",
            ),
            ("epoch, index = key", "epoch, index = key if train_key(key) else (0, int(key))"),
            ("", "def train_key(key):\n    return isinstance(key, tuple)", "collate"),
        ),
        "sample ",
        ["evaluation is shuffled", "another way at each reading", "folder.py:"],
    ),
    "divided by 256": (
        "data",
        edits((TENSOR, "image = F.to_tensor(image) * 255 / 256")),
        "sample 0",
        ["by 256, not by 255", at(TENSOR)],
    ),
    "one number in one image": (
        "data",
        edits(
            (
                SAMPLE,
                "x = image.numpy()\nx[0, 5, 7] += 9e-4 * (index == 9)\n"
                "return x, self.index.labels[index]",
            )
        ),
        "sample 9",
        ["1 of 12288 numbers", "row 5, column 7"],
    ),
    "colours changed": (
        "train_data",
        edits((TRAIN_RESIZE, TRAIN_RESIZE + "\nimage = F.adjust_brightness(image, 1.2)")),
        "epoch 0, sample 0",
        ["changes the colours", at(TRAIN_RESIZE, later=1)],
    ),
    "Paddle's own random crop": (
        "train_data",
        edits((CROP, "image = paddle.vision.transforms.RandomResizedCrop(image_size)(image)")),
        "epoch 0, sample 0",
        ["another stream", at(CROP)],
    ),
    "flip missing and a wrong mean": (
        "train_data",
        edits((FLIP, ""), (MEAN, MEAN.replace("0.456", "0.465"))),
        "epoch 0, sample",
        ["flip is missing"],
    ),
}

# name: edits of the Paddle tree
SPELLINGS = {
    "NumPy": edits(
        (TENSOR, "x = np.asarray(image, dtype='float32').transpose(2, 0, 1) / 255"),
        (
            NORMALIZE,
            "return paddle.to_tensor((x - np.float32(MEAN).reshape(3, 1, 1)) / np.float32(STD).reshape(3, 1, 1))",
        ),
        (IMPORTS, f"import numpy as np\n{IMPORTS}"),
    ),
    "constants for bytes": edits(
        (TENSOR, "x = np.asarray(image, dtype='float32').transpose(2, 0, 1)"),
        (
            NORMALIZE,
            "return paddle.to_tensor((x - 255 * np.float32(MEAN).reshape(3, 1, 1)) / (255 * np.float32(STD).reshape(3, 1, 1)))",
        ),
        (IMPORTS, f"import numpy as np\n{IMPORTS}"),
    ),
    "transforms as objects, Pillow's own methods": edits(
        (NORMALIZE, "return T.Normalize(MEAN, STD)(image)"),
        (TENSOR, "image = T.ToTensor()(image)"),
        (CENTRE, "image = T.CenterCrop(image_size)(image)"),
        (
            CROP,
            "image = image.crop((crop.left, crop.top, crop.left + crop.width, crop.top + crop.height))",
        ),
        (TRAIN_RESIZE, "image = image.resize((image_size, image_size), 2)"),
        (IMPORTS, IMPORTS.replace("\n", "\nfrom paddle.vision import transforms as T\n")),
    ),
}
