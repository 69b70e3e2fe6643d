"""images_from: arrays, tensors, pictures and data sets of other libraries; and what an ImageSet refuses to hold."""

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

import byol_tutorial as bt
from byol_tutorial.config.errors import DataError

RNG = np.random.default_rng(0)
N = 6
RGB = RNG.integers(0, 256, (N, 20, 22, 3), dtype=np.uint8)
EXPECTED = torch.from_numpy(RGB.transpose(0, 3, 1, 2).copy())
GRAY = RNG.integers(0, 256, (N, 20, 22), dtype=np.uint8)


class Listed(Dataset):
    """A torch Dataset of these items."""

    def __init__(self, items, classes=None):
        self.items = items
        if classes:
            self.classes = classes

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        item = self.items[i]
        return item() if callable(item) else item


def pictures():
    return [Image.fromarray(image) for image in RGB]


# --- every kind of source gives the same pixels -------------------------------------------------

SAME = {
    "NHWC": lambda: RGB,
    "NCHW": lambda: RGB.transpose(0, 3, 1, 2),
    "backwards in memory": lambda: RGB[::-1][::-1],
    "read-only": lambda: np.frombuffer(RGB.tobytes(), np.uint8).reshape(RGB.shape),
    "tensor NCHW": lambda: EXPECTED.clone(),
    "tensor NHWC": lambda: torch.from_numpy(RGB.copy()),
    "int64": lambda: RGB.astype(np.int64),
    "int32, big-endian": lambda: RGB.astype(">i4"),
    "float32 to 1": lambda: RGB.astype(np.float32) / 255,
    "float64 to 255": lambda: RGB.astype(np.float64),
    "tensor with a gradient": lambda: (EXPECTED / 255).requires_grad_(),
    "opaque RGBA": lambda: [image.convert("RGBA") for image in pictures()],
    "list of pictures": pictures,
    "list of arrays": lambda: list(RGB),
    "list of tensors": lambda: list(EXPECTED),
    "array of objects": lambda: np.array([*pictures(), None], dtype=object)[:-1],
    "Dataset of pictures": lambda: Listed(pictures()),
    "Dataset of tensors": lambda: TensorDataset(EXPECTED / 255),
}


@pytest.mark.parametrize("kind", SAME)
def test_every_kind_of_source_gives_the_same_pixels(kind):
    images = bt.images_from(SAME[kind]())
    assert isinstance(images, bt.ImageSet)
    assert torch.equal(images.images, EXPECTED)
    assert images.images.is_contiguous()
    assert images.labels is None


@pytest.mark.parametrize("gray", [GRAY, GRAY[:, None], GRAY[..., None], torch.from_numpy(GRAY), list(GRAY)])
def test_gray_images_are_repeated_in_each_channel(gray):
    images = bt.images_from(gray).images
    assert all(np.array_equal(images[:, c], GRAY) for c in range(3))


