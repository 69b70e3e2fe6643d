"""load(): embedded sets, image folders, torchvision sets; the conversion of pictures; bad input."""

import inspect
import re
import urllib.error
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.datasets
from PIL import Image, features
from sklearn.datasets import load_digits

from byol_tutorial.config.errors import DataError
from byol_tutorial.data.image_set import ImageSet
from byol_tutorial.data.loading import SOURCES, load
from byol_tutorial.data.request import Request, in_memory
from byol_tutorial.data.torchvision_sets import TORCHVISION

RNG = np.random.default_rng(0)


def noise(height: int = 8, width: int = 8, channels: int = 3) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, channels), dtype=np.uint8)


def plain(path: Path, red: int, size: tuple[int, int] = (8, 8)) -> Path:
    """A picture of one colour, by which it is known again after loading."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (red, 0, 0)).save(path)
    return path


def reds(images: ImageSet) -> list[int]:
    return images.images[:, 0, 0, 0].tolist()


def folder(path: Path, **options) -> ImageSet:
    return load(f"folder:{path}", **options)


@pytest.fixture(scope="module")
def shapes() -> dict[str, ImageSet]:
    return {split: load("shapes", split) for split in ("train", "test")}


@pytest.fixture(scope="module")
def digits() -> dict[str, ImageSet]:
    return {split: load("digits", split, size=8) for split in ("train", "test")}


# --- ImageSet -----------------------------------------------------------------------------------


def test_index_keeps_images_labels_and_factors_together(shapes):
    train = shapes["train"]
    for index in (slice(3, 6), torch.tensor([5, 1]), train.labels == 4):
        part = train[index]
        assert torch.equal(part.images, train.images[index])
        assert torch.equal(part.labels, train.labels[index])
        assert torch.equal(part.factors.hue, train.factors.hue[index])
        assert part.classes == train.classes


def test_sample_draws_without_repetition_and_the_same_for_the_same_seed(shapes):
    train = shapes["train"]
    hues = train.sample(50, seed=1).factors.hue
    assert len(hues.unique()) == 50
    assert torch.equal(hues, train.sample(50, seed=1).factors.hue)
    assert not torch.equal(hues, train.sample(50, seed=2).factors.hue)
    assert torch.equal(train[:9].sample(20).images, train[:9].images)  # all of them if there are no more


def test_statistics_are_those_of_each_channel():
    pictures = RNG.integers(0, 256, (20, 3, 8, 8), dtype=np.uint8)
    pictures[:, 2] = 51  # a channel without variation must not make a division by zero
    mean, std = ImageSet("x", "train", torch.from_numpy(pictures)).statistics()
    assert mean == pytest.approx(pictures.mean((0, 2, 3)) / 255)
    assert std[:2] == pytest.approx(pictures.std((0, 2, 3))[:2] / 255, rel=1e-3)
    assert 0 < std[2] < 0.01


def test_statistics_are_of_at_most_4096_images():
    pictures = RNG.integers(0, 256, (8190, 3, 1, 1), dtype=np.uint8)
    mean, std = ImageSet("x", "train", torch.from_numpy(pictures)).statistics()
    assert mean == pytest.approx(pictures[::2].mean((0, 2, 3)) / 255)
    assert std == pytest.approx(pictures[::2].std((0, 2, 3), ddof=1) / 255)


def test_batches_are_all_images_in_order(shapes):
    train = shapes["train"][:10]
    assert [len(batch) for batch in train.batches(4)] == [4, 4, 2]
    assert torch.equal(torch.cat(list(train.batches(4))), train.images)
    assert train.image_size == (32, 32)


def test_repr_tells_name_split_number_size_and_classes(digits):
    assert repr(digits["test"]) == "ImageSet('digits', test: 359 images of 8×8 px, 10 classes)"


# --- shapes -------------------------------------------------------------------------------------


def test_shapes_have_the_documented_sizes_and_types(shapes):
    for split, n in (("train", 4096), ("test", 2048)):
        images = shapes[split]
        assert images.images.shape == (n, 3, 32, 32)
        assert images.images.dtype == torch.uint8
        assert images.labels.dtype == torch.int64
        assert torch.equal(images.labels, images.factors.shape)
        assert len(images.classes) == len(images.labels.unique()) == 10


def test_shapes_are_the_same_for_the_same_seed_and_others_for_another(shapes):
    train = shapes["train"]
    assert torch.equal(load("shapes").images, train.images)
    other = load("shapes", seed=1)
    assert not torch.equal(other.labels, train.labels)
    assert not torch.equal(other.images, train.images)


def test_shapes_of_train_and_test_have_no_picture_in_common(shapes):
    hues = [set(images.factors.hue.tolist()) for images in shapes.values()]
    assert len(hues[0] & hues[1]) < 10  # equal hues by chance, in 24 bits: one expected pair
    digests = [{picture.numpy().tobytes() for picture in images.images} for images in shapes.values()]
    assert not digests[0] & digests[1]


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize(("name", "limit", "seed"), [("shapes", 2, 0), ("shapes", 333, 3), ("photographs", 30, 1)])
def test_images_within_a_limit_are_those_of_the_whole_set(name, limit, seed, split):
    """They are made without the others, bit for bit as among them."""
    some, expected = load(name, split, limit=limit, seed=seed), load(name, split, seed=seed).sample(limit, seed)
    assert torch.equal(some.images, expected.images)
    assert torch.equal(some.labels, expected.labels)
    if name == "shapes":
        for factor, values in vars(expected.factors).items():
            assert torch.equal(getattr(some.factors, factor), values)


def test_limit_and_size(shapes):
    few = load("shapes", limit=30, size=16)
    assert few.images.shape == (30, 3, 16, 16)
    assert torch.equal(few.labels, few.factors.shape)
    assert torch.equal(few.images, load("shapes", limit=30, size=16).images)
    assert not torch.equal(few.labels, load("shapes", limit=30, size=16, seed=1).labels)
    assert set(few.factors.hue.tolist()) <= set(shapes["train"].factors.hue.tolist())


# --- digits -------------------------------------------------------------------------------------


def test_digits_are_scikit_learns_divided_without_loss_or_overlap(digits):
    bunch = load_digits()
    grey = (bunch.images * 255 / 16).round().astype(np.uint8)
    expected = sorted((image.tobytes(), int(label)) for image, label in zip(grey, bunch.target, strict=True))
    found = []
    for images in digits.values():
        assert torch.equal(images.images[:, 0], images.images[:, 1])
        assert torch.equal(images.images[:, 0], images.images[:, 2])
        pairs = zip(images.images[:, 0].numpy(), images.labels.tolist(), strict=True)
        found += [(image.tobytes(), label) for image, label in pairs]
    assert sorted(found) == expected
    assert [len(digits["train"]), len(digits["test"])] == [1438, 359]


def test_digits_classes_name_the_labels(digits):
    for images in digits.values():
        assert images.classes == tuple(str(c) for c in load_digits().target_names)
        assert images.labels.unique().tolist() == list(range(10))
    assert torch.equal(load("digits", size=8).images, digits["train"].images)
    assert load("digits", limit=3).images.shape == (3, 3, 32, 32)


# --- folders ------------------------------------------------------------------------------------


def test_class_folders_give_labels_in_alphabetical_order(tmp_path):
    for i in range(10):
        plain(tmp_path / "zebra" / f"{i}.png", 100 + i)
        plain(tmp_path / "ant" / f"{i}.JPG", 0)
    train = folder(tmp_path)
    assert train.classes == ("ant", "zebra")
    assert train.labels.dtype == torch.int64
    assert train.labels.tolist() == [int(red > 50) for red in reds(train)]


def test_flat_folder_has_no_labels(tmp_path):
    for i in range(10):
        plain(tmp_path / f"{i}.png", 10 * i)
    train, test = folder(tmp_path), folder(tmp_path, split="test")
    assert train.labels is None
    assert train.classes == ()
    assert "no labels" in repr(train)
    assert (len(train), len(test)) == (8, 2)
    assert sorted(reds(train) + reds(test)) == [10 * i for i in range(10)]


def test_division_is_80_to_20_in_every_class_disjoint_complete_and_repeatable(tmp_path):
    for i in range(10):
        plain(tmp_path / "a" / f"{i}.png", i)
    for i in range(5):
        plain(tmp_path / "b" / f"{i}.png", 100 + i)
    for i in range(2):
        plain(tmp_path / "c" / f"{i}.png", 200 + i)
    train, test = folder(tmp_path), folder(tmp_path, split="test")
    assert train.labels.bincount().tolist() == [8, 4, 1]
    assert test.labels.bincount().tolist() == [2, 1, 1]
    assert sorted(reds(train) + reds(test)) == [*range(10), *range(100, 105), 200, 201]
    assert reds(folder(tmp_path)) == reds(train)
    assert reds(folder(tmp_path, split="test")) == reds(test)
    for images in (train, test):
        assert images.labels.tolist() == [red // 100 for red in reds(images)]


@pytest.mark.parametrize("name", ["test", "val"])
def test_own_split_is_kept(tmp_path, name):
    for i in range(4):
        for c, red in (("a", 0), ("b", 100)):
            plain(tmp_path / "train" / c / f"{i}.png", red + i)
    for i in range(2):
        plain(tmp_path / name / "b" / f"{i}.png", 150 + i)
    train, test = folder(tmp_path), folder(tmp_path, split="test")
    assert reds(train) == [0, 1, 2, 3, 100, 101, 102, 103]
    assert train.labels.tolist() == [0] * 4 + [1] * 4
    assert reds(test) == [150, 151]
    assert test.labels.tolist() == [1, 1]  # "b" means the same as in train, though "a" is missing
    assert test.classes == train.classes == ("a", "b")


def test_class_that_only_the_test_folder_has_is_refused(tmp_path):
    for file in ("train/a/0", "train/a/1", "train/b/0", "train/b/1", "test/a/0", "test/c/0"):
        plain(tmp_path / f"{file}.png", 0)
    with pytest.raises(DataError, match=r"'c'.*a, b"):
        folder(tmp_path, split="test")


def test_train_folder_alone_has_no_test_images(tmp_path):
    for i in range(4):
        plain(tmp_path / "train" / f"{i}.png", i)
    assert reds(folder(tmp_path)) == [0, 1, 2, 3]
    with pytest.raises(DataError, match=r"no test/ or val/"):
        folder(tmp_path, split="test")


def test_class_named_train_among_others_is_a_class(tmp_path):
    for c in ("bus", "car", "train"):
        for i in range(2):
            plain(tmp_path / c / f"{i}.png", i)
    assert folder(tmp_path).classes == ("bus", "car", "train")


def test_hidden_files_macosx_folders_and_other_files_are_ignored(tmp_path):
    for i in range(5):
        for c in "ab":
            plain(tmp_path / c / f"{i}.png", i)
    plain(tmp_path / "__MACOSX" / "a" / "0.png", 200)
    plain(tmp_path / ".thumbnails" / "0.png", 200)
    plain(tmp_path / "a" / ".thumbnails" / "0.png", 200)
    (tmp_path / "a" / "._0.png").write_bytes(b"resource fork")
    (tmp_path / "a" / ".DS_Store").write_bytes(b"finder")
    (tmp_path / "b" / "notes.txt").write_text("no picture")
    (tmp_path / "b" / "paper.pdf").write_bytes(b"%PDF-1.7")
    train, test = folder(tmp_path), folder(tmp_path, split="test")
    assert train.classes == ("a", "b")
    assert sorted(reds(train) + reds(test)) == sorted([*range(5)] * 2)


def test_files_nested_in_a_class_belong_to_it(tmp_path):
    plain(tmp_path / "a" / "2020" / "june" / "0.png", 10)
    plain(tmp_path / "a" / "1.png", 11)
    plain(tmp_path / "b" / "deep" / "0.png", 20)
    plain(tmp_path / "b" / "deep" / "1.png", 21)
    train, test = folder(tmp_path), folder(tmp_path, split="test")
    assert train.classes == ("a", "b")
    assert train.labels.tolist() == test.labels.tolist() == [0, 1]
    assert sorted(reds(train) + reds(test)) == [10, 11, 20, 21]


def test_images_beside_the_class_folders_are_reported_and_not_used(tmp_path):
    for i in range(3):
        for c in "ab":
            plain(tmp_path / c / f"{i}.png", i)
    for i in range(2):
        stray = plain(tmp_path / f"stray{i}.png", 200)
    with pytest.warns(UserWarning, match=rf"2 images lie in '{re.escape(str(tmp_path))}'.*stray0\.png.*move them"):
        train = folder(tmp_path)
    assert max(reds(train)) < 200
    stray.unlink()
    with pytest.warns(UserWarning, match="1 image lies"):
        folder(tmp_path)


@pytest.mark.parametrize("stray", ["x.png", "train/x.png", "test/x.png"])
def test_images_beside_train_or_in_it_beside_its_classes_are_reported(tmp_path, stray):
    for i in range(2):
        for part in ("train/a", "train/b", "test/a"):
            plain(tmp_path / part / f"{i}.png", i)
    plain(tmp_path / stray, 200)
    with pytest.warns(UserWarning, match=f"1 image lies in.*{re.escape(str(tmp_path / stray))}"):
        test = folder(tmp_path, split="test")
    assert reds(test) == [0, 1]


def test_folders_in_order_give_no_warning(tmp_path, recwarn):
    for i in range(3):
        plain(tmp_path / "flat" / f"{i}.png", i)
        plain(tmp_path / "classes" / "a" / "deep" / f"{i}.png", i)
        plain(tmp_path / "split" / "train" / f"{i}.png", i)
        plain(tmp_path / "split" / "test" / f"{i}.png", i)
    for name in ("flat", "classes", "split"):
        (tmp_path / name / ".hidden.png").touch()
        (tmp_path / name / "notes.txt").touch()
        folder(tmp_path / name)
    folder(tmp_path / "split", split="test")
    assert [str(w.message) for w in recwarn] == []


def test_limit_of_a_folder(tmp_path):
    for i in range(20):
        plain(tmp_path / f"{i:02}.png", i)
    few = folder(tmp_path, limit=5)
    assert len(set(reds(few))) == 5
    assert reds(few) == reds(folder(tmp_path, limit=5))
    assert reds(few) != reds(folder(tmp_path, limit=5, seed=1))


def test_home_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for i in range(4):
        plain(tmp_path / "pictures" / f"{i}.png", i)
    assert len(load("folder:~/pictures")) == 3


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({(12, 12)}, 12),  # equal, square and small: as they are
        ({(96, 96)}, 96),
        ({(97, 97)}, 96),  # too large
        ({(12, 10)}, 96),  # not square
        ({(12, 12), (14, 14)}, 96),  # not equal
    ],
)
def test_default_size(tmp_path, sizes, expected):
    for k, size in enumerate(sizes):
        for i in range(3):
            plain(tmp_path / "train" / f"{k}{i}.png", 0, size)
    assert folder(tmp_path).images.shape == (3 * len(sizes), 3, expected, expected)


@pytest.mark.parametrize("odd", range(10))
def test_both_splits_have_the_same_size_wherever_the_odd_picture_falls(tmp_path, odd):
    for i in range(10):
        plain(tmp_path / f"{i}.png", 0, (9, 9) if i == odd else (8, 8))
    assert folder(tmp_path).images.shape[2:] == folder(tmp_path, split="test").images.shape[2:] == (96, 96)


def test_test_images_of_an_own_split_are_brought_to_the_size_of_the_train_images(tmp_path):
    for i in range(2):
        plain(tmp_path / "train" / f"{i}.png", 0, (10, 10))
        plain(tmp_path / "test" / f"{i}.png", 0, (20, 20))
    assert folder(tmp_path, split="test").images.shape == (2, 3, 10, 10)


# --- conversion ---------------------------------------------------------------------------------


def converted(path: Path, save, suffix: str = ".png", mode: str | None = None, size: int | None = None) -> np.ndarray:
    """int (H, W, 3): the picture that `save(file)` writes, loaded from a folder. `mode`: what Pillow opens it as."""
    (path / "train").mkdir()
    for name in "ab":
        save(path / "train" / f"{name}{suffix}")
    if mode is not None:
        with Image.open(path / "train" / f"a{suffix}") as image:
            assert image.mode == mode  # else this tests another conversion than it says
    images = folder(path, size=size, bits=8).images
    assert images.dtype == torch.uint8
    assert torch.equal(images[0], images[1])
    return images[0].permute(1, 2, 0).numpy().astype(int)


def on_white(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    alpha = alpha[..., None] / 255
    return colour * alpha + 255 * (1 - alpha)


def grey3(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, axis=2)


def test_rgb_is_kept(tmp_path):
    x = noise()
    assert (converted(tmp_path, Image.fromarray(x).save) == x).all()


def test_grayscale(tmp_path):
    x = noise()[..., 0]
    assert (converted(tmp_path, Image.fromarray(x).save, mode="L") == grey3(x)).all()


def test_one_bit(tmp_path):
    x = noise()[..., 0] > 127
    assert (converted(tmp_path, Image.fromarray(x).save, mode="1") == grey3(x * 255)).all()


def test_rgba_is_laid_on_white(tmp_path):
    x = noise(channels=4)
    x[0, :, 3], x[1, :, 3] = 0, 255
    found = converted(tmp_path, Image.fromarray(x, "RGBA").save, mode="RGBA")
    assert (found[0] == 255).all()
    assert (found[1] == x[1, :, :3]).all()
    assert np.abs(found - on_white(x[..., :3], x[..., 3])).max() <= 1


def test_gray_with_alpha_is_laid_on_white(tmp_path):
    x = noise(channels=2)
    found = converted(tmp_path, Image.fromarray(x, "LA").save, mode="LA")
    assert np.abs(found - on_white(grey3(x[..., 0]), x[..., 1])).max() <= 1


def test_gray_with_a_transparent_value_is_laid_on_white(tmp_path):
    x = noise()[..., 0] // 64
    found = converted(tmp_path, lambda file: Image.fromarray(x).save(file, transparency=2), mode="L")
    assert (x == 2).any()
    assert (found == grey3(np.where(x == 2, 255, x))).all()


def indexed() -> tuple[Image.Image, np.ndarray, np.ndarray]:
    """A palette image, its palette (8, 3) and its indices (8, 8)."""
    palette, index = noise(1, 8)[0], noise()[..., 0] % 8
    image = Image.fromarray(index).convert("P")
    image.putdata(index.ravel().tolist())
    image.putpalette(palette.tobytes())
    return image, palette, index


@pytest.mark.parametrize("suffix", [".png", ".gif", ".bmp"])
def test_palette(tmp_path, suffix):
    image, palette, index = indexed()
    assert (converted(tmp_path, image.save, suffix, mode="P") == palette[index]).all()


def test_palette_with_one_transparent_colour_is_laid_on_white(tmp_path):
    image, palette, index = indexed()
    palette[3] = 255
    found = converted(tmp_path, lambda file: image.save(file, transparency=3), mode="P")
    assert (found == palette[index]).all()


def test_palette_with_an_alpha_for_each_colour_is_laid_on_white(tmp_path):
    image, palette, index = indexed()
    alpha = np.arange(8, dtype=np.uint8) * 36
    found = converted(tmp_path, lambda file: image.save(file, transparency=alpha.tobytes()), mode="P")
    assert np.abs(found - on_white(palette, alpha)[index]).max() <= 1


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_is_divided_by_257(tmp_path, suffix):
    x = RNG.integers(0, 65536, (8, 8), dtype=np.uint16)
    x[0, :3] = 0, 65535, 256
    found = converted(tmp_path, Image.fromarray(x).save, suffix, mode="I;16")
    assert (found == grey3((x.astype(int) + 128) // 257)).all()
    assert found[0, :3, 0].tolist() == [0, 255, 1]


@pytest.mark.parametrize("high", [1, 255, 1023, 4095, 16383, 65535])
@pytest.mark.parametrize("kind", [np.int32, np.uint16])
def test_deep_integers_get_the_full_scale_of_the_fewest_bits_that_hold_them(tmp_path, high, kind):
    x = RNG.integers(0, high + 1, (8, 8)).astype(kind)
    x[0, 0] = high
    found = converted(tmp_path, Image.fromarray(x).save, ".tif", mode="I" if kind == np.int32 else "I;16")
    assert (found == grey3((x.astype(float) * 255 / high).round())).all()


@pytest.mark.parametrize("scale", [1, 255])
def test_floats_are_taken_as_0_to_1_or_as_0_to_255(tmp_path, scale):
    x = noise()[..., 0]
    x[0, :2] = 0, 255
    values = (x / 255 * scale).astype(np.float32)
    values[0, 0] = np.nan
    assert (converted(tmp_path, Image.fromarray(values).save, ".tif", mode="F") == grey3(x)).all()


def test_cmyk(tmp_path):
    x = noise(channels=4)
    found = converted(tmp_path, Image.fromarray(x, "CMYK").save, ".tif", mode="CMYK")
    expected = (255.0 - x[..., :3]) * (255.0 - x[..., 3:]) / 255
    assert np.abs(found - expected).max() <= 1


UPRIGHT = {  # EXIF orientation: what turns the stored picture upright
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_exif_orientation_is_applied(tmp_path, orientation, suffix):
    image = Image.fromarray(noise(16, 16))
    image.save(tmp_path / f".stored{suffix}")
    stored = np.asarray(Image.open(tmp_path / f".stored{suffix}")).astype(int)
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = converted(tmp_path, lambda file: image.save(file, exif=exif), suffix)
    assert (found == UPRIGHT[orientation](stored)).all()


@pytest.mark.parametrize(
    ("height", "width", "rows", "columns"),
    [(15, 9, slice(3, 12), slice(None)), (9, 21, slice(None), slice(6, 15))],
)
def test_odd_sized_images_are_cropped_to_the_centre(tmp_path, height, width, rows, columns):
    x = noise(height, width)
    assert (converted(tmp_path, Image.fromarray(x).save, size=9) == x[rows, columns]).all()


def test_images_are_resized_by_their_shorter_side(tmp_path):
    x = np.zeros((32, 96, 3), np.uint8)
    x[:16, 32:64] = 200  # of the middle third, which is what remains, the upper half
    found = converted(tmp_path, Image.fromarray(x).save, size=8)
    assert (found[:3] > 180).all()
    assert (found[5:] < 20).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1)])
def test_the_smallest_and_thinnest_images_are_loaded(tmp_path, size):
    assert (converted(tmp_path, Image.new("RGB", size, (9, 99, 199)).save) == (9, 99, 199)).all()


def test_of_an_animation_the_first_frame_is_taken(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    found = converted(tmp_path, lambda file: frames[0].save(file, save_all=True, append_images=frames[1:]), ".gif")
    assert (found == (255, 0, 0)).all()


# --- files that cannot be read ------------------------------------------------------------------


def half(suffix: str):
    def write(file: Path) -> None:
        Image.fromarray(noise(64, 64)).save(file.with_suffix(suffix))
        content = file.with_suffix(suffix).read_bytes()
        file.with_suffix(suffix).unlink()
        file.write_bytes(content[: len(content) // 2])

    return write


def overwritten(file: Path) -> None:
    """A good header, and zeros for the picture: Pillow's AVIF reader then raises RuntimeError."""
    Image.fromarray(noise(64, 64)).save(file)
    content = file.read_bytes()
    start = content.find(b"mdat") + 4
    file.write_bytes(content[:start] + bytes(len(content) - start))


