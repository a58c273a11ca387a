"""Tables and pictures: what would be lost on the way to float32 is told, or refused."""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyae import data


def table(folder: Path, text: str) -> np.ndarray:
    (folder / "x.csv").write_text(text)
    return data.load(folder / "x.csv", test_fraction=0).x_train


# ---- tables ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "line"),
    [
        ("0,1,2,3", "0.5,2,7,1"),
        ("1,2,3,4", "0.5,2,7,1"),
        ("0,1", "0.5,0.25"),
        ("1990,1991,1992", "5,3,9"),
        ("400.0,400.5,401.0,401.5", "0.1,0.3,0.2,0.1"),
        ("3000,2900,2800", "1,0,1"),
        ('"5","9"', "1,2"),
    ],
)
def test_a_header_of_numbers_is_no_sample(header, line, tmp_path):
    with pytest.warns(UserWarning, match="numbers the columns and is taken for a header; if it is"):
        x = table(tmp_path, f"{header}\n{line}\n{line}\n")
    np.testing.assert_array_equal(x, np.array([line.split(",")] * 2, np.float32))


@pytest.mark.parametrize(
    "lines",
    [
        ["1,2", "3,4"],
        ["0,1", "1,0"],
        ["1,2,3", "4,5,6"],
        ["0,0,0", "0,1,0"],
        ["0.5,1,1.5", "1,1.5,2"],
        ["0.3,0.1,0.4", "0,1,2"],
        ["0"],
        ["7", "0.5"],
        ["0,1,2,3"],
        ['"1","2"', '"3","4"'],
    ],
)
def test_a_first_sample_stays_a_sample(lines, tmp_path):
    x = table(tmp_path, "\n".join(lines))
    wanted = [[float(cell.strip('"')) for cell in line.split(",")] for line in lines]
    np.testing.assert_array_equal(x, np.array(wanted, np.float32))


@pytest.mark.parametrize("header", ["a,b", "a,b,c,d", '"a, b",c'])
def test_a_header_of_other_length_is_refused(header, tmp_path):
    with pytest.raises(ValueError, match=r"the header has \d cells, the lines below it 3; name"):
        table(tmp_path, f"{header}\n1,2,3\n4,5,6\n")


def test_a_name_may_have_a_comma(tmp_path):
    x = table(tmp_path, '"length, mm",b\n1,2\n')
    np.testing.assert_array_equal(x, [[1, 2]])


def test_the_column_that_float32_merges_is_named(tmp_path):
    lines = [f"0.5,{1_700_000_000 + i}" for i in range(300)]
    with pytest.warns(UserWarning, match=r"column 2 of .*x.csv runs from 1700000000 .* 300 diff"):
        table(tmp_path, "\n".join(lines))
    with pytest.warns(UserWarning, match=r"column 2 \(time\) of .*; subtract its least value"):
        table(tmp_path, "\n".join(["value,time", *lines]))


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_an_array_of_times_is_told(suffix, tmp_path):
    x = np.random.default_rng(0).random((50, 3))
    x[:, 1] += 1.7e9
    path = tmp_path / f"x.{suffix}"
    (np.save if suffix == "npy" else np.savez)(path, x)
    with pytest.warns(UserWarning, match=r"at \[:, 1\], runs from .* become 1 in float32"):
        data.load(path)


