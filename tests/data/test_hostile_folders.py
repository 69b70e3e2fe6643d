"""Folders that would silently be read wrongly: archives in archives, names that look alike, gaps, strips, animations."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from byol_tutorial.config.errors import DataError
from byol_tutorial.data.loading import load

RNG = np.random.default_rng(0)


def picture(file, height=16, width=16):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(file)
    return file


def fill(folder, n=5):
    return [picture(folder / f"{i}.png") for i in range(n)]


def folder(path, **options):
    return load(f"folder:{path}", **options)


def told(images):
    return "\n".join(images.found.lines())


# --- splits within splits -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "named"),
    [
        (("train/train", "test/test"), "train/train"),  # an archive unpacked into a folder of its own name
        (("train/train/a", "train/train/b", "train/test/a", "train/test/b"), "train"),
        (("photos/Train/a", "photos/Val/a"), "photos"),
        (("test/a", "test/b"), "test"),
    ],
)
def test_a_split_is_no_class_and_the_folder_to_give_is_named(tmp_path, made, named):
    for place in made:
        fill(tmp_path / place)
    with pytest.raises(DataError, match="labels='folders' if its sub-folders are classes") as error:
        folder(tmp_path)
    assert f"give folder:{tmp_path / named}," in str(error.value)
    assert len(folder(tmp_path / named)) >= 4
    if len(made) != 2 or made[0] != "train/train":  # which have no class in common
        assert folder(tmp_path, labels="folders").classes  # if the user insists


def test_a_class_named_train_among_others_is_one(tmp_path):
    for name in ("bus", "car", "train"):
        fill(tmp_path / "train" / name)
        fill(tmp_path / "test" / name)
    assert folder(tmp_path).classes == folder(tmp_path / "train").classes == ("bus", "car", "train")


def test_splits_within_the_classes_are_told(tmp_path):
    for place in ("cat/train", "cat/test", "dog/train", "dog/test"):
        fill(tmp_path / place)
    with pytest.warns(UserWarning, match="class 'cat' .* which are not used as such"):
        assert folder(tmp_path).classes == ("cat", "dog")


def test_one_folder_around_the_classes_is_told(tmp_path):
    for name in ("cat", "dog"):
        fill(tmp_path / "photos" / name)
    with pytest.warns(UserWarning, match="one class, 'photos'; .* give folder:.*photos"):
        assert folder(tmp_path).classes == ("photos",)
    assert folder(tmp_path / "photos").classes == ("cat", "dog")


def test_classes_of_the_test_images_alone_are_no_labels(tmp_path):
    fill(tmp_path / "train")
    fill(tmp_path / "test" / "a")
    fill(tmp_path / "test" / "b")
    images, tests = folder(tmp_path), folder(tmp_path, split="test")
    assert images.labels is tests.labels is None
    assert (len(images), len(tests)) == (5, 10)
    assert "train/ has no sub-folders, so those of test/ are no classes" in told(images)


def test_a_run_folder_is_no_data(tmp_path):
    fill(tmp_path / "figures")
    for name in ("settings.json", "checkpoint.pt"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(DataError, match="is a run folder, and its figures are no data"):
        folder(tmp_path)


@pytest.mark.parametrize("name", ["folder:", "folder:~nobody-of-this-name/x", "folder:$NOT_SET_ANYWHERE"])
def test_a_name_that_leads_nowhere_is_refused(name):
    with pytest.raises(DataError, match=r"names no folder|does not exist"):
        load(name)


def test_a_variable_in_the_path_is_replaced(tmp_path, monkeypatch):
    fill(tmp_path / "mine")
    monkeypatch.setenv("PLACE", str(tmp_path))
    assert len(folder("$PLACE/mine")) == 4


# --- names ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("one", "other"), [("\u00e9cole", "e\u0301cole"), ("Cat", "cat"), ("cat", "cat ")])
def test_classes_whose_names_look_alike_are_told(tmp_path, one, other):
    for name in (one, other, "dog"):
        fill(tmp_path / name)
    if len(os.listdir(tmp_path)) < 3:
        pytest.skip("this file system takes both for one name")
    images = folder(tmp_path)
    assert set(images.classes) == {one, other, "dog"}
    assert set(images.found.alike) == {one, other}
    assert f"different classes, although their names look alike: {min(one, other)!a}, " in told(images)


def test_a_class_is_the_same_in_both_splits_however_its_accents_are_encoded(tmp_path):
    for split, name in (("train", "\u00e9cole"), ("test", "e\u0301cole")):
        fill(tmp_path / split / name)
        fill(tmp_path / split / "b")
    images, tests = folder(tmp_path), folder(tmp_path, split="test")
    assert images.classes == tests.classes == ("b", "\u00e9cole")
    assert tests.labels.tolist() == [0] * 5 + [1] * 5
    assert images.found.alike == ()


def test_both_encodings_of_an_accent_in_both_splits_are_the_same_two_classes(tmp_path):
    for split in ("train", "test"):
        for name in ("\u00e9cole", "e\u0301cole"):
            fill(tmp_path / split / name)
    if len(os.listdir(tmp_path / "train")) < 2:
        pytest.skip("this file system takes both for one name")
    images, tests = folder(tmp_path), folder(tmp_path, split="test")
    assert images.classes == tests.classes
    assert len(tests.labels.unique()) == 2
    assert tests.labels.bincount().tolist() == images.labels.bincount().tolist()


def test_a_class_of_the_test_images_in_another_case_is_refused(tmp_path):
    for split, name in (("train", "Cat"), ("test", "cat")):
        fill(tmp_path / split / name)
        fill(tmp_path / split / "b")
    with pytest.raises(DataError, match=r"class 'cat' .* is not one of train/: Cat, b; rename it"):
        folder(tmp_path, split="test")


def test_names_cannot_break_a_line_nor_steer_the_terminal(tmp_path):
    fill(tmp_path / "two\nlines", 3)
    fill(tmp_path / "\x1b[31mred")
    (tmp_path / "two\nlines" / "a.\x1b[2J").touch()
    (tmp_path / ".hid\nden").mkdir()
    lines = folder(tmp_path).found.lines()
    assert all(line.isprintable() for line in lines)
    assert any(r"two\nlines" in line for line in lines)


def test_hidden_images_are_counted_and_resource_forks_are_not(tmp_path):
    fill(tmp_path)
    picture(tmp_path / "x.png").rename(tmp_path / ".x.png")
    picture(tmp_path / "y.png").rename(tmp_path / "._y.png")
    (tmp_path / ".DS_Store").touch()
    images = folder(tmp_path)
    assert (images.found.hidden, images.found.hidden_images) == (3, 1)
    assert "not used, hidden by a dot before the name: 1 with the ending of an image" in told(images)


def test_what_was_left_out_says_how_to_keep_it(tmp_path):
    fill(tmp_path / "cat")
    fill(tmp_path / "lost+found")
    assert "(to use one of these, rename it, or give it as folder:PATH)" in told(folder(tmp_path))
    assert len(folder(tmp_path / "lost+found")) == 4


# --- files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["gif", "webp", "png", "tif"])
def test_an_animation_shows_its_first_frame_and_it_is_told(tmp_path, ending):
    fill(tmp_path, 2)
    frames = [Image.fromarray(np.full((16, 16, 3), level, np.uint8)) for level in (30, 120, 250)]
    for frame in frames:
        frame.putpixel((0, 0), (90, 90, 90))  # otherwise equal frames might be joined
    frames[0].save(tmp_path / f"moving.{ending}", save_all=True, append_images=frames[1:], lossless=True)
    images = folder(tmp_path, holdout=0.0)
    assert "1 of 3 files looked at hold several pages or frames: only the first is used" in told(images)
    assert images.images[-1, :, 8, 8].tolist() == [30, 30, 30]


def test_times_and_depths_of_a_tiff_that_are_dropped_are_told(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    for i in range(3):
        stack = RNG.integers(0, 4000, (3, 2, 16, 16)).astype("u2")  # depths, channels
        tifffile.imwrite(tmp_path / f"{i}.tif", stack, imagej=True, metadata={"axes": "ZCYX"})
    images = folder(tmp_path)
    assert images.channels == 2
    assert "3 of 3 files looked at hold several pages or frames" in told(images)


def test_pages_that_are_channels_are_not_said_to_be_dropped(tmp_path):
    for i in range(3):
        pages = [Image.fromarray(RNG.integers(0, 256, (16, 16), dtype=np.uint8)) for _ in range(2)]
        pages[0].save(tmp_path / f"{i}.tif", save_all=True, append_images=pages[1:])
    assert "3 of 3 files" in told(folder(tmp_path))
    assert "several pages" not in told(folder(tmp_path, channels=2))


def write_png_16_bits(file, values):
    """Write (H, W, 2) as a PNG of grey and opacity, 16 bits each, which Pillow cannot."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, 4, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def test_grey_with_opacity_keeps_its_16_bits(tmp_path):
    values = RNG.integers(0, 65536, (16, 16, 2))
    values[..., 1] = 65535
    for i in range(3):
        write_png_16_bits(tmp_path / f"{i}.png", values)
    images = folder(tmp_path)
    assert images.bits == 16
    np.testing.assert_array_equal(images.images[0, 0].numpy(), values[..., 0])