DAMAGE = {
    "text.png": lambda file: file.write_text("not a picture"),
    "empty.jpg": lambda file: file.touch(),
    "half.png": half(".png"),
    "half.jpg": half(".jpg"),
    "half.gif": half(".gif"),
    "half.tif": half(".tif"),
    "half.webp": half(".webp"),
    "half.avif": half(".avif"),
    "overwritten.avif": overwritten,
}


@pytest.fixture(params=DAMAGE)
def damaged(request, tmp_path) -> Path:
    """A file that cannot be read, in a folder of two classes and eight good pictures."""
    suffix = Path(request.param).suffix[1:]
    if suffix in ("avif", "webp") and not features.check(suffix):
        pytest.skip("this Pillow does not write the format")
    for i in range(4):
        plain(tmp_path / "train" / "a" / f"{i}.png", i, (64, 64))
        plain(tmp_path / "train" / "z" / f"{i}.png", 100 + i, (64, 64))
    file = tmp_path / "train" / "a" / request.param
    DAMAGE[request.param](file)
    return file


def test_damaged_file_is_refused_by_name(damaged):
    with pytest.raises(DataError, match=f"1 of 9.*{re.escape(str(damaged))}.*skip"):
        folder(damaged.parents[2])


def test_damaged_file_is_left_out_and_listed(damaged):
    train = folder(damaged.parents[2], corrupt="skip")
    assert train.skipped == (str(damaged),)
    assert reds(train) == [0, 1, 2, 3, 100, 101, 102, 103]
    assert train.labels.tolist() == [0] * 4 + [1] * 4
    assert "1 unreadable files left out" in repr(train)


