"""Training recipes by name. A recipe sets the defaults of the arguments that it names."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters of one training; what it does not name is as in torchvision's of AlexNet.

    `lr` is meant for `gpus` GPUs of `batch_size` images each. `lr_step_size`, `lr_patience` and
    `warmup_epochs` count epochs; `image_size` is in pixels.
    """

    image_size: int = 224
    batch_size: int = 32
    epochs: int = 90
    lr: float = 0.01
    gpus: int = 8
    weight_decay: float = 1e-4
    schedule: str = "step"  # or cosine, plateau
    lr_step_size: int = 30
    lr_gamma: float = 0.1
    lr_patience: int = 5
    warmup_epochs: float = 0.0
    momentum: float = 0.9
    dropout: float = 0.5
    model: str = "alexnet"
    colour_noise: float = 0.0
    train_crop: str = "resized"


RECIPES = {
    # torchvision's reference training of AlexNet, 56.5 % top-1:
    # https://github.com/pytorch/vision/tree/main/references/classification
    "imagenet": Recipe(),
    # The embedded sample, in minutes on two processor cores: small images, so that an epoch is
    # short, and little dropout, so that the few steps there are suffice. At a rate of 0.01 some
    # seeds fall back to chance just after they begin to learn.
    "sample": Recipe(
        image_size=64,
        epochs=7,
        lr=0.007,
        gpus=1,
        schedule="cosine",
        warmup_epochs=0.25,
        dropout=0.1,
    ),
    # CIFAR-10 as an image folder of 32 x 32 images, enlarged: as many epochs as two processor
    # cores train in 20 minutes (torch) and 45 (Paddle), and little dropout, since in so few the
    # training error is no less than the validation error.
    "cifar10": Recipe(
        image_size=96,
        batch_size=128,
        epochs=7,
        lr=0.03,
        gpus=1,
        weight_decay=5e-4,
        schedule="cosine",
        warmup_epochs=1,
        dropout=0.2,
        train_crop="shifted",
    ),
    # Section 5 of the paper. It divides the rate by 10 where the validation error stops to improve,
    # three times over about 90 epochs: here at set epochs, or by --schedule plateau.
    "paper": Recipe(
        model="alexnet-paper",
        image_size=227,
        batch_size=128,
        epochs=90,
        lr=0.01,
        gpus=1,
        weight_decay=5e-4,
        lr_step_size=23,
        colour_noise=0.1,
        train_crop="shifted",
    ),
}