@pytest.mark.parametrize("options", [{}, {"value_range": (0, 1)}])
def test_values_that_are_no_numbers_are_told(tmp_path, options):
    for i in range(4):
        values = RNG.random((16, 16)).astype(np.float32)
        values[0, :2] = [(np.nan, np.inf), (np.nan, np.nan), (-np.inf, 0), (0, 1)][i]
        np.save(tmp_path / f"{i}.npy", values)
    images = folder(tmp_path, holdout=0.0, **options)
    assert "3 of the files whose values were looked at have some that are no numbers" in told(images)
    most = images.images.int().max()
    assert images.images[0, 0, 0, :2].tolist() == [0, most]
    assert images.images[2, 0, 0, 0] == 0


@pytest.mark.parametrize(("height", "width"), [(2, 5000), (5000, 2), (10, 41)])
def test_strips_of_which_most_is_cut_away_are_told(tmp_path, height, width):
    fill(tmp_path)
    picture(tmp_path / "strip.png", height, width)
    images = folder(tmp_path)
    assert images.found.strips == 1
    assert "1 of 6 files looked at are strips, of which only a square in the middle is used" in told(images)


def big_endian(x):
    return x.astype(">u2")


@pytest.mark.parametrize("form", [big_endian, np.asfortranarray, lambda x: x[::-1, ::-1][::-1, ::-1]])
def test_the_order_of_bytes_and_axes_in_memory_changes_no_value(tmp_path, form):
    values = RNG.integers(0, 4096, (5, 16, 16)).astype(np.uint16)
    for i, value in enumerate(values):
        (tmp_path / "a").mkdir(exist_ok=True)
        (tmp_path / "b").mkdir(exist_ok=True)
        np.save(tmp_path / "a" / f"{i}.npy", value)
        np.save(tmp_path / "b" / f"{i}.npy", form(value))
    plain, other = (folder(tmp_path / name).images for name in "ab")
    np.testing.assert_array_equal(plain.numpy(), other.numpy())
