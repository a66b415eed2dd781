"""Faults of the data, and correct ports, to be made of a tree by editing its text; a line for each."""

from common.paths import ROOT

FOLDER, PRESETS = "datasets/folder.py", "presets.py"
READ = "picture = read_rgb(self.index.paths[index])"
LABEL = "self.index.labels[index]"
TENSOR = "image = F.to_tensor(picture)  # [3, H, W], 0 to 1"
NORMALIZE = "return F.normalize(image, MEAN, STD)"
RESIZE = "picture = F.resize(picture, resize_size)"
CENTRE = "picture = F.center_crop(picture, image_size)"
CROP = "picture = F.crop(picture, crop.top, crop.left, crop.height, crop.width)"
TRAIN_RESIZE = "picture = F.resize(picture, (image_size, image_size))"
FLIP = "    if flip:\n        picture = F.hflip(picture)\n"
DRAW_CROP = "draws.random_crop(args.seed, epoch, index, picture.width, picture.height)"
DRAW_FLIP = "draws.flip(args.seed, epoch, index)"
PARTS = (
    "PartBatches(length, max(args.batch_size // args.eval_crops, 1), **place)"  # of the evaluation
)
INTERPOLATE = """x = F.to_tensor(picture)[None]
    scale = resize_size / min(picture.size)
    x = paddle.nn.functional.interpolate(x, size=[int(s * scale + 1e-9) for s in x.shape[2:]], mode="bilinear")
    x = (x[0].transpose([1, 2, 0]) * 255).round().astype("uint8").numpy()
    picture = __import__("PIL.Image").Image.fromarray(x)"""


def presets(*edits):
    return [(PRESETS, old, new) for old, new in edits]


def folder(*edits):
    return [(FOLDER, old, new) for old, new in edits]


def at(file: str, text: str, later: int = 0) -> str:
    """Return the place, such as folder.py:50, of the first line of Paddle's tree that holds `text`."""
    lines = (ROOT / "AlexNet-paddle" / file).read_text().splitlines()
    number = next(number for number, line in enumerate(lines, 1) if text in line)
    return f"{file.rpartition('/')[2]}:{number + later}"