def test_transparent_parts_of_pictures_become_white_unless_four_channels_are_asked_for():
    rgba = RNG.integers(0, 256, (N, 20, 22, 4), dtype=np.uint8)
    some = [Image.fromarray(image) for image in rgba]
    share = rgba[..., 3:] / 255
    white = rgba[..., :3] * share + 255 * (1 - share)
    np.testing.assert_allclose(bt.images_from(some).images, white.transpose(0, 3, 1, 2), atol=1.01)
    assert np.array_equal(bt.images_from(some, channels=4).images, rgba.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("c", [2, 4, 5, 12])
@pytest.mark.parametrize("make", [np.asarray, list, lambda x: list(x.transpose(0, 3, 1, 2))])
def test_other_bands_are_kept(c, make):
    bands = RNG.integers(0, 256, (N, 20, 22, c), dtype=np.uint8)
    images = bt.images_from(make(bands))
    assert np.array_equal(images.images, bands.transpose(0, 3, 1, 2))
    assert images.channels == c
    if c > 2:
        assert np.array_equal(bt.images_from(make(bands), channels=2).images, bands[..., :2].transpose(0, 3, 1, 2))
    assert bt.images_from(make(bands), size=16).images.shape == (N, c, 16, 16)


def test_channels_that_the_images_do_not_have_are_refused():
    with pytest.raises(DataError, match="channels=5, but image 0 has 3: give fewer"):
        bt.images_from(RGB, channels=5)
    with pytest.raises(DataError, match=r"image 0 has 3 channels, others have 5: .* give channels=3"):
        bt.images_from([RGB[0], np.zeros((20, 22, 5), np.uint8)])
    assert bt.images_from([GRAY[0], RGB[0]]).channels == 3
    assert bt.images_from(RGB, channels=1).channels == 1


def test_integers_deeper_than_8_bits_keep_16():
    values = RNG.integers(0, 65536, (N, 20, 22)).astype(np.uint16)
    for source in (values, list(values), [Image.fromarray(image) for image in values]):
        images = bt.images_from(source, channels=1)
        assert images.bits == 16
        assert np.array_equal(images.images[:, 0], values)
        eight = bt.images_from(source, channels=1, bits=8)
        np.testing.assert_allclose(eight.images[:, 0], values / 257, atol=0.51)
    assert torch.equal(bt.images_from(RGB, bits=16).images.int(), EXPECTED.int() * 257)
    resized = bt.images_from(values, channels=1, size=20).images
    assert np.array_equal(resized[:, 0], values[:, :, 1:21])


def test_the_pixels_are_a_copy():
    array = RGB.copy()
    images = bt.images_from(array)
    array[:] = 0
    assert torch.equal(images.images, EXPECTED)
    tensor = EXPECTED.clone()
    images = bt.images_from(tensor)
    tensor.zero_()
    assert torch.equal(images.images, EXPECTED)


def test_more_images_than_a_block_keep_their_order():
    gray = np.arange(600, dtype=np.uint16)[:, None, None] + np.zeros((5, 5), np.uint16)
    images = bt.images_from(gray, value_range=(0, 1023), bits=8).images
    assert torch.equal(images[:, 0, 0, 0], torch.tensor((np.arange(600) / 1023 * 255).round().astype(np.uint8)))


def test_a_set_that_was_made_can_be_trained_on():
    trainer = bt.Trainer(bt.preset("shapes", batch_size=4, epochs=1), bt.images_from(RNG.random((8, 16, 16, 3))))
    assert np.isfinite(trainer.step())


def test_name_and_split_are_those_given():
    assert (
        repr(bt.images_from(RGB, name="cells", split="test"))
        == "ImageSet('cells', test: 6 images of 20×22 px, no labels)"
    )


# --- values -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "highest", "white"),
    [(np.uint16, 3900, 4095), (np.uint16, 60_000, 65_535), (np.int32, 200, 255), (bool, 1, 1), (np.int64, 1, 1)],
)
def test_integers_get_the_full_scale_of_the_fewest_bits(dtype, highest, white):
    values = RNG.integers(0, highest + 1, (N, 8, 9))
    values[:, 0, 0] = highest
    images = bt.images_from(values.astype(dtype), bits=8)
    np.testing.assert_allclose(images.images[:, 0].numpy(), values / white * 255, atol=0.51)


@pytest.mark.parametrize("make", [np.asarray, list])
def test_a_given_range_becomes_black_and_white(make):
    values = RNG.normal(0, 1, (N, 18, 19, 3)).astype(np.float32)
    images = bt.images_from(make(values), value_range=(-2, 2))
    expected = ((values + 2) / 4).clip(0, 1).transpose(0, 3, 1, 2) * 255
    np.testing.assert_allclose(images.images.numpy(), expected, atol=0.51)


@pytest.mark.parametrize("values", [RNG.normal(0, 1, (N, 18, 19, 3)), RNG.random((N, 18, 19, 3)) * 7, RGB * 300.0])
def test_floats_that_are_neither_0_to_1_nor_0_to_255_are_refused(values):
    with pytest.raises(DataError, match=r"floats from .* to .*give value_range=\(LOW, HIGH\)"):
        bt.images_from(values)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("options", [{}, {"value_range": (0, 1)}])
@pytest.mark.parametrize("make", [np.asarray, list, torch.from_numpy])
def test_values_that_are_not_finite_are_refused_with_the_image(bad, options, make):
    values = RNG.random((300, 15, 16, 3))
    values[290, 1, 1, 1] = bad
    with pytest.raises(DataError, match="image 290 has values that are not finite"):
        bt.images_from(make(values), **options)


def test_an_image_on_another_scale_is_refused():
    values = RNG.random((300, 15, 16, 3))
    values[299] *= 255  # not among the images by which the range is chosen
    with pytest.raises(DataError, match="others lie within 0 to 1: give all images one scale"):
        bt.images_from(values)


