"""portproof/numeric/fingerprints.py: a few numbers that stand for a tensor, however it lies."""

import numpy as np
import pytest

from portproof.files import state
from portproof.numeric import fingerprints

# Rows of the second fill more than one block; the last two are a vector and a number.
SHAPES = [[3, 4], [200, 1500], [5, 3, 2, 2], [7], []]


@pytest.fixture
def generator():
    return np.random.default_rng(0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_summary_is_that_of_the_whole_tensor(generator, shape, dtype):
    array = np.asarray(generator.standard_normal(shape), dtype)
    matrix = array.reshape(shape[0] if shape else 1, -1).astype(np.float64)
    left, right = (fingerprints.signs(size, end) for end, size in enumerate(matrix.shape))
    projected = np.einsum("ij,ik,jk->k", matrix, left, right)
    whole = [np.linalg.norm(matrix), np.abs(matrix).max(), *projected]
    np.testing.assert_allclose(fingerprints.summarize(array), whole, rtol=1e-12, atol=1e-12)


def test_a_tensor_that_lies_transposed_has_the_same_summary(generator):
    array = generator.standard_normal([300, 700])
    turned = fingerprints.summarize(state.transposed(array), transposed=True)
    np.testing.assert_allclose(fingerprints.summarize(array), turned, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 199])  # in the first block, in the last
def test_what_is_not_finite_goes_through(generator, value, row):
    array = generator.standard_normal([200, 1500])
    array[row, 7] = value
    with np.errstate(invalid="ignore"):
        summary = fingerprints.summarize(array)
    assert not np.isfinite(summary).any()


@pytest.mark.parametrize("index", [(0, 0), (199, 1499), (100, 3)])
def test_one_element_that_differs_shows(generator, index):
    array = generator.standard_normal([200, 1500])
    other = array.copy()
    other[index] += 1
    apart = fingerprints.relative(*map(fingerprints.summarize, (array, other)), array.size)
    assert 1e-4 < apart < 1e-1  # a share of 1 / sqrt(300,000) of the norm


@pytest.mark.parametrize("shape", [[3, 5], [16, 33]])
def test_a_transposed_pattern_is_the_pattern_transposed(shape):
    plain = fingerprints.pattern(shape, 1, 2)
    turned = fingerprints.pattern(shape[::-1], 1, 2, transposed=True)
    np.testing.assert_array_equal(plain.T, turned)
    np.testing.assert_array_equal(state.transposed(plain), turned)
    assert turned.flags.c_contiguous and plain.all()