def test_a_damaged_test_file_is_refused_too(tmp_path):
    for i in range(10):
        plain(tmp_path / f"{i}.png", i)
    file = tmp_path / f"{reds(folder(tmp_path, split='test'))[0]}.png"
    file.write_bytes(b"")
    assert len(folder(tmp_path)) == 8
    with pytest.raises(DataError, match=re.escape(str(file))):
        folder(tmp_path, split="test")


def test_many_damaged_files_are_counted_and_the_first_named(tmp_path):
    for i in range(7):
        plain(tmp_path / "train" / f"good{i}.png", i)
        (tmp_path / "train" / f"bad{i}.png").touch()
    with pytest.raises(DataError, match=r"7 of 14.*bad0\.png \(no format.*bad4\.png \(.*\) and 2 more"):
        folder(tmp_path)


@pytest.mark.parametrize("corrupt", ["refuse", "skip"])
def test_only_damaged_files_are_refused(tmp_path, corrupt):
    for i in range(3):
        (tmp_path / f"{i}.png").touch()
    with pytest.raises(DataError, match=r"cannot be read.*0\.png"):
        folder(tmp_path, corrupt=corrupt)


def test_one_image_left_after_skipping_is_refused(tmp_path):
    plain(tmp_path / "train" / "good.png", 1)
    (tmp_path / "train" / "bad.png").touch()
    with pytest.raises(DataError, match=r"1 image.*at least 2"):
        folder(tmp_path, corrupt="skip")


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("cifar11", ["'cifar11'", "did you mean 'cifar1"]),
        ("Shapes", ["'Shapes'", "did you mean 'shapes'"]),
        ("zzzz", ["'zzzz'", "shapes", "digits", "cifar10", "stl10", "folder:PATH"]),
        ("", ["''", "shapes", "folder:PATH"]),
    ],
)
def test_unknown_data_set_gets_a_suggestion(name, named):
    with pytest.raises(DataError) as error:
        load(name)
    assert "unknown data set" in str(error.value)
    assert [part for part in named if part not in str(error.value)] == []