@given(rows=st.lists(st.lists(st.integers(-(2**24), 2**24), min_size=3, max_size=3), min_size=1))
def test_whole_numbers_that_float32_has_are_kept_without_a_word(rows, tmp_path_factory):
    text = "\n".join(["a,b,c", *(",".join(map(str, row)) for row in rows)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x = table(tmp_path_factory.mktemp("csv"), text)
    np.testing.assert_array_equal(x, rows)


@pytest.mark.parametrize("size", [2.5, "x", True, (2, 2.5), (3,), [0, 3], (2, 2, 2), object()])
def test_a_wrong_image_size_is_named(size, tmp_path):
    with pytest.raises(
        ValueError, match=r"image_size is .*expected .*\(height, width\); pass e.g."
    ):
        data.load(tmp_path, image_size=size)


@pytest.mark.parametrize("fraction", ["x", object(), [0.1], 1.0, -0.1, float("nan")])
def test_a_wrong_test_fraction_is_named(fraction, tmp_path):
    with pytest.raises((TypeError, ValueError), match=r"test_fraction is .*expected"):
        data.load(tmp_path, test_fraction=fraction)


# ---- pictures --------------------------------------------------------------------------------------

Image = pytest.importorskip("PIL.Image", reason="pictures need pillow: pip install pillow")


def picture(folder: Path) -> np.ndarray:
    return data.load(folder, test_fraction=0).x_train


def draw(folder: Path, pixels: np.ndarray, mode: str, name: str = "a.png", **how: object) -> None:
    Image.fromarray(pixels.astype(np.uint8), mode if mode in ("L", "RGB") else None).save(
        folder / name, **how
    )


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.filterwarnings("ignore:'mode' parameter:DeprecationWarning")
def test_what_is_drawn_in_the_alpha_channel_is_seen(mode, tmp_path):
    pixels = np.zeros((8, 8, len(mode)))
    pixels[2:6, 2:6, -1] = 255
    pixels[3, 3, -1] = 51
    draw(tmp_path, pixels, mode)
    with pytest.warns(UserWarning, match=r"1 of 1 pictures are partly transparent.*laid on white"):
        x = picture(tmp_path)
    assert x.shape == (1, 1 if mode == "LA" else 3, 8, 8)
    np.testing.assert_allclose(x[0, 0], 1 - pixels[..., -1] / 255, atol=1 / 255)


@pytest.mark.filterwarnings("ignore:'mode' parameter:DeprecationWarning")
def test_an_opaque_alpha_channel_changes_nothing(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 6, 4))
    pixels[..., 3] = 255
    draw(tmp_path, pixels, "RGBA")
    np.testing.assert_array_equal(
        picture(tmp_path)[0], pixels[..., :3].transpose(2, 0, 1).astype(np.float32) / 255
    )


def test_a_transparent_colour_of_a_palette_is_seen(tmp_path):
    paletted = Image.new("P", (4, 4), 1)
    paletted.putpalette([0, 0, 0, 255, 0, 0])
    paletted.putpixel((0, 0), 0)
    paletted.save(tmp_path / "a.png", transparency=0)
    with pytest.warns(UserWarning, match="partly transparent"):
        x = picture(tmp_path)
    np.testing.assert_array_equal(x[0, :, 0, 0], [1, 1, 1])
    np.testing.assert_array_equal(x[0, :, 1, 1], [1, 0, 0])


@pytest.mark.parametrize("suffix", ["gif", "tif", "png", "webp"])
def test_an_animation_is_refused(suffix, tmp_path):
    frames = [Image.new("L", (8, 8), shade) for shade in (0, 100, 200)]
    try:
        frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:])
    except (OSError, KeyError):
        pytest.skip(f"this Pillow cannot write .{suffix}")
    with pytest.raises(ValueError, match=r"it has 3 frames, expected one picture; save the frames"):
        picture(tmp_path)


