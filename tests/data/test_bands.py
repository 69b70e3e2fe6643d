"""Files with one, two, four, five channels, and with 16 bits: from files of other programs to pixels."""

import builtins
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import byol_tutorial as bt
from byol_tutorial.data import bands
from byol_tutorial.data.decode import to_tensor
from byol_tutorial.data.headers import read_header
from byol_tutorial.data.reading import Reading

RNG = np.random.default_rng(0)
SIDE = 16


def png16(path: Path, values: np.ndarray) -> None:
    """Write uint16 (H, W, C) as PNG, by the format's definition; Pillow writes no colours of 16 bits."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0))]
    parts += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    chunks = [struct.pack(">I", len(d)) + kind + d + struct.pack(">I", zlib.crc32(kind + d)) for kind, d in parts]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def tiff(path: Path, values: np.ndarray, **options) -> None:
    pytest.importorskip("tifffile").imwrite(path, values, **options)


def contiguous(path: Path, values: np.ndarray) -> None:
    tiff(path, values, photometric="minisblack", planarconfig="contig")


def planes(path: Path, values: np.ndarray) -> None:
    tiff(path, values.transpose(2, 0, 1), photometric="minisblack", planarconfig="separate")


def microscope(path: Path, values: np.ndarray) -> None:
    tiff(path, values.transpose(2, 0, 1), imagej=True, metadata={"axes": "CYX"})


def without_words(path: Path, values: np.ndarray) -> None:
    tiff(path, values.transpose(2, 0, 1), photometric="minisblack")


def array(path: Path, values: np.ndarray) -> None:
    np.save(path, values)


def array_of_planes(path: Path, values: np.ndarray) -> None:
    np.save(path, values.transpose(2, 0, 1))


WRITERS = {
    "contiguous": (contiguous, ".tif"), "planes": (planes, ".tiff"), "microscope": (microscope, ".tif"),
    "without words": (without_words, ".tif"), "array": (array, ".npy"), "array of planes": (array_of_planes, ".npy"),
}  # fmt: skip


def noise(channels: int, kind: type = np.uint16) -> np.ndarray:
    high = 1 if kind is np.float32 else np.iinfo(kind).max
    values = RNG.uniform(0, high, (SIDE, SIDE, channels)).astype(kind)
    values[0, 0] = high
    return values


def load(path: Path, **options):
    return bt.load(f"folder:{path}", holdout=0, **options)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [2, 4, 5, 12])
@pytest.mark.parametrize("writer", WRITERS)
def test_all_bands_are_read_with_their_depth(tmp_path, writer, channels, kind, stream):
    write, ending = WRITERS[writer]
    written = [noise(channels, kind) for _ in range(3)]
    for i, values in enumerate(written):
        write(tmp_path / f"{i}{ending}", values)
    images = load(tmp_path, stream=stream)
    bits = 8 if kind is np.uint8 else 16
    assert (images.channels, images.bits) == (channels, bits)
    read = images.sample(3)
    assert read.images.dtype == (torch.uint8 if bits == 8 else torch.uint16)
    high = 1 if kind is np.float32 else np.iinfo(kind).max
    expected = np.stack(written).transpose(0, 3, 1, 2).astype(float) / high
    np.testing.assert_allclose(read.images.numpy() / (2**bits - 1), expected, atol=0.51 / (2**bits - 1))
    assert f"{channels} channels" in "\n".join(images.found.lines())
    assert repr(images).count("channel") == 1
    in_batches = torch.cat(list(images.batches(2)))
    assert torch.equal(in_batches, read.images)
    if stream:  # a process of its own, which costs half a second, for one number of channels
        by_loader = images.loader([[0, 1], [2]], workers=1 if channels == 5 else 0)
        assert torch.equal(torch.cat(list(by_loader)), read.images)
        assert images.statistics() == load(tmp_path).statistics()


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_colours_of_16_bits_keep_them(tmp_path, kind):
    for i in range(2):
        values = noise(3)
        values[1, 1] = 40_000
        values[1, 2] = 40_100  # the same upper eight bits
        if kind == "png":
            png16(tmp_path / f"{i}.png", values)
        else:
            tiff(tmp_path / f"{i}.tif", values, photometric="rgb")
    images = load(tmp_path)
    assert (images.channels, images.bits) == (3, 16)
    assert images.images[0, :, 1, 1].tolist() == [40_000] * 3
    assert images.images[0, :, 1, 2].tolist() == [40_100] * 3
    eight = load(tmp_path, bits=8)
    assert eight.images[0, :, 1, 1].tolist() == eight.images[0, :, 1, 2].tolist() == [40_000 // 256] * 3


def test_12_bits_in_16_are_told_apart_level_by_level(tmp_path):
    values = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    for i in range(2):
        Image.fromarray(values).save(tmp_path / f"{i}.png")
    images = load(tmp_path, channels=1)
    assert len(images.images[0].flatten().int().unique()) == 4096
    assert load(tmp_path, channels=1, bits=8).images[0].flatten().unique().shape == (256,)
    np.testing.assert_allclose(images.images[0, 0].numpy(), values / 4095 * 65535, atol=0.51)


def test_a_deep_picture_is_resized_as_pillow_resizes_floats(tmp_path):
    values = RNG.integers(0, 65536, (40, 40)).astype(np.uint16)
    values[0, 0] = 65535
    for i in range(2):
        Image.fromarray(values).save(tmp_path / f"{i}.png")
    read = load(tmp_path, size=16, channels=1).images[0, 0].numpy()
    expected = np.asarray(Image.fromarray(values.astype(np.float32)).resize((16, 16), Image.Resampling.BICUBIC))
    np.testing.assert_allclose(read, expected.clip(0, 65535), atol=1)


@pytest.mark.parametrize("name", ["grey.png", "colour.jpg", "alpha.png", "palette.gif", "grey alpha.png", "mask.png"])
def test_one_channel_is_what_pillow_makes_of_it(tmp_path, name):
    colour = Image.fromarray(RNG.integers(0, 256, (24, 24, 4)).astype(np.uint8))
    made = {"grey.png": "L", "colour.jpg": "RGB", "alpha.png": "RGBA", "palette.gif": "P", "grey alpha.png": "LA",
            "mask.png": "1"}[name]  # fmt: skip
    for i in "ab":
        colour.convert(made).save(tmp_path / f"{i}{name}")
    with Image.open(tmp_path / f"a{name}") as opened:
        rgba = opened.convert("RGBA")
    expected = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB").convert("L")
    images = load(tmp_path, channels=1)
    assert images.images.shape == (2, 1, 24, 24)
    np.testing.assert_allclose(images.images[0, 0].int().numpy(), np.asarray(expected).astype(int), atol=1)


def test_opacity_is_kept_where_four_channels_are_asked_for(tmp_path):
    values = RNG.integers(0, 256, (16, 16, 4)).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "a.png")
    Image.fromarray(values[..., :3]).save(tmp_path / "b.png")
    images = load(tmp_path, channels=4)
    np.testing.assert_array_equal(images.images[0].permute(1, 2, 0).numpy(), values)
    assert (images.images[1, 3] == 255).all()
    assert load(tmp_path).channels == 3


def test_the_pages_of_a_grey_tiff_are_its_channels_if_there_are_as_many_as_asked_for(tmp_path):
    pages = [Image.fromarray(RNG.integers(0, 256, (16, 16)).astype(np.uint8)) for _ in range(4)]
    for i in range(2):
        pages[0].save(tmp_path / f"{i}.tif", save_all=True, append_images=pages[1:])
    images = load(tmp_path, channels=4)
    np.testing.assert_array_equal(images.images[0].numpy(), np.stack([np.asarray(page) for page in pages]))
    first = load(tmp_path)
    assert (first.images[0] == torch.from_numpy(np.array(pages[0]))).all()
    with pytest.raises(bt.DataError, match="channels=5, but 2 files have 1 channel"):
        load(tmp_path, channels=5)


def test_of_more_bands_than_asked_for_the_first_are_taken(tmp_path):
    values = noise(5, np.uint8)
    for i in range(2):
        np.save(tmp_path / f"{i}.npy", values)
    for n in (1, 2, 3, 4):
        np.testing.assert_array_equal(load(tmp_path, channels=n).images[0].permute(1, 2, 0).numpy(), values[..., :n])


def test_files_with_other_channels_are_named_with_their_numbers(tmp_path):
    for i in range(3):
        contiguous(tmp_path / f"five{i}.tif", noise(5, np.uint8))
    Image.new("RGB", (16, 16)).save(tmp_path / "photo.png")
    words = r"1 file has 3 channels \(photo\.png\), 3 files have 5 \(five0\.tif\): .*channels=3, which takes the first"
    with pytest.raises(bt.DataError, match=words):
        load(tmp_path)
    assert load(tmp_path, channels=3).channels == 3
    with pytest.raises(bt.DataError, match=r"channels=5, but 1 file has 3 .*give at most 3"):
        load(tmp_path, channels=5)


def test_grey_and_coloured_files_are_read_together_and_it_is_told(tmp_path):
    Image.new("L", (16, 16), 7).save(tmp_path / "a.png")
    Image.new("RGB", (16, 16), (1, 2, 3)).save(tmp_path / "b.png")
    images = load(tmp_path)
    assert images.images[:, :, 0, 0].tolist() == [[7, 7, 7], [1, 2, 3]]
    assert "1 file has 1 channel (a.png), 1 file has 3 (b.png); images have 3 (--channels)" in "\n".join(
        images.found.lines()
    )


def test_a_file_that_differs_is_found_where_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("byol_tutorial.data.headers.LOOKED_AT", 1)
    for i in range(3):
        np.save(tmp_path / f"{i}.npy", noise(5 if i == 0 else 4, np.uint8))
    with pytest.raises(bt.DataError, match=r"1\.npy \(it has 4 channels, and 5 are needed\)"):
        load(tmp_path)


def test_bands_without_tifffile_are_refused_by_its_name(tmp_path, monkeypatch):
    for i in range(2):
        contiguous(tmp_path / f"{i}.tif", noise(5))
    monkeypatch.setattr(bands, "has_tifffile", lambda: False)
    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", lambda name, *rest, **more: _refuse(name) or real(name, *rest, **more))
    with pytest.raises(bt.DataError, match="need tifffile, which is not installed: pip install tifffile"):
        load(tmp_path)


def _refuse(name: str) -> None:
    if name == "tifffile":
        raise ImportError(name)


def test_arrays_beside_images_are_no_images(tmp_path):
    for i in range(2):
        Image.new("RGB", (16, 16), (i, 2, 3)).save(tmp_path / f"{i}.png")
    np.save(tmp_path / "labels.npy", np.zeros((16, 16)))
    images = load(tmp_path)
    assert len(images) == 2
    assert images.found.others == {".npy": 1}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.zeros(9), r"float64 \(9,\) is no picture"),
        (np.zeros((4, 4, 4, 4)), "is no picture"),
        (np.zeros((100, 16, 100)), "at most 64 channels"),
        (np.array([["a"]]), "is no picture"),
        (np.zeros((4, 0, 3)), "is no picture"),
        (np.array([[{}]]), "Python objects|pickle"),
    ],
)
def test_arrays_that_are_no_pictures_have_a_reason(tmp_path, values, words):
    for i in range(2):
        np.save(tmp_path / f"{i}.npy", values)
    with pytest.raises(bt.DataError, match=words):
        load(tmp_path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"channels": 0}, "channels=0: give a whole number from 1"),
        ({"channels": 1.5}, r"channels=1\.5"),
        ({"channels": True}, "channels=True"),
        ({"bits": 12}, "bits=12: choose 8 or 16"),
    ],
)
def test_numbers_that_do_not_exist_are_refused(tmp_path, options, words):
    with pytest.raises(bt.DataError, match=words):
        load(tmp_path, **options)
    with pytest.raises(bt.DataError, match="it is for folder:PATH"):
        bt.load("shapes", channels=1)


@pytest.mark.parametrize("turn", range(1, 9))
def test_bands_are_turned_upright(tmp_path, turn):
    """As Pillow turns a picture with the same tag."""
    values = RNG.integers(0, 256, (6, 9, 3)).astype(np.uint8)
    image = Image.fromarray(values)
    image.getexif()[274] = turn
    exif = image.getexif()
    image.save(tmp_path / "a.tif", exif=exif)
    from PIL import ImageOps

    with Image.open(tmp_path / "a.tif") as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened))
    np.testing.assert_array_equal(bands._upright(values, turn), expected)


KINDS = ["?", "i1", "i2", "i4", "i8", "u4", "u8", "f2", "f8", ">u2", ">i4", ">f4"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_numbers_of_every_type_go_from_black_to_white(tmp_path, kind, stream):
    """The range is that of the values: own ends of signed numbers, a full scale of others."""
    steps = np.tile(np.arange(16), (16, 1))
    low, high = {"b": (0, 1), "f": (0, 1), "u": (0, 4095)}.get(np.dtype(kind).kind, (-100, 125))
    values = (steps > 7) if kind == "?" else (low + (high - low) * steps / 15).astype(kind)
    for i in range(2):
        np.save(tmp_path / f"{i}.npy", values)
    images = load(tmp_path, stream=stream)
    assert images.bits == (8 if kind == "?" else 16)
    expected = (values.astype(np.float64) - low) / (high - low)
    read = images.sample(2).images[0, 0].numpy() / (2**images.bits - 1)
    np.testing.assert_allclose(read, expected, atol=1 / (2**images.bits - 1))
    eight = load(tmp_path, stream=stream, bits=8).sample(2).images[0, 0].numpy()
    np.testing.assert_allclose(eight, expected * 255, atol=0.51)


def test_signed_bytes_are_not_black_where_no_range_was_found():
    values = np.full((8, 8, 1), 127, np.int8)
    assert to_tensor(bands.Bands(values), Reading(8, 1)).unique().tolist() == [255]


def write_array(path: Path, values: np.ndarray) -> Path:
    np.save(path.with_suffix(".npy"), values)
    return path.with_suffix(".npy")


def write_tiff(path: Path, values: np.ndarray, **options) -> Path:
    tiff(path.with_suffix(".tif"), values, **({"photometric": "minisblack"} | options))
    return path.with_suffix(".tif")


@pytest.mark.parametrize("write", [write_array, write_tiff])
@pytest.mark.parametrize(
    ("shape", "last"),
    [((8, 8, 13), True), ((13, 8, 8), False), ((5, 5, 60), True), ((2, 2, 3), True), ((9, 100, 100), False),
     ((48, 32, 3), True), ((3, 32, 48), False), ((80, 50, 30), True), ((4, 90, 70), False)],
)  # fmt: skip
def test_the_odd_axis_is_that_of_the_channels(tmp_path, write, shape, last):
    values = RNG.integers(0, 256, shape, dtype=np.uint8)
    file = write(tmp_path / "a", values)
    expected = values if last else values.transpose(1, 2, 0)
    np.testing.assert_array_equal(bands.read_bands(file).values, expected)
    height, width, channels = expected.shape
    assert bands.shape_of(file)[:3] == (width, height, channels)
    header = read_header(file)
    assert (header.size, header.channels) == ((width, height), channels)


@pytest.mark.parametrize("shape", [(20, 24, 13), (8, 8, 8), (16, 40, 16), (13, 24, 20), (3, 20, 4)])
def test_channels_that_may_be_first_or_last_are_refused(tmp_path, shape):
    words = rf"may have {shape[2]} channels last or {shape[0]} first: "
    for write, remedy in ((write_array, "bt.images_from"), (write_tiff, "metadata={'axes'")):
        folder = tmp_path / write.__name__
        folder.mkdir()
        for i in range(2):
            write(folder / str(i), np.zeros(shape, np.uint8))
        with pytest.raises(bt.DataError, match=words) as refused:
            load(folder)
        assert remedy in str(refused.value)


@pytest.mark.parametrize("axes", ["YXC", "CYX", "ZYX"])
def test_named_axes_of_a_tiff_are_believed(tmp_path, axes):
    values = RNG.integers(0, 256, (20, 24, 13), dtype=np.uint8)
    file = write_tiff(tmp_path / "a", values, metadata={"axes": axes})
    expected = {"YXC": values, "CYX": values.transpose(1, 2, 0), "ZYX": values[0, :, :, None]}[axes]
    np.testing.assert_array_equal(bands.read_bands(file).values, expected)


@pytest.mark.parametrize("shape", [(100, 8, 8), (8, 8, 100)])
def test_more_channels_than_are_read_are_not_taken_for_a_side(tmp_path, shape):
    file = write_array(tmp_path / "a", np.zeros(shape))
    with pytest.raises(ValueError, match="at most 64 channels"):
        bands.read_bands(file)


@pytest.mark.parametrize("write", [write_array, write_tiff])
@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
def test_a_picture_that_takes_too_much_memory_is_left_out_unread(tmp_path, monkeypatch, write, kind):
    """Pillow's limit, twice 256 pixels here, allows four bytes a pixel: 2,048."""
    pytest.importorskip("tifffile")
    shape = (7, 7, 32 // np.dtype(kind).itemsize)
    for i in range(2):
        write(tmp_path / f"small{i}", np.ones(shape, kind))
    large = write(tmp_path / "large", np.ones((9, 9, shape[2]), kind))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 256)
    words = rf"large\.\w+ \(its 9 × 9 × {shape[2]} values take 2,592 bytes, and at most 2,048 are read"
    with pytest.raises(bt.DataError, match=words):
        load(tmp_path)
    assert len(load(tmp_path, corrupt="skip")) == 2
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert bands.read_bands(large).values.shape == (9, 9, shape[2])


