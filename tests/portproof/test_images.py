"""portproof's reader of images: as the file has them, RGB; one line where a file is no image."""

import numpy as np
import pytest
from PIL import Image

from portproof.files.images import read_rgb
from portproof.system.errors import UserError

TURNED = 6  # EXIF: the camera was held so that the image is to be turned right by a quarter
ORIENTATION = 0x0112


def test_an_image_is_not_turned_as_its_exif_data_say(tmp_path):
    # As torchvision's ImageFolder reads it, and so the published accuracies.
    pixels = np.random.default_rng(0).integers(0, 256, (4, 7, 3), np.uint8)
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[ORIENTATION] = TURNED
    image.save(tmp_path / "turned.png", exif=exif)
    image.save(tmp_path / "plain.png")
    np.testing.assert_array_equal(read_rgb(tmp_path / "plain.png"), pixels)
    np.testing.assert_array_equal(read_rgb(tmp_path / "turned.png"), pixels)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK"])
def test_an_image_of_any_mode_becomes_rgb(tmp_path, mode):
    ending = ".tiff" if mode == "CMYK" else ".png"
    Image.new(mode, (5, 3)).save(tmp_path / f"image{ending}")
    assert np.asarray(read_rgb(tmp_path / f"image{ending}")).shape == (3, 5, 3)


@pytest.mark.parametrize("contents", [b"", b"no image", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_what_is_no_image_is_named_in_one_line(tmp_path, contents):
    (tmp_path / "odd.jpg").write_bytes(contents)
    with pytest.raises(UserError, match=r"odd\.jpg: cannot be read .*not an image") as error:
        read_rgb(tmp_path / "odd.jpg")
    assert "\n" not in str(error.value)


def test_an_image_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"gone\.jpg: cannot be read .*No such file"):
        read_rgb(tmp_path / "gone.jpg")
