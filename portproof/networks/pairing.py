"""Which call of one network's run is which of the other's."""

from collections import Counter

from portproof.networks import layer_types
from portproof.networks.matching import Match, align, zip_or_part

# Positions of two calls that are partners, torch's first; None where a call has no counterpart.
Pairs = list[tuple[int | None, int | None]]


def pair_calls(torch_calls: list[dict], paddle_calls: list[dict], match: Match) -> Pairs:
    """Pair the calls of two runs: layers with weights by `match`, the others by kind and place."""
    left = _tokens("torch", torch_calls, {torch: torch for torch in match.layers})
    right = _tokens("paddle", paddle_calls, {p: torch for torch, p in match.layers.items()})
    pairs: Pairs = []
    for i, j, _ in align(left, right):
        rows, columns = range(len(left))[i], range(len(right))[j]
        # What serves the same use in the same place is paired too: one pooling for another, say.
        uses = [_use(left[n]) for n in rows], [_use(right[n]) for n in columns]
        for part, other, is_equal in align(*uses):
            pairs += zip_or_part(rows[part], columns[other], is_equal)
    return _pair_moved(pairs, left, right)


def _tokens(side: str, calls: list[dict], names: dict[str, str]) -> list[tuple]:
    """Return what must be equal in two calls that are to be partners."""
    times: Counter[str] = Counter()
    tokens = []
    for call in calls:
        name = names.get(call["layer"])
        times[name] += 1
        kind = layer_types.canonical_kind(side, call["kind"])
        tokens.append(("kind", kind) if name is None else ("layer", name, times[name]))
    return tokens


def _use(token: tuple) -> tuple | str:
    return layer_types.family(token[1]) if token[0] == "kind" else token


def _pair_moved(pairs: Pairs, left: list[tuple], right: list[tuple]) -> Pairs:
    """Pair layers with weights that the two networks run at different places."""
    alone = {right[j]: j for i, j in pairs if i is None and right[j][0] == "layer"}
    moved = {i: alone[left[i]] for i, j in pairs if j is None and left[i] in alone}
    joined = [(i, moved.get(i) if j is None else j) for i, j in pairs]
    return [(i, j) for i, j in joined if i is not None or j not in moved.values()]


def pair_fused(pairs: Pairs, torch_calls: list[dict], fused: dict[int, str]) -> Pairs:
    """Pair a Paddle layer that also applies an activation with PyTorch's activation after it.

    `fused` names the activation by the number of the Paddle call.
    """
    joined: Pairs = []
    rest = list(pairs)
    while rest:
        i, j = rest.pop(0)
        if i is None or j not in fused:
            joined.append((i, j))
            continue
        k, other = rest[0] if rest else (None, None)
        if k is None or other is not None or torch_calls[k]["kind"].lower() != fused[j].lower():
            k = None  # PyTorch applies it as a function
        else:
            rest.pop(0)
        joined += [(i, None), (k, j)]
    return joined