def test_a_small_file_cannot_ask_for_gigabytes(tmp_path, monkeypatch):
    """A TIFF of a few hundred bytes, whose header names 300,000 × 300,000 pixels of 5 channels, and a sparse array."""
    tifffile = pytest.importorskip("tifffile")
    asked = write_tiff(tmp_path / "asked", np.zeros((16, 16, 5), np.uint8), planarconfig="contig", metadata=None)
    with tifffile.TiffFile(asked, mode="r+b") as opened:
        for name in ("ImageWidth", "ImageLength"):
            opened.pages[0].tags[name].overwrite(300_000, dtype="I")
    sparse = np.lib.format.open_memmap(tmp_path / "sparse.npy", "w+", np.uint8, (100_000, 100_000))
    del sparse
    monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", lambda *_, **__: pytest.fail("pixels were asked for"))
    for file in (asked, tmp_path / "sparse.npy"):
        with pytest.raises(ValueError, match="bytes, and at most 715,827,880 are read"):
            bands.read_bands(file)


@pytest.mark.slow
def test_a_damaged_tiff_writes_no_line_of_its_own(tmp_path):
    """In a process of its own, because pytest catches what is logged."""
    file = write_tiff(tmp_path / "a", np.zeros((16, 16, 5), np.uint8), planarconfig="contig")
    content = bytearray(file.read_bytes())
    file.write_bytes(content[: len(content) // 2])
    log = "logging.getLogger('tifffile').warning('a line of tifffile')"
    read = f"import byol_tutorial.data.decode as d\ntry: d.open_picture({str(file)!r})\nexcept Exception: pass"
    command = [sys.executable, "-c", f"import logging\n{read}\n{log}"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stderr == ""


@pytest.mark.parametrize("channels", [1, 5])
def test_signed_bytes_of_a_tiff_are_not_wrapped(tmp_path, channels):
    """Pillow reads those of a grey file as unsigned ones."""
    values = np.tile(np.linspace(-100, 125, 16).round().astype(np.int8), (16, 1))
    for i in range(2):
        contiguous(tmp_path / f"{i}.tif", values[:, :, None].repeat(channels, axis=2) if channels > 1 else values)
    read = load(tmp_path, channels=channels).images[0]
    expected = (values.astype(float) + 100) / 225
    np.testing.assert_allclose(read.numpy() / 65535, np.stack([expected] * channels), atol=1e-4)