def test_a_name_that_is_no_text_is_refused():
    with pytest.raises(DataError, match=r"data set 7: give its name as text.*folder:PATH"):
        load(7)


def test_an_entry_in_sources_is_all_that_a_new_source_needs(monkeypatch):
    asked = []

    def zeros(request: Request) -> ImageSet:
        asked.append(request)
        return ImageSet(request.name, request.split, torch.zeros(9, 3, 8, 8, dtype=torch.uint8))

    monkeypatch.setitem(SOURCES, "zeros:", zeros)
    assert len(load("zeros:on/the:moon", "test", limit=4)) == 9  # the limit is the source's own affair
    assert (asked[0].name, asked[0].split, asked[0].limit) == ("zeros:on/the:moon", "test", 4)
    monkeypatch.setitem(SOURCES, "zeros", in_memory(zeros))
    assert len(load("zeros", limit=4)) == 4
    with pytest.raises(DataError, match="stream=True: 'zeros' is kept in memory"):
        load("zeros", stream=True)
    with pytest.raises(DataError, match="did you mean 'zeros'"):
        load("zero")


def test_path_without_prefix_gets_the_prefix_suggested(tmp_path):
    with pytest.raises(DataError, match=f"write 'folder:{re.escape(str(tmp_path))}'"):
        load(str(tmp_path))


