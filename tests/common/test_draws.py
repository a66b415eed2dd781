import itertools

import numpy as np
import pytest

from common.data import draws
from common.data.batches import EpochBatches
from common.data.draws import Purpose


def test_words_are_the_same_on_every_machine():
    words = draws.words(seed=7, purpose=Purpose.CROP, epoch=3, index=11, count=3)
    assert words.tolist() == [13560505755148583721, 3497357397494573911, 16748668798182149542]


def test_each_seed_purpose_epoch_and_index_has_its_own_stream():
    keys = itertools.product((0, 1), (Purpose.CROP, Purpose.FLIP), (0, 1), (0, 1, 2))
    words = np.concatenate([draws.words(*key, count=40) for key in keys])
    assert len(np.unique(words)) == len(words)


def test_order_is_another_permutation_each_epoch():
    orders = [draws.order(seed=0, epoch=epoch, length=1000) for epoch in range(3)]
    for order in orders:
        assert sorted(order.tolist()) == list(range(1000))
    assert (orders[0] != orders[1]).mean() > 0.9
    assert (draws.order(seed=0, epoch=1, length=1000) == orders[1]).all()


@pytest.mark.parametrize("shuffle", [True, False])
def test_an_epochs_order_is_an_array_and_its_keys_are_plain_numbers(shuffle):
    """A key goes to a worker process and into draws.words, and must not carry a type of NumPy."""
    batches = EpochBatches(10, 4, seed=3, shuffle=shuffle)
    order = batches.order()
    assert order.dtype == np.int64 and order.shape == (10,)
    keys = [key for batch in batches for key in batch]
    assert keys == [(0, index) for index in order.tolist()]
    assert {type(number) for key in keys for number in key} == {int}


def test_who_listens_hears_of_each_draw_by_the_names_of_its_arguments():
    heard = []
    draws.listen(lambda *draw: heard.append(draw))
    try:
        order = draws.order(5, 1, length=3)
        crop = draws.random_crop(5, 1, 2, (40, 30), area=(0.5, 1.0))
        shifted = draws.shifted_crop(5, 1, 2, (40, 30), 0.9)
    finally:
        draws.listen(None)
    draws.flip(5, 1, 2)  # nobody listens any more
    of_epoch = {"seed": 5, "epoch": 1}
    box = of_epoch | {"index": 2, "size": (40, 30)}
    assert heard[0][:2] == ("order", of_epoch | {"length": 3}) and heard[0][2] is order
    shape = {"area": (0.5, 1.0), "aspect": draws.DEFAULT_ASPECT}
    assert heard[1:] == [("crop", box | shape, crop), ("crop", box | {"share": 0.9}, shifted)]


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (3, 2), (640, 480), (4100, 90)])
def test_crop_lies_within_the_image(size):
    width, height = size
    for index in range(300):
        crop = draws.random_crop(0, 0, index, size)
        assert crop.height >= 1 and crop.width >= 1
        assert 0 <= crop.top <= height - crop.height
        assert 0 <= crop.left <= width - crop.width


def test_crops_cover_the_area_and_the_aspects():
    crops = [draws.random_crop(0, 0, index, (400, 400)) for index in range(3000)]
    area = np.array([crop.width * crop.height / 160_000 for crop in crops])
    aspect = np.log([crop.width / crop.height for crop in crops])
    assert 0.079 < area.min() < 0.09 and 0.9 < area.max() <= 1
    assert abs(aspect.mean()) < 0.02  # as many wide ones as tall ones
    assert -0.3 < aspect.min() < -0.27 and 0.27 < aspect.max() < 0.3  # log 3/4, log 4/3


def test_half_of_the_images_are_flipped():
    flips = [draws.flip(0, 0, index) for index in range(2000)]
    assert 930 < sum(flips) < 1070


def test_seeds_for_the_frameworks_differ_by_step():
    seeds = {draws.dropout_seed(0, epoch, step) for epoch in range(5) for step in range(200)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert draws.weights_seed(0) != draws.weights_seed(1)


@pytest.mark.parametrize(("width", "height"), [(500, 375), (256, 256), (90, 400), (1, 3)])
def test_a_shifted_crop_lies_anywhere_in_the_central_square(width, height):
    square, share = min(width, height), 224 / 256
    crops = [draws.shifted_crop(1, 0, index, (width, height), share) for index in range(2000)]
    side = max(round(share * square), 1)
    assert {(crop.height, crop.width) for crop in crops} == {(side, side)}
    top, left, free = (height - square) // 2, (width - square) // 2, square - side + 1
    assert {crop.top for crop in crops} == set(range(top, top + free))
    assert {crop.left for crop in crops} == set(range(left, left + free))
    assert len(set(crops)) > len({crop.top for crop in crops}) or square == side