# name: (checkpoint, edits of the Paddle tree, words of where, words of the cause or the fix)
DATA_FAULTS = {
    "channels reversed as decoded": (
        "data",
        folder(
            (
                READ,
                READ
                + "\n        from PIL import Image\n        picture = Image.merge('RGB', picture.split()[::-1])",
            )
        ),
        "sample 0",
        ["BGR", "not RGB", "before normalization", "folder.py:"],
    ),
    "channels reversed after normalization": (
        "data",
        presets((NORMALIZE, NORMALIZE + ".flip(0)")),
        "sample 0",
        ["BGR", "after normalization", at(PRESETS, NORMALIZE)],
    ),
    "interpolation": (
        "data",
        presets((RESIZE, RESIZE[:-1] + ", 'bicubic')")),
        "sample 0",
        ["interpolation is bicubic", "bilinear", at(PRESETS, RESIZE)],
    ),
    "interpolation without antialiasing": (
        "data",
        presets((RESIZE, INTERPOLATE)),
        "sample 0",
        ["bilinear without antialiasing", "presets.py:"],
    ),
    "aspect not kept": (
        "data",
        presets((RESIZE, "picture = F.resize(picture, (resize_size, resize_size))")),
        "sample 0",
        ["aspect ratio", "73 x 73", at(PRESETS, RESIZE)],
    ),
    "another resize": (
        "data",
        presets((RESIZE, "picture = F.resize(picture, image_size)")),
        "sample 0",
        ["shorter side to 64, not 73", at(PRESETS, RESIZE)],
    ),
    "not the centre": (
        "data",
        presets((CENTRE, "picture = F.crop(picture, 0, 0, image_size, image_size)")),
        "sample 0",
        ["centre crop begins at (0, 0)", at(PRESETS, CENTRE)],
    ),
    "mirrored in evaluation": (
        "data",
        presets((CENTRE, CENTRE + "\n    picture = F.hflip(picture)")),
        "sample 0",
        ["mirrored left to right", at(PRESETS, CENTRE, later=1)],
    ),
    "values 0 to 255": (
        "data",
        presets((TENSOR, "image = F.to_tensor(picture) * 255")),
        "sample 0",
        ["normalized before scaling", "0 to 255", "presets.py:"],
    ),
    "not normalized": (
        "data",
        presets((NORMALIZE, "return image")),
        "sample 0",
        ["0 to 1", "not normalized"],
    ),
    "wrong mean": (
        "data",
        presets(("0.485, 0.456", "0.485, 0.465")),
        "sample 0",
        ["mean of channel G is 0.465", "0.456 in PyTorch", at(PRESETS, "MEAN =")],
    ),
    "mean and std exchanged": (
        "data",
        presets((NORMALIZE, "return F.normalize(image, STD, MEAN)")),
        "sample 0",
        ["mean and std exchanged", at(PRESETS, NORMALIZE)],
    ),
    "labels shifted": (
        "data",
        folder((LABEL, LABEL + " + 1")),
        "sample 0",
        ["shifted by +1", at(FOLDER, LABEL)],
    ),
    "classes sorted otherwise": (
        "data",
        folder(
            (
                LABEL,
                "sorted(self.index.classes, reverse=True).index(self.index.classes[self.index.labels[index]])",
            )
        ),
        "sample 0",
        ["sorts the classes in reverse", "bars is class 2", at(FOLDER, LABEL)],
    ),
    "labels at random": (
        "data",
        folder((LABEL, "(self.index.labels[index] * 5 + index) % 3")),
        "labe",
        ["labels differ", at(FOLDER, LABEL)],
    ),
    "evaluation shuffled": (
        "data",
        folder(
            (
                PARTS,
                PARTS + "\n        batches.own = draws.order(args.seed, 0, length).tolist()",
            )
        ),
        "sample 0",
        ["evaluation is shuffled", at(FOLDER, PARTS)],
    ),
    "last batch left out": (
        "data",
        folder(
            (
                PARTS,
                "PartBatches(length // args.batch_size * args.batch_size, args.batch_size, **place)",
            )
        ),
        "last batch",
        ["drop_last", "of 2 pictures", at(FOLDER, PARTS)],
    ),
    "another batch size": (
        "data",
        folder((PARTS, PARTS.replace("args.batch_size", "2 * args.batch_size"))),
        "batch 0",
        ["batches are of 10", "of 5 in PyTorch", at(FOLDER, PARTS)],
    ),
    "EXIF rotation": (
        "data",
        folder(
            (
                READ,
                "from PIL import Image, ImageOps\n        picture = ImageOps.exif_transpose(Image.open(self.index.paths[index])).convert('RGB')",
            )
        ),
        "turned.jpg",
        ["EXIF", at(FOLDER, READ, later=1)],
    ),
    "another size": (
        "data",
        folder(("args.resize_size, args.image_size", "args.resize_size, args.image_size + 1")),
        "sample 0",
        ["shape [3, 65, 65]", "[3, 64, 64]"],
    ),
    "double numbers": (
        "data",
        folder(("image.numpy(),", "image.numpy().astype('float64'),")),
        "sample 0",
        ["float64 in PaddlePaddle", "float32 in PyTorch", at(FOLDER, LABEL)],
    ),
    "not a number": (
        "data",
        presets((NORMALIZE, NORMALIZE + " + float('nan')")),
        "sample 0",
        ["NaN", "PaddlePaddle"],
    ),
    "flip missing": (
        "train_data",
        presets((FLIP, "")),
        "epoch 0, sample",
        ["flip is missing", "presets.py:"],
    ),
    "flip always": (
        "train_data",
        presets(("    if flip:\n", "    if True:\n")),
        "epoch 0, sample",
        ["flips always", "presets.py:"],
    ),
    "flip vertical": (
        "train_data",
        presets(("F.hflip", "F.vflip")),
        "epoch 0, sample",
        ["vertical", at(PRESETS, "F.hflip")],
    ),
    "flip of another probability": (
        "train_data",
        folder(
            (DRAW_FLIP, "draws.uniform(args.seed, draws.Purpose.FLIP, epoch, index, 1)[0] < 0.1")
        ),
        "epoch 0, sample",
        ["another probability", "folder.py:"],
    ),
    "flip not of the seed": (
        "train_data",
        folder((DRAW_FLIP, "bool(np.random.rand() < 0.5)")),
        "epoch 0, sample",
        ["flip is drawn anew at each reading", at(FOLDER, "flip = ")],
    ),
    "crop area": (
        "train_data",
        folder((DRAW_CROP, DRAW_CROP[:-1] + ", area=(0.5, 1.0))")),
        "epoch 0, sample",
        ["area 0.5", "area=[0.5, 1.0]", at(FOLDER, "crop = draws.random_crop")],
    ),
    "crop aspect": (
        "train_data",
        folder((DRAW_CROP, DRAW_CROP[:-1] + ", aspect=(1.0, 1.0))")),
        "epoch 0, sample",
        ["aspect ratio 1.00 to", "aspect=[1.0, 1.0]", at(FOLDER, "crop = draws.random_crop")],
    ),
    "crop missing": (
        "train_data",
        presets((CROP + "\n", "\n")),
        "epoch 0, sample",
        ["crop is missing", "presets.py:"],
    ),
    "crop turned": (
        "train_data",
        presets((CROP, "picture = F.crop(picture, crop.left, crop.top, crop.width, crop.height)")),
        "epoch 0, sample",
        ["rows and columns", at(PRESETS, CROP)],
    ),
    "no augmentation": (
        "train_data",
        folder(
            (
                "presets.train_preset(picture, crop, flip, args.image_size)",
                "presets.eval_preset(picture, args.resize_size, args.image_size)",
            )
        ),
        "epoch 0, sample",
        ["evaluation's preset", "without augmentation", at(FOLDER, "image = presets.train_preset")],
    ),
    "the epoch not passed on": (
        "train_data",
        folder(("(args.seed, epoch, index", "(args.seed, 0, index")),
        "epoch 1, sample",
        ["in every epoch", "epoch is not passed on", at(FOLDER, "crop = draws.random_crop")],
    ),
    "the same order in every epoch": (
        "train_data",
        folder(
            ("loader.batch_sampler.first = epoch, first", "loader.batch_sampler.first = 0, first")
        ),
        "epoch 1, sample",
        ["every epoch in the same order", "folder.py:"],
    ),
    "train not shuffled": (
        "train_data",
        folder(("shuffle=True", "shuffle=False")),
        "epoch 0, sample",
        ["not shuffled", at(FOLDER, "shuffle=True")],
    ),
    "shuffled anew each time": (
        "data",
        folder(
            (
                PARTS,
                "paddle.io.BatchSampler(FolderDataset(index, args, train), shuffle=True, batch_size=args.batch_size)",
            ),
            ("epoch, index = key", "epoch, index = key if train_key(key) else (0, int(key))"),
            (
                "def collate(",
                "def train_key(key):\n    return isinstance(key, tuple)\n\n\ndef collate(",
            ),
        ),
        "sample ",
        ["evaluation is shuffled", "another way at each reading", "folder.py:"],
    ),
    "divided by 256": (
        "data",
        presets((TENSOR, "image = F.to_tensor(picture) * 255 / 256")),
        "sample 0",
        ["by 256, not by 255", at(PRESETS, TENSOR)],
    ),
    "one number in one picture": (
        "data",
        folder(
            (
                "return image.numpy(),",
                "x = image.numpy()\n        x[0, 5, 7] += 9e-4 * (index == 9)\n        return x,",
            )
        ),
        "sample 9",
        ["1 of 12288 numbers", "row 5, column 7"],
    ),
    "colours changed": (
        "train_data",
        presets((TRAIN_RESIZE, TRAIN_RESIZE + "\n    picture = F.adjust_brightness(picture, 1.2)")),
        "epoch 0, sample 0",
        ["changes the colours", at(PRESETS, TRAIN_RESIZE, later=1)],
    ),
    "Paddle's own random crop": (
        "train_data",
        presets(
            (CROP, "picture = paddle.vision.transforms.RandomResizedCrop(image_size)(picture)")
        ),
        "epoch 0, sample 0",
        ["another stream", at(PRESETS, CROP)],
    ),
    "flip missing and a wrong mean": (
        "train_data",
        presets((FLIP, ""), ("0.485, 0.456", "0.485, 0.465")),
        "epoch 0, sample",
        ["flip is missing"],
    ),
}