def no_folder(path: Path) -> Path:
    return path / "nowhere"


def file_for_folder(path: Path) -> Path:
    return plain(path / "picture.png", 0)


def empty_folder(path: Path) -> Path:
    return path


def one_image(path: Path) -> Path:
    plain(path / "only.png", 0)
    return path


def one_image_in_a_class(path: Path) -> Path:
    plain(path / "a" / "only.png", 0)
    return path


def class_without_images(path: Path) -> Path:
    for i in range(4):
        plain(path / "full" / f"{i}.png", i)
    (path / "hollow").mkdir()
    return path


def class_with_text_only(path: Path) -> Path:
    class_without_images(path)
    (path / "hollow" / "notes.txt").write_text("x")
    return path


def text_only(path: Path) -> Path:
    for name in ("a.txt", "b.csv", "c.pdf"):
        (path / name).write_text("x")
    return path


@pytest.mark.parametrize(
    ("build", "named"),
    [
        (no_folder, ["does not exist", "folder:PATH"]),
        (file_for_folder, ["is a file", "folder:PATH"]),
        (empty_folder, ["is empty", "put images"]),
        (one_image, ["1 image", "at least 2"]),
        (one_image_in_a_class, ["1 image", "at least 2"]),
        (class_without_images, ["'hollow'", "no images", "add some, remove the folder"]),
        (class_with_text_only, ["'hollow'", "no images", "add some, remove the folder"]),
        (text_only, ["3 files but no image", ".jpg", "put images"]),
    ],
)
def test_unusable_folder_is_refused_in_one_line_that_names_it(tmp_path, build, named):
    path = build(tmp_path)
    with pytest.raises(DataError) as error:
        folder(path)
    message = str(error.value)
    assert str(tmp_path) in message
    assert [part for part in named if part not in message] == []
    assert "\n" not in message