def png_of_16_bits(colours: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    kind = {1: 0, 2: 4, 3: 2, 4: 6}[colours]  # grey, with alpha, colour, with alpha
    row = b"\0" + bytes(range(2 * 2 * colours))
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 16, kind, 0, 0, 0))]
    parts += [(b"IDAT", zlib.compress(row * 2)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_16_bits_of_grey_are_divided_by_65535(suffix, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 65536, (6, 5)).astype(np.uint16)
    pixels[0, :2] = 0, 65535
    Image.fromarray(pixels).save(tmp_path / f"a.{suffix}")
    np.testing.assert_allclose(picture(tmp_path)[0, 0], pixels / 65535, atol=1e-7)
    resized = data.load(tmp_path, test_fraction=0, image_size=(3, 4)).x_train
    assert resized.shape == (1, 1, 3, 4)
    assert 0 <= resized.min() < resized.max() <= 1


def test_16_bits_and_8_may_stand_side_by_side(tmp_path):
    Image.new("L", (4, 4), 51).save(tmp_path / "a.png")
    Image.fromarray(np.full((4, 4), 13107, np.uint16)).save(tmp_path / "b.png")
    np.testing.assert_allclose(picture(tmp_path), 0.2, atol=1e-7)


def test_the_transparent_shade_of_16_bits_is_laid_on_white(tmp_path):
    pixels = np.array([[1000, 257], [258, 65535]], np.uint16)
    Image.fromarray(pixels).save(tmp_path / "a.png", transparency=257)
    with pytest.warns(UserWarning, match="partly transparent"):
        x = picture(tmp_path)
    np.testing.assert_allclose(x[0, 0] * 65535, [[1000, 65535], [258, 65535]], rtol=1e-6)


@pytest.mark.filterwarnings("ignore:.*partly transparent")
@pytest.mark.parametrize("colours", [2, 3, 4])
def test_16_bits_a_colour_keep_the_upper_8_and_say_so(colours, tmp_path):
    (tmp_path / "a.png").write_bytes(png_of_16_bits(colours))
    with pytest.warns(UserWarning, match="have 16 bits a channel.* the upper 8"):
        x = picture(tmp_path)
    wanted = np.arange(0, 4 * colours, 2).reshape(2, colours)  # the upper bytes of a row
    if colours != 3:
        alpha = wanted[:, -1:] / 255
        wanted = wanted[:, :-1] * alpha + 255 * (1 - alpha)
    assert x.shape == (1, wanted.shape[1], 2, 2)
    np.testing.assert_allclose(x[0, :, 0] * 255, wanted.T, atol=1)


@pytest.mark.parametrize(("kind", "colours"), [("P5", 1), ("P6", 3)])
@pytest.mark.parametrize("white", [1023, 65535])
@pytest.mark.filterwarnings("ignore:.*16 bits a channel")
def test_a_portable_map_says_what_white_is(kind, colours, white, tmp_path):
    body = np.repeat(np.array([0, white, white // 2, white], ">u2"), colours).tobytes()
    suffix = "pgm" if colours == 1 else "ppm"
    (tmp_path / f"a.{suffix}").write_bytes(f"{kind} 2 2 {white}\n".encode() + body)
    np.testing.assert_allclose(
        picture(tmp_path)[0], np.tile([[0, 1], [0.5, 1]], (colours, 1, 1)), atol=1 / 255
    )


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_numbers_whose_white_is_not_known_are_refused(kind, tmp_path):
    pixels = np.random.default_rng(0).random((4, 4)).astype(np.float32)
    Image.fromarray(pixels).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(picture(tmp_path)[0, 0], pixels)
    Image.fromarray((300 * pixels).astype(kind)).save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match=r"are not in \[0, 1\].* save it with 8 or 16 bits"):
        picture(tmp_path)


def test_a_cmyk_picture_keeps_white_and_black(tmp_path):
    cmyk = Image.new("CMYK", (8, 8), (0, 0, 0, 0))
    cmyk.paste((0, 0, 0, 255), (0, 0, 4, 8))
    cmyk.save(tmp_path / "a.tif")
    x = picture(tmp_path)
    np.testing.assert_array_equal(x[0, :, :, :4], 0)
    np.testing.assert_array_equal(x[0, :, :, 4:], 1)


def test_an_enormous_picture_is_refused_before_it_is_read(tmp_path):
    Image.new("L", (2, 2)).save(tmp_path / "a.gif")
    data = bytearray((tmp_path / "a.gif").read_bytes())
    data[6:10] = struct.pack("<HH", 58_885, 2_569)  # the size that the file claims
    (tmp_path / "a.gif").write_bytes(data)
    with pytest.raises(ValueError, match=r"cannot read the image .*a.gif .*exceeds limit"):
        picture(tmp_path)


def test_pictures_two_folders_down_are_not_left_out(tmp_path):
    for place in ("cat", "dog", "dog/more"):
        (tmp_path / place).mkdir()
        Image.new("L", (4, 4)).save(tmp_path / place / "a.png")
    with pytest.raises(ValueError, match=r"more holds images two folders down.*move them into"):
        picture(tmp_path)
