"""Which call of one network's run is which of the other's."""

import difflib

from portproof.networks import layer_types
from portproof.networks.matching import Match

# Positions of two calls that are partners, torch's first; None where a call has no counterpart.
Pairs = list[tuple[int | None, int | None]]


def pair_calls(torch_calls: list[dict], paddle_calls: list[dict], match: Match) -> Pairs:
    """Pair the calls of two runs: layers with weights by `match`, the others by kind and place."""
    left = _tokens("torch", torch_calls, {path: path for path in match.layers})
    right = _tokens("paddle", paddle_calls, {own: torch for torch, own in match.layers.items()})
    pairs: Pairs = []
    for what, i, i_end, j, j_end in _opcodes(left, right):
        if what == "equal":
            pairs += zip(range(i, i_end), range(j, j_end), strict=True)
        else:
            pairs += _pair_rivals(left, range(i, i_end), right, range(j, j_end))
    return _pair_moved(pairs, left, right)


def _opcodes(left: list, right: list) -> list[tuple[str, int, int, int, int]]:
    return difflib.SequenceMatcher(None, left, right, autojunk=False).get_opcodes()


def _tokens(side: str, calls: list[dict], names: dict[str, str]) -> list[tuple]:
    """Return what must be equal in two calls that are to be partners."""
    times: dict[str, int] = {}
    made = []
    for call in calls:
        name = names.get(call["layer"])
        if name is None:
            made.append(("kind", layer_types.canonical_kind(side, call["kind"])))
            continue
        times[name] = times.get(name, 0) + 1
        made.append(("layer", name, times[name]))
    return made


def _pair_rivals(left: list[tuple], own: range, right: list[tuple], theirs: range) -> Pairs:
    """Pair what stands in the same place and serves the same end: one pooling for another, say."""
    ends = [
        [layer_types.family(tokens[n][1]) if tokens[n][0] == "kind" else tokens[n] for n in places]
        for tokens, places in ((left, own), (right, theirs))
    ]
    pairs: Pairs = []
    for what, i, i_end, j, j_end in _opcodes(*ends):
        if what == "equal":
            pairs += zip(own[i:i_end], theirs[j:j_end], strict=True)
        else:
            pairs += [(n, None) for n in own[i:i_end]]
            pairs += [(None, n) for n in theirs[j:j_end]]
    return pairs


def _pair_moved(pairs: Pairs, left: list[tuple], right: list[tuple]) -> Pairs:
    """Pair layers with weights that the two networks run at different places."""
    alone = {right[j]: j for i, j in pairs if i is None and right[j][0] == "layer"}
    moved = {
        i: alone[left[i]] for i, j in pairs if j is None and i is not None and left[i] in alone
    }
    joined: Pairs = []
    for i, j in pairs:
        if i in moved and j is None:
            joined.append((i, moved[i]))
        elif i is not None or j not in moved.values():
            joined.append((i, j))
    return joined


def pair_fused(pairs: Pairs, torch_calls: list[dict], fused: dict[int, str]) -> Pairs:
    """Pair a Paddle layer that also applies an activation with PyTorch's activation after it.

    `fused` names the activation by the place of the Paddle call (paddle.nn.BatchNorm has `act`).
    """
    joined: Pairs = []
    place = 0
    while place < len(pairs):
        i, j = pairs[place]
        k, other = pairs[place + 1] if place + 1 < len(pairs) else (None, None)
        place += 1
        if i is None or j not in fused:
            joined.append((i, j))
            continue
        joined.append((i, None))
        if k is not None and other is None and torch_calls[k]["kind"].lower() == fused[j].lower():
            joined.append((k, j))
            place += 1
        else:  # PyTorch applies it as a function
            joined.append((None, j))
    return joined