def test_two_images_that_cannot_be_divided_are_refused_not_trained_on_one(tmp_path):
    plain(tmp_path / "0.png", 0)
    plain(tmp_path / "1.png", 1)
    with pytest.raises(DataError, match=r"1 image.*at least 2"):
        folder(tmp_path)


def test_test_folder_with_one_image_is_refused(tmp_path):
    for i in range(4):
        plain(tmp_path / "train" / f"{i}.png", i)
    plain(tmp_path / "test" / "0.png", 0)
    with pytest.raises(DataError, match="gives test 1 image: at least 2"):
        folder(tmp_path, split="test")


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ({"split": "valid"}, ["'valid'", "train, test"]),
        ({"corrupt": "ignore"}, ["'ignore'", "refuse", "skip"]),
        ({"size": 0}, ["size=0", "at least 8"]),
        ({"size": 7}, ["size=7", "at least 8"]),
        ({"size": 32.5}, ["size=32.5", "whole number"]),
        ({"size": "32"}, ["size='32'", "whole number"]),
        ({"limit": 1}, ["limit=1", "at least 2"]),
        ({"limit": -3}, ["limit=-3", "at least 2"]),
        ({"limit": float("nan")}, ["limit=nan", "whole number"]),
        ({"seed": -1}, ["seed=-1", "at least 0"]),
        ({"seed": 1.0}, ["seed=1.0", "whole number"]),
        ({"seed": "1"}, ["seed='1'", "whole number"]),
        ({"seed": None}, ["seed=None", "whole number"]),
        ({"seed": 2**64}, [f"seed={2**64}", "whole number"]),
    ],
)
def test_bad_argument_is_refused_with_what_is_allowed(option, named):
    with pytest.raises(DataError) as error:
        load("shapes", **option)
    assert [part for part in named if part not in str(error.value)] == []