def test_a_range_outside_of_which_most_values_lie_is_refused():
    with pytest.raises(
        DataError, match=r"value_range=\(0, 1\): .* of the values of image 0 lie outside, from 0 to 255"
    ):
        bt.images_from(RGB.astype(float), value_range=(0, 1))


# --- axes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("array", [np.zeros((5, 3, 32, 3)), torch.zeros(5, 4, 9, 1), [np.zeros((3, 32, 3))]])
def test_channels_first_or_last_is_refused_until_it_is_said(array):
    with pytest.raises(DataError, match="with channels first or last: give layout='CHW' or layout='HWC'"):
        bt.images_from(array)
    assert bt.images_from(array, layout="CHW").image_size != bt.images_from(array, layout="HWC").image_size


def test_square_images_decide_between_first_and_last():
    assert bt.images_from(np.zeros((5, 4, 4, 3))).image_size == (4, 4)
    assert bt.images_from(np.zeros((5, 3, 4, 4))).image_size == (4, 4)


@pytest.mark.parametrize("shape", [(32, 32, 3), (3, 32, 32), (32, 32, 1)])
def test_what_may_be_one_image_is_refused(shape):
    with pytest.raises(DataError, match=r"may be one image or \d+ images without channels: give array\[None\]"):
        bt.images_from(np.zeros(shape))
    assert len(bt.images_from(np.zeros(shape)[None])) == 1
    assert len(bt.images_from(np.zeros(shape), layout="HW")) == shape[0]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (np.zeros((5, 32, 32, 40)), "more than 12 entries first and last: give layout"),
        (np.zeros((5, 8, 8, 13)), "channels first or last: give layout"),
        (np.zeros((5, 13, 8, 8)), "channels first or last: give layout"),
        (np.zeros((5, 5)), r"array of shape \(5, 5\)"),
        (np.zeros((0, 8, 8, 3)), "has no images"),
        (np.zeros((4, 0, 8, 3)), "has no images, or images without pixels"),
        (np.zeros((4, 8, 8), complex), "array of complex128: give numbers"),
        (np.full((4, 8, 8), "x"), "give numbers"),
        (np.ma.masked_less(RGB, 9), "masked values"),
        ([], "is empty"),
        (Listed([]), "is empty"),
        (pictures()[0], r"one PIL image is no set: .*\[image\]"),
        ("photos", "bt.load loads folders and data sets by name"),
        ({"a": RGB}, "no source of images"),
        (7, "no source of images"),
        (DataLoader(Listed(pictures())), "give its .dataset"),
        (type("Stream", (IterableDataset,), {"__iter__": iter})(), "has no length"),
        ([1, 2], "item 0 is a int: give an image"),
        ([(RGB[0], 1, 2)], "item 0 is a tuple of 3"),
        ([RGB[0], RGB[1] / 255], "several types, float64, uint8"),
        ([RGB[0][:0]], "image 0 has shape .*at least one pixel"),
        ([(RGB[0], 1), RGB[1]], "item 1 has no label"),
        ([RGB[0], (RGB[1], 1)], "item 1 has a label"),
    ],
)
def test_what_is_no_set_of_images_is_refused(source, words):
    with pytest.raises(DataError, match=words):
        bt.images_from(source)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layout": "NHWC"}, "layout='NHWC': choose one of HW, HWC, CHW"),
        ({"layout": "HW"}, "does not have it"),
        ({"size": 4}, "size=4: give a whole number, at least 8"),
        ({"value_range": (1, 0)}, "value_range"),
        ({"value_range": "depth"}, "it is for folders"),
        ({"image_column": "image"}, "for Hugging Face data sets"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, words):
    with pytest.raises(DataError, match=words):
        bt.images_from(RGB, **options)


# --- sizes --------------------------------------------------------------------------------------


def test_a_size_resizes_as_folders_do(tmp_path):
    for i, image in enumerate(pictures()):
        image.save(tmp_path / f"{i}.png")
    files = bt.load(f"folder:{tmp_path}", size=8, holdout=0.0).images
    for source in (RGB, pictures(), EXPECTED):
        assert torch.equal(bt.images_from(source, size=8).images, files)


def test_images_of_several_sizes_are_resized_as_folders_are_and_it_is_said(tmp_path):
    several = [Image.fromarray(RNG.integers(0, 256, (20 + i, 30, 3), dtype=np.uint8)) for i in range(4)]
    for i, image in enumerate(several):
        image.save(tmp_path / f"{i}.png")
    for source in (several, [np.asarray(image) for image in several], Listed(several)):
        with pytest.warns(UserWarning, match="have 30×20 to 30×23 px: they are brought to 96×96"):
            images = bt.images_from(source)
        assert torch.equal(images.images, bt.load(f"folder:{tmp_path}", holdout=0.0).images)


