"""What to think about next, by the checkpoint and by the words of the cause. Never the answer."""

import re

EMPTY = "this place is still empty; its docstring, and the torch file, say what belongs there"
RULE = "docs/en/11-homework.md lists what may be imported; the four files are yours to write"
CRASH = "that is Python's own message: read it, and the line that it names"
WAITS = "mend {first} first; this follows from it, or cannot be told before"

# (checkpoints, words of the cause, hint); the first that fits is told.
HINTS = [
    (
        "forward",
        r"parameters, .* without arguments",
        "look at the defaults of num_classes and width",
    ),
    (
        "forward",
        r"another kernel, width",
        "which numbers of this shape go with width, which with num_classes?",
    ),
    (
        "forward",
        r"bias is (gained|lost)|bias (gained|lost)",
        "which layers have no bias in the torch file, and how is that said in Paddle?",
    ),
    ("forward", r"epsilon|\beps\b", "what is it called in Paddle, and what is its default there?"),
    (
        "forward",
        r"stride|padding|kernel|dilation|ceil",
        "read this layer's arguments in the torch file once more, and its neighbours'",
    ),
    (
        "forward",
        r"train mode|batch statistics|training True",
        "what tells this layer that the network is measured?",
    ),
    ("forward", r"[Pp]ool", "is what it gives one number a channel at every picture size?"),
    (
        "forward",
        r"ReLU|activation",
        "draw a block with its two arrows: what is before the sum, and what after it?",
    ),
    (
        "forward",
        r"plus |sum|residual|added|shortcut|another order",
        "draw a block with its two arrows: what is added to what, and when?",
    ),
    ("forward", r"transpose", "print the shape of this weight in both frameworks"),
    (
        "forward",
        r"counterpart|missing|not loaded|parameter",
        "print names and shapes of state_dict() in both frameworks; go through them",
    ),
    ("forward", r"", "compare this layer with its line in the torch file, then what is before it"),
    (
        "init",
        r"everywhere",
        "which parameters begin as a constant? each framework has defaults of its own",
    ),
    ("init", r"same at every seed", "draw by the framework's own initializers: they take its seed"),
    (
        "init",
        r"\bfc\b|Linear",
        "which number of its shape counts the inputs? print the shape of this weight",
    ),
    ("init", r"", "by fan_in or by fan_out? count for this layer; look up what Paddle counts"),
    ("metric", r"train mode", "what must be said to the network before it is measured?"),
    ("metric", r"ties", "which of two equal logits comes first? print the order for [1., 1.]"),
    ("metric", r"fraction|per cent", "in which unit are the three numbers?"),
    (
        "metric",
        r"mean of the batches|last batch|padded|sum, not",
        "the last batch is smaller: what is counted, and what divides it?",
    ),
    (
        "metric",
        r"top-\d in its place|counted otherwise",
        "how many classes does each of the two numbers look at?",
    ),
    ("metric", r"", "count three samples by hand, and print what your function says"),
    ("loss", r"summed|not reduced", "what does a batch of 8 give that is 8 times the same sample?"),
    (
        "loss",
        r"softmax|log-prob|probabilit",
        "who applies the softmax: the network, the loss, or both?",
    ),
    ("loss", r"smoothing", "make_loss has an argument: where does it go?"),
    ("loss", r"", "work the loss of one sample with two classes out by hand"),
    ("backward", r"no gradient", "what cuts a graph in Paddle? follow the way back from the loss"),
    ("backward", r"times PyTorch", "what else is multiplied into the loss or the gradients?"),
    (
        "backward",
        r"",
        "this parameter is the first on the way back: what comes right after its layer?",
    ),
    ("lr", r"never changes", "who moves the schedule on? and does the optimizer know of it?"),
    (
        "lr",
        r"not attached|was given a number",
        "which of the two is made first in Paddle, and what takes what?",
    ),
    ("lr", r"at every step", "the recipe states its rate for a number of GPUs"),
    ("lr", r"early|late", "in which order do the two step() calls stand?"),
    ("lr", r"alone|group", "what does a rate in a group mean in Paddle: a rate, or a factor?"),
    ("lr", r"step size", "does this schedule count steps or epochs, and how often is it stepped?"),
    (
        "lr",
        r"warm-up|gamma",
        "write the first five rates down by hand: where does the warm-up start and end?",
    ),
    ("lr", r"", "print the rate of each step in both frameworks, side by side"),
    ("optimizer", r"does not move", "was every parameter given to the optimizer?"),
    ("optimizer", r"the gradient of", "are the gradients of the step before still there?"),
    ("optimizer", r"Nesterov", "args says whether: is it passed on?"),
    (
        "optimizer",
        r"momentum|not that of",
        "which class of paddle.optimizer is SGD with momentum? what is its default?",
    ),
    ("optimizer", r"decay", "which parameters decay, and which do not? look at both groups"),
    ("optimizer", r"", "compare the optimizer's arguments one by one with the torch file"),
    (
        "training",
        r"\(momentum\)",
        "what share of the old statistic does each framework's momentum keep?",
    ),
    (
        "training",
        r"mode",
        "who puts the network into training mode, and does anything take it out?",
    ),
    ("training", r"", "the checkpoints before are passed: what does only a second step show?"),
]


def hint(checkpoint: str, cause: str) -> str:
    """Return what to think about next."""
    return next(
        text for name, words, text in HINTS if name == checkpoint and re.search(words, cause)
    )