# --- torchvision --------------------------------------------------------------------------------

ENTRIES = [
    pytest.param(class_name, arguments, id=f"{name}-{split}")
    for name, (class_name, train, test) in TORCHVISION.items()
    for split, arguments in (("train", train), ("test", test))
    if arguments is not None
]


@pytest.mark.parametrize(("class_name", "arguments"), ENTRIES)
def test_entry_fits_the_constructor_of_torchvision(tmp_path, class_name, arguments):
    make = getattr(torchvision.datasets, class_name)
    inspect.signature(make).bind("root", download=True, **arguments)
    accepted = {name for base in make.__mro__ for name in inspect.signature(base.__init__).parameters}
    assert {"download", *arguments} <= accepted  # bind() lets **kwargs through
    # Values, too: an unknown split would be a ValueError. Without download, only the files are missing.
    with pytest.raises((RuntimeError, FileNotFoundError)):
        make(str(tmp_path), download=False, **arguments)


@pytest.mark.parametrize("error", [urllib.error.URLError("no route to host"), RuntimeError("file is corrupted")])
@pytest.mark.parametrize("split", ["train", "test"])
def test_failed_download_names_the_set_the_folder_and_the_embedded_sets(tmp_path, monkeypatch, error, split):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", fail)
    monkeypatch.setenv("BYOL_DATA", str(tmp_path / "sets"))
    with pytest.raises(DataError) as caught:
        load("cifar10", split)
    message = str(caught.value)
    named = ["'cifar10'", str(tmp_path / "sets"), "shapes", "digits", "BYOL_DATA", *error.args[:1]]
    assert [part for part in named if str(part) not in message] == []