def test_equal_images_keep_their_size_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bt.images_from([np.zeros((120, 100), np.uint8)] * 3).image_size == (120, 100)


# --- labels -------------------------------------------------------------------------------------

NUMBERS = [0, 2, 1, 2, 0, 2]
KINDS = {
    "list": NUMBERS,
    "array": np.array(NUMBERS, np.uint8),
    "column": np.array(NUMBERS)[:, None],
    "tensor": torch.tensor(NUMBERS),
    "whole floats": np.array(NUMBERS, float),
    "tensors": [torch.tensor(k).item() for k in NUMBERS],
}


@pytest.mark.parametrize("kind", KINDS)
def test_whole_numbers_are_labels(kind):
    images = bt.images_from(RGB, KINDS[kind])
    assert images.labels.tolist() == NUMBERS
    assert images.labels.dtype == torch.int64
    assert images.classes == ("0", "1", "2")


def test_a_number_that_no_image_has_keeps_its_place():
    train, test = bt.images_from(RGB, [0, 7, 3, 3, 7, 0]), bt.images_from(RGB, [7] * N)
    assert train.classes == test.classes == tuple("01234567")
    assert test.labels.tolist() == [7] * N


def test_names_are_sorted_or_have_the_order_that_is_given():
    names = ["dog", "cat", "cat", "dog", "ant", "ant"]
    images = bt.images_from(RGB, names)
    assert (images.classes, images.labels.tolist()) == (("ant", "cat", "dog"), [2, 1, 1, 2, 0, 0])
    again = bt.images_from(RGB, np.array(names), classes=["dog", "cat", "ant", "bee"])
    assert (again.classes, again.labels.tolist()) == (("dog", "cat", "ant", "bee"), [0, 1, 1, 0, 2, 2])
    test = bt.images_from(RGB[:2], ["dog", "dog"], classes=images.classes)
    assert [test.classes[k] for k in test.labels] == ["dog", "dog"]


def test_truth_values_are_two_classes():
    images = bt.images_from(RGB, np.array(NUMBERS) > 1)
    assert (images.classes, images.labels.tolist()) == (("False", "True"), [0, 1, 0, 1, 0, 1])