# name: edits of the Paddle tree
SPELLINGS = {
    "NumPy": presets(
        (TENSOR, "x = np.asarray(picture, dtype='float32').transpose(2, 0, 1) / 255"),
        (
            NORMALIZE,
            "return paddle.to_tensor((x - np.float32(MEAN).reshape(3, 1, 1)) / np.float32(STD).reshape(3, 1, 1))",
        ),
        ("import paddle\n", "import numpy as np\nimport paddle\n"),
    ),
    "constants for bytes": presets(
        (TENSOR, "x = np.asarray(picture, dtype='float32').transpose(2, 0, 1)"),
        (
            NORMALIZE,
            "return paddle.to_tensor((x - 255 * np.float32(MEAN).reshape(3, 1, 1)) / (255 * np.float32(STD).reshape(3, 1, 1)))",
        ),
        ("import paddle\n", "import numpy as np\nimport paddle\n"),
    ),
    "transforms as objects, Pillow's own methods": presets(
        (NORMALIZE, "return T.Normalize(MEAN, STD)(image)"),
        (TENSOR, "image = T.ToTensor()(picture)"),
        (CENTRE, "picture = T.CenterCrop(image_size)(picture)"),
        (
            CROP,
            "picture = picture.crop((crop.left, crop.top, crop.left + crop.width, crop.top + crop.height))",
        ),
        (TRAIN_RESIZE, "picture = picture.resize((image_size, image_size), 2)"),
        ("import paddle\n", "import paddle\nfrom paddle.vision import transforms as T\n"),
    ),
}