class Fake:
    """Stands in for a torchvision set: pictures whose red is their number, labels of three classes."""

    made: list[tuple] = []  # noqa: RUF012  arguments of every construction
    n = 50

    def __init__(self, root, download=False, **arguments):
        Fake.made.append((root, download, arguments))
        self.first = 0 if arguments.get("train", True) else 100

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i):
        return self.picture(self.first + i), (self.first + i) % 3

    def picture(self, number: int) -> Image.Image:
        return Image.new("RGB", (8, 8), (number, 0, 0))


@pytest.fixture
def fake(monkeypatch):
    """fake(class_name, **attributes): put a Fake with these attributes in the place of a torchvision set."""

    def install(class_name: str, **attributes) -> None:
        monkeypatch.setattr(torchvision.datasets, class_name, type(class_name, (Fake,), attributes))

    monkeypatch.setattr(Fake, "made", [])
    return install


def test_set_with_a_split(fake, tmp_path):
    fake("CIFAR10", classes=["ant", "bee", "cat"])
    train = load("cifar10", root=tmp_path / "new" / "sets")
    test = load("cifar10", "test", root=tmp_path / "new" / "sets")
    root = str(tmp_path / "new" / "sets")
    assert Fake.made == [(root, True, {"train": True}), (root, True, {"train": False})]
    assert reds(train) == [*range(50)]
    assert reds(test) == [*range(100, 150)]
    assert train.classes == test.classes == ("ant", "bee", "cat")
    assert train.labels.tolist() == [i % 3 for i in range(50)]
    assert train.labels.dtype == torch.int64
    assert (test.name, test.split) == ("cifar10", "test")


def test_set_without_a_split_is_divided_80_to_20(fake, tmp_path):
    fake("EuroSAT")
    train, test = (load("eurosat", split, root=tmp_path) for split in ("train", "test"))
    assert (len(train), len(test)) == (40, 10)
    assert sorted(reds(train) + reds(test)) == [*range(50)]
    assert reds(train) != [*range(40)]  # sets are often sorted by class
    assert reds(load("eurosat", "test", root=tmp_path)) == reds(test)
    for images in (train, test):
        assert images.labels.tolist() == [red % 3 for red in reds(images)]


@pytest.mark.parametrize(
    ("attributes", "classes"),
    [({"categories": ["x", "y", "z"]}, ("x", "y", "z")), ({}, ("0", "1", "2"))],
)
def test_classes_are_the_sets_own_names_or_else_numbers(fake, tmp_path, attributes, classes):
    fake("Caltech101", **attributes)
    assert load("caltech101", root=tmp_path).classes == classes


def test_pictures_of_a_set_are_converted(fake, tmp_path):
    fake("MNIST", picture=lambda self, number: Image.new("L", (28, 28), number))
    train = load("mnist", root=tmp_path)
    assert train.images.shape == (50, 3, 28, 28)
    assert (train.images == torch.arange(50)[:, None, None, None]).all()

    fake("Flowers102", picture=lambda self, number: Image.new("RGBA", (20 + number, 30), (number, 0, 0, 0)))
    flowers = load("flowers102", root=tmp_path)
    assert flowers.images.shape == (50, 3, 96, 96)
    assert (flowers.images == 255).all()

    assert load("flowers102", root=tmp_path, size=16, limit=7).images.shape == (7, 3, 16, 16)


def test_picture_of_a_set_that_cannot_be_read_is_an_error_that_names_the_set(fake, tmp_path):
    def picture(self, number):
        if number == 30:
            raise OSError("image file is truncated")
        return Image.new("RGB", (8, 8))

    fake("STL10", picture=picture)
    with pytest.raises(DataError, match=rf"1 images of 'stl10' in '{re.escape(str(tmp_path))}'"):
        load("stl10", root=tmp_path)