@pytest.mark.parametrize(
    ("labels", "classes", "words"),
    [
        ([0, 1], None, "2 labels for 6 images"),
        ([0, 1, 2, -1, 0, 0], None, "label -1 of image 3 is negative"),
        ([0, 1, 0.5, 1, 0, 0], None, "label 0.5 of image 2 is not a whole number"),
        ([0, 1, float("nan"), 1, 0, 0], None, "label nan of image 2"),
        ([0, 1, float("inf"), 1, 0, 0], None, "label inf of image 2"),
        ([0, 1, None, 1, 0, 0], None, "label None of image 2"),
        ([0, 1, "cat", 1, 0, 0], None, "label 'cat' of image 2"),
        (np.eye(6), None, r"argmax\(1\)"),
        (NUMBERS, ["a", "b"], "go up to 2, but classes has 2 names"),
        (["a"] * 5 + ["c"], ["a", "b"], "label 'c' of image 5 is not among the classes: a, b"),
        (NUMBERS, "abc", "classes='abc': give a list of names"),
        (NUMBERS, [0, 1, 2], "give a list of names"),
        ([70_001, 5, 5, 5, 5, 5], None, "look like identifiers"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, classes, words):
    with pytest.raises(DataError, match=words):
        bt.images_from(RGB, labels, classes=classes)


# --- data sets of other libraries ---------------------------------------------------------------


@pytest.mark.parametrize("form", [lambda k: k, torch.tensor, np.int64])
def test_a_dataset_of_pairs_brings_its_labels_and_classes(form):
    dataset = Listed(list(zip(pictures(), map(form, NUMBERS), strict=True)), ["a", "b", "c"])
    for source in (dataset, Subset(dataset, range(N))):
        images = bt.images_from(source)
        assert torch.equal(images.images, EXPECTED)
        assert (images.labels.tolist(), images.classes) == (NUMBERS, ("a", "b", "c"))
    assert bt.images_from(dataset, [1] * N).labels.tolist() == [1] * N


def test_a_dataset_of_torchvision_is_read_with_its_transform():
    import torchvision

    fake = torchvision.datasets.FakeData(4, (3, 9, 9), transform=torchvision.transforms.ToTensor())
    images = bt.images_from(fake)
    expected = torch.stack([(fake[i][0] * 255).round().to(torch.uint8) for i in range(4)])
    assert torch.equal(images.images, expected)
    assert images.labels.tolist() == [int(fake[i][1]) for i in range(4)]


def test_an_item_that_cannot_be_read_is_named():
    def cut():
        raise OSError("image file is truncated")

    with pytest.raises(DataError, match=r"item 2 of the data set cannot be read \(image file is truncated\)"):
        bt.images_from(Listed([*pictures()[:2], cut]))


class Table:
    """The part of a Hugging Face data set that is asked for: columns, features, length, rows."""

    def __init__(self, features, **columns):
        self.features, self.columns, self.column_names = features, columns, list(columns)

    def __len__(self):
        return len(next(iter(self.columns.values())))

    def __getitem__(self, i):
        return {name: column[i] for name, column in self.columns.items()}


class ClassLabel:
    names = ("a", "b", "c")


Picture = type("Image", (), {})


def test_the_columns_of_a_table_are_found_by_type_and_then_by_name():
    typed = Table({"scan": Picture(), "label": 1, "kind": ClassLabel()}, scan=pictures(), label=[0] * N, kind=NUMBERS)
    images = bt.images_from(typed)
    assert torch.equal(images.images, EXPECTED)
    assert (images.labels.tolist(), images.classes) == (NUMBERS, ("a", "b", "c"))
    named = bt.images_from(Table({}, img=pictures(), label=NUMBERS, note=["x"] * N))
    assert (named.labels.tolist(), named.classes) == (NUMBERS, ("0", "1", "2"))
    assert bt.images_from(Table({}, img=pictures(), note=["x"] * N)).labels is None
    given = bt.images_from(Table({}, x=pictures(), y=["b", "a"] * 3), image_column="x", label_column="y")
    assert given.labels.tolist() == [1, 0] * 3


@pytest.mark.parametrize(
    ("table", "options", "words"),
    [
        (Table({}, x=[1], y=[2]), {}, "no column of images is found among x, y: give image_column"),
        (Table({}, image=[1], img=[2]), {}, "columns image, img may hold the images: give image_column"),
        (
            Table({}, image=[1], label=[2], target=[2]),
            {},
            "columns label, target may hold the labels: give label_column",
        ),
        (Table({}, image=[1]), {"label_column": "y"}, "label_column='y': choose one of"),
        (Table({}, image=[1]), {"image_column": "y"}, "image_column='y': choose one of image"),
    ],
)
def test_columns_that_are_not_clear_are_refused(table, options, words):
    with pytest.raises(DataError, match=words):
        bt.images_from(table, **options)


def test_hugging_face_data_sets_are_read():
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"picture": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b", "c"])})
    table = datasets.Dataset.from_dict({"picture": pictures(), "label": NUMBERS}, features=features)
    for form in (table, table.with_format("numpy"), table.with_format("torch")):
        images = bt.images_from(form)
        assert torch.equal(images.images, EXPECTED)
        assert (images.labels.tolist(), images.classes) == (NUMBERS, ("a", "b", "c"))
    with pytest.raises(DataError, match=r"has the splits train: give one, such as dataset\['train'\]"):
        bt.images_from(datasets.DatasetDict({"train": table}))
    with pytest.raises(DataError, match="is a stream"):
        bt.images_from(table.to_iterable_dataset())


# --- ImageSet -----------------------------------------------------------------------------------

PIXELS = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
LABELS = torch.tensor([0, 1, 1, 0])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"images": RGB}, "images of 'x' are a ndarray, not a torch tensor; bt.images_from makes"),
        ({"images": PIXELS[0]}, r"have shape \(3, 8, 8\): give \(N, C, H, W\)"),
        (
            {"images": PIXELS.repeat(1, 30, 1, 1)},
            r"have shape \(4, 90, 8, 8\), that is 90 channels: give \(N, C, H, W\)",
        ),
        ({"images": PIXELS.float()}, "are float32: give uint8, from 0 to 255, or uint16; bt.images_from"),
        ({"images": PIXELS[:0]}, "has no images"),
        ({"images": PIXELS[..., :0]}, "at least one pixel"),
        ({"images": PIXELS.to("meta")}, r"images of 'x' are on meta: give images.cpu\(\)"),
        ({"labels": [0, 1, 1, 0]}, "labels of 'x' are a list"),
        ({"labels": LABELS.int()}, r"are int32: give int64, labels.long\(\)"),
        ({"labels": LABELS.float()}, "are float32: give int64"),
        ({"labels": LABELS[:3]}, "has 4 images and 3 labels"),
        ({"labels": LABELS[:, None]}, r"have shape \(4, 1\)"),
        ({"labels": LABELS[0]}, r"have shape \(\)"),
        ({"labels": LABELS.to("meta")}, "labels of 'x' are on meta"),
        ({"labels": LABELS - 1}, "image 0 has -1; labels count from 0"),
        ({"labels": LABELS * 2}, "go up to 2, but classes has 2 names"),
        ({"labels": LABELS, "classes": ()}, "go up to 1, but classes has 0 names"),
        ({"classes": "ab"}, "classes of 'x' are 'ab': give a tuple of names"),
        ({"classes": (0, 1)}, "give a tuple of names"),
        ({"files": np.array([b"a"])}, "has 4 images and 1 files"),
        ({"factors": bt.load("shapes", limit=8).factors}, "has 4 images and 8 factors"),
    ],
)
def test_an_image_set_says_what_is_wrong_with_it(fields, words):
    good = {"name": "x", "split": "train", "images": PIXELS, "labels": LABELS, "classes": ("a", "b")}
    bt.ImageSet(**good)
    with pytest.raises(DataError, match=words):
        bt.ImageSet(**good | fields)


