"""What to think about next, by the checkpoint and by the words of the cause. Never the answer."""

import re

EMPTY = "this place is still empty; its docstring, and the torch file, say what belongs there"
RULE = "docs/en/11-homework.md lists what may be imported; the four files are yours to write"
CRASH = "that is Python's own message: read it, and the line that it names"
WAITS = "mend {first} first; this follows from it, or cannot be told before"

# By checkpoint: words of the cause, and the hint; the first that fits is given.
HINTS = {
    "forward": {
        r"parameters, .* without arguments": "look at the defaults of num_classes and width",
        r"another kernel, width": "which numbers of this shape go with width, which with "
        "num_classes?",
        r"bias is (gained|lost)|bias (gained|lost)": "which layers have no bias in the torch file, "
        "and how is that said in Paddle?",
        r"epsilon|\beps\b": "what is it called in Paddle, and what is its default there?",
        r"stride|padding|kernel|dilation|ceil": "read this layer's arguments in the torch file "
        "once more, and its neighbours'",
        r"train mode|batch statistics|training True": "what tells this layer that the network is "
        "measured?",
        r"[Pp]ool": "is what it gives one number a channel at every image size?",
        r"ReLU|activation": "draw a block with its two arrows: what is before the sum, and what "
        "after it?",
        r"plus |sum|residual|added|shortcut|another order": "draw a block with its two arrows: "
        "what is added to what, and when?",
        r"transpose": "print the shape of this weight in both frameworks",
        r"counterpart|missing|not loaded|parameter": "print names and shapes of state_dict() in "
        "both frameworks; go through them",
        r"": "compare this layer with its line in the torch file, then what is before it",
    },
    "init": {
        r"everywhere": "which parameters begin as a constant? each framework has defaults of its "
        "own",
        r"same at every seed": "draw by the framework's own initializers: they take its seed",
        r"\bfc\b|Linear": "which number of its shape counts the inputs? print the shape of this "
        "weight",
        r"": "by fan_in or by fan_out? count for this layer; look up what Paddle counts",
    },
    "metric": {
        r"train mode": "what must be said to the network before it is measured?",
        r"ties": "which of two equal logits comes first? print the order for [1., 1.]",
        r"fraction|per cent": "in which unit are the three numbers?",
        r"mean of the batches|last batch|padded|sum, not": "the last batch is smaller: what is "
        "counted, and what divides it?",
        r"top-\d in its place|counted otherwise": "how many classes does each of the two numbers "
        "look at?",
        r"": "count three samples by hand, and print what your function says",
    },
    "loss": {
        r"summed|not reduced": "what does a batch of 8 give that is 8 times the same sample?",
        r"softmax|log-prob|probabilit": "who applies the softmax: the network, the loss, or both?",
        r"smoothing": "make_loss has an argument: where does it go?",
        r"": "work the loss of one sample with two classes out by hand",
    },
    "backward": {
        r"no gradient": "what cuts a graph in Paddle? follow the way back from the loss",
        r"times PyTorch": "what else is multiplied into the loss or the gradients?",
        r"": "this parameter is the first on the way back: what comes right after its layer?",
    },
    "lr": {
        r"never changes": "who moves the schedule on? and does the optimizer know of it?",
        r"not attached|was given a number": "which of the two is made first in Paddle, and what "
        "takes what?",
        r"at every step": "the recipe states its rate for a number of GPUs",
        r"early|late": "in which order do the two step() calls stand?",
        r"alone|group": "what does a rate in a group mean in Paddle: a rate, or a factor?",
        r"step size": "does this schedule count steps or epochs, and how often is it stepped?",
        r"warm-up|gamma": "write the first five rates down by hand: where does the warm-up start "
        "and end?",
        r"": "print the rate of each step in both frameworks, side by side",
    },
    "optimizer": {
        r"does not move": "was every parameter given to the optimizer?",
        r"the gradient of": "are the gradients of the step before still there?",
        r"Nesterov": "args says whether: is it passed on?",
        r"momentum|not that of": "which class of paddle.optimizer is SGD with momentum? what is "
        "its default?",
        r"decay": "which parameters decay, and which do not? look at both groups",
        r"": "compare the optimizer's arguments one by one with the torch file",
    },
    "training": {
        r"\(momentum\)": "what share of the old statistic does each framework's momentum keep?",
        r"mode": "who puts the network into training mode, and does anything take it out?",
        r"": "the checkpoints before are passed: what does only a second step show?",
    },
}


def hint(checkpoint: str, cause: str) -> str:
    """Return what to think about next."""
    return next(text for words, text in HINTS[checkpoint].items() if re.search(words, cause))