def test_every_part_of_a_set_is_checked():
    images = bt.ImageSet("x", "train", PIXELS, LABELS, ("a", "b"))
    with pytest.raises(DataError, match="'x' has no images: give at least one; an index may have chosen none"):
        images[images.labels == 7]
    with pytest.raises(DataError, match="classes has 1 names"):
        replace(images, classes=("a",))


def test_pixels_in_another_order_in_memory_train_as_others_do():
    config = bt.preset("shapes", batch_size=4, epochs=1)
    pixels = torch.from_numpy(RNG.integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)).permute(0, 3, 1, 2)
    assert not pixels.is_contiguous()
    losses = [
        bt.Trainer(config, bt.ImageSet("x", "train", p), device="cpu").step() for p in (pixels, pixels.contiguous())
    ]
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    "labels",
    [
        set(range(N)),
        dict.fromkeys(range(N), "a"),
        "a" * N,
        b"a" * N,
        3,
        np.array(3),
        torch.tensor(3),
        frozenset(range(N)),
    ],
)
def test_labels_without_an_order_or_that_are_no_list_are_refused(labels):
    with pytest.raises(DataError, match="give a list, an array or a tensor with one number or name for each image"):
        bt.images_from(RGB, labels)


@pytest.mark.parametrize(
    ("labels", "classes", "words"),
    [
        ([10**30] * N, None, "is no number of a class"),
        (list("aabbcc"), ["a", "b", "b", "c"], "classes has 'b' 2 times"),
    ],
)
def test_labels_that_could_mean_two_classes_or_none_are_refused(labels, classes, words):
    with pytest.raises(DataError, match=words):
        bt.images_from(RGB, labels, classes=classes)


def test_numbers_may_have_equal_names():
    assert bt.images_from(RGB, [0, 1, 2] * 2, classes=["crane", "dog", "crane"]).labels.tolist() == [0, 1, 2] * 2


@pytest.mark.parametrize("tensor", [EXPECTED.float().to_sparse(), EXPECTED.to("meta")])
def test_tensors_that_are_not_plain_are_refused(tensor):
    with pytest.raises(DataError, match="give a plain one"):
        bt.images_from(tensor)


@pytest.mark.parametrize("source", [["a.png", "b.png"], [Path("a.png")], Path("folder")])
def test_paths_are_for_load(source):
    with pytest.raises(DataError, match=r"bt\.load"):
        bt.images_from(source)


@pytest.mark.parametrize(
    "order", [lambda i: (i, RGB[i]), lambda i: (RGB[i], GRAY[i]), lambda i: {"image": RGB[i], "label": i}]
)
def test_items_in_another_order_or_with_masks_are_refused(order):
    with pytest.raises(DataError, match=r"in this order|one number or name for each image"):
        bt.images_from(Listed([order(i) for i in range(N)]))
