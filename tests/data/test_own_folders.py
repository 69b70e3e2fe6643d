"""Folders as users have them: layouts, litter, runs, links, value ranges; what is used and what is not is reported."""

import json
import os
import stat
import tempfile

import numpy as np
import pytest
import torch
from PIL import Image

from byol_tutorial.config.errors import DataError
from byol_tutorial.data.fingerprint import fingerprint
from byol_tutorial.data.folder import NoTestImages, find
from byol_tutorial.data.formats import extensions, reason_of
from byol_tutorial.data.found import SPECIAL, beside_images
from byol_tutorial.data.headers import read_header
from byol_tutorial.data.image_set import nearly_constant
from byol_tutorial.data.loading import kept_folder, load
from byol_tutorial.data.value_range import range_of
from byol_tutorial.evaluate.image_files import find_images

RNG = np.random.default_rng(0)
DEEP = {  # name: values that files of real instruments hold, low, high
    "12 bits in 16": (lambda: RNG.integers(0, 3900, (16, 16)).astype(np.uint16), 0, 4095),
    "10 bits in 16": (lambda: RNG.integers(0, 1000, (16, 16)).astype(np.uint16), 0, 1023),
    "int32 as bytes": (lambda: RNG.integers(0, 256, (16, 16)).astype(np.int32), 0, 255),
    "reflectance": (lambda: RNG.uniform(0, 10_000, (16, 16)).astype(np.float32), 0, 10_000),
    "kelvin": (lambda: RNG.uniform(273, 310, (16, 16)).astype(np.float32), 273, 310),
    "scanner": (lambda: RNG.integers(-1000, 2000, (16, 16)).astype(np.int32), -1000, 2000),
}


def picture(file, value=None):
    """A file with a noisy picture, or a constant one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = (
        RNG.integers(0, 256, (16, 16, 3), dtype=np.uint8) if value is None else np.full((16, 16, 3), value, np.uint8)
    )
    Image.fromarray(pixels).save(file)
    return file


def fill(folder, n=5, ending=".png"):
    return [picture(folder / f"{i}{ending}") for i in range(n)]


def folder(path, **options):
    return load(f"folder:{path}", **options)


def run_folder(path):
    fill(path / "figures", 3)
    for name in ("settings.json", "checkpoint.pt", "history.json"):
        (path / name).write_text("{}")


# --- layouts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "test"),
    [("Training", "Testing"), ("Train", "Test"), ("TRAIN", "VAL"), ("train", "valid"), ("training", "Validation")],
)
def test_splits_are_splits_in_any_case(tmp_path, train, test):
    for split, n in ((train, 4), (test, 3)):
        for c in "ab":
            fill(tmp_path / split / c, n)
    images, tests = folder(tmp_path), folder(tmp_path, split="test")
    assert images.classes == tests.classes == ("a", "b")
    assert (len(images), len(tests)) == (8, 6)
    assert images.found.used == {"train": 8, "test": 6}
    assert train in images.found.divided
    assert test in images.found.divided


def test_a_second_folder_of_test_images_is_told_and_not_used(tmp_path):
    for split in ("train", "test", "val"):
        fill(tmp_path / split, 3)
    found = folder(tmp_path).found
    assert found.used == {"train": 3, "test": 3}
    assert "val/ is not used" in found.divided


@pytest.mark.parametrize(
    ("pictures", "others"), [("images", "labels"), ("JPEGImages", "Annotations"), ("imgs", "masks")]
)
def test_annotations_beside_pictures_are_not_a_class(tmp_path, pictures, others):
    fill(tmp_path / pictures)
    (tmp_path / others).mkdir()
    fill(tmp_path / others) if others == "masks" else (tmp_path / others / "0.txt").write_text("0 0.5 0.5 1 1")
    with pytest.raises(DataError, match=f"not two classes; give folder:.*{pictures}"):
        folder(tmp_path)


def test_labels_none_takes_sub_folders_for_dates_or_patients(tmp_path):
    for day in ("2024-01-01", "2024-01-02"):
        fill(tmp_path / day / "left", 3)
    (tmp_path / "2024-01-03").mkdir()  # a day without images is no error then
    images = folder(tmp_path, labels="none")
    assert images.labels is None
    assert images.classes == ()
    assert sum(images.found.used.values()) == 6


def test_labels_none_keeps_the_split(tmp_path):
    for split in ("train", "test"):
        fill(tmp_path / split / "patient", 3)
    assert folder(tmp_path, labels="none", split="test").labels is None
    assert folder(tmp_path, labels="none").found.used == {"train": 3, "test": 3}


def test_labels_folders_wants_folders(tmp_path):
    fill(tmp_path)
    with pytest.raises(DataError, match="no sub-folders to be classes"):
        folder(tmp_path, labels="folders")


@pytest.mark.parametrize(("holdout", "train"), [(0.0, 10), (0.1, 9), (0.5, 5), (0.2, 8)])
def test_holdout_is_the_share_kept_for_tests(tmp_path, holdout, train):
    fill(tmp_path, 10)
    images = folder(tmp_path, holdout=holdout)
    assert len(images) == train
    assert images.found.used == {"train": train, "test": 10 - train}
    if holdout == 0:
        assert "none kept" in images.found.divided
        with pytest.raises(NoTestImages, match="give a holdout above 0"):
            folder(tmp_path, split="test", holdout=0.0)
    elif train < 9:
        assert len(folder(tmp_path, split="test", holdout=holdout)) == 10 - train


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"holdout": 1.0}, "holdout=1.0: give the share"),
        ({"holdout": -0.1}, "holdout=-0.1"),
        ({"holdout": True}, "holdout=True"),
        ({"labels": "dates"}, "labels='dates': choose one of auto, folders, none"),
        ({"value_range": (1, 1)}, "the first below the second"),
        ({"value_range": (0, float("nan"))}, "the first below the second"),
        ({"value_range": 4095}, "give two numbers"),
    ],
)
def test_options_that_cannot_be_are_refused_by_name(tmp_path, options, words):
    fill(tmp_path)
    with pytest.raises(DataError) as caught:
        folder(tmp_path, **options)
    assert words in str(caught.value)


@pytest.mark.parametrize("options", [{"holdout": 0.3}, {"labels": "none"}, {"value_range": (0, 4095)}])
def test_options_of_folders_are_refused_for_other_sets(options):
    with pytest.raises(DataError, match="it is for folder:PATH"):
        load("shapes", **options)


# --- litter, runs, links ------------------------------------------------------------------------

LITTER = (
    "@eaDir",
    "lost+found",
    "$RECYCLE.BIN",
    ".ipynb_checkpoints",
    "__MACOSX",
    "__pycache__",
    ".thumbnails",
    "System Volume Information",
)


@pytest.mark.parametrize("where", [".", "a"])
@pytest.mark.parametrize("name", LITTER)
def test_litter_is_no_data_and_is_told(tmp_path, where, name):
    for c in "ab":
        fill(tmp_path / c)
    fill(tmp_path / where / name, 2)
    images = folder(tmp_path)
    assert images.classes == ("a", "b")
    assert sum(images.found.used.values()) == 10
    assert [os.path.basename(path) for path in images.found.left_out] == [name]
    assert name in "\n".join(images.found.lines())


@pytest.mark.parametrize("name", ["thumbnails", "Thumbnails"])
def test_thumbnails_of_the_images_beside_them_are_no_data(tmp_path, name):
    for c in "ab":
        fill(tmp_path / c, ending=".tif")
    fill(tmp_path / "a" / name, 5, ".png")  # sea.png of sea.tif
    picture(tmp_path / "b" / name / "0.tif.jpg")  # sea.tif.jpg of sea.tif
    for i in range(5):
        picture(tmp_path / name / "a" / f"{i}.png")  # the same folders again, in small
    images = folder(tmp_path)
    assert images.classes == ("a", "b")
    assert sum(images.found.used.values()) == 10
    assert len(images.found.left_out) == 3
    assert set(images.found.left_out.values()) == {"copies of the images beside it"}
    assert images.found.kept == ()


@pytest.mark.parametrize("labels", ["auto", "none"])
@pytest.mark.parametrize("name", ["thumbnails", "Recycler", "__background__"])
def test_a_class_may_have_a_name_that_programs_also_use(tmp_path, name, labels):
    fill(tmp_path / "posters")
    fill(tmp_path / name)  # files of the same names, but in another class and not beside them
    images = folder(tmp_path, labels=labels)
    assert images.classes == (tuple(sorted((name, "posters"))) if labels == "auto" else ())
    assert sum(images.found.used.values()) == 10
    told = "programs also leave folders of this name"
    assert (told in "\n".join(images.found.lines())) == (name != "__background__")
    assert images.found.to_dict()["kept"] == (() if name == "__background__" else (str(tmp_path / name),))


def test_one_image_without_an_original_makes_thumbnails_data(tmp_path):
    fill(tmp_path / "a")
    fill(tmp_path / "a" / "thumbnails", 6)
    found = folder(tmp_path, labels="none").found
    assert (sum(found.used.values()), found.kept) == (11, (str(tmp_path / "a" / "thumbnails"),))


def test_the_bin_of_windows_is_no_data(tmp_path):
    fill(tmp_path / "a")
    fill(tmp_path / "RECYCLER" / "S-1-5-21-1004336348")
    assert folder(tmp_path).classes == ("a",)


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("where", ["runs/photos-001", "mine"])
def test_runs_beside_the_images_are_no_class(tmp_path, flat, where):
    for c in ("",) if flat else ("a", "b"):
        fill(tmp_path / c)
    before = folder(tmp_path)
    run_folder(tmp_path / where)
    after = folder(tmp_path)
    assert after.classes == before.classes
    assert torch.equal(after.images, before.images)
    assert "run" in next(iter(after.found.left_out.values()))


def test_a_run_that_has_only_begun_is_no_data(tmp_path):
    fill(tmp_path)
    fill(tmp_path / "runs" / "x-001" / "figures", 2)
    (tmp_path / "runs" / "x-001" / ".byol-run").touch()
    assert sum(folder(tmp_path).found.used.values()) == 5


def test_a_folder_of_nothing_but_runs_says_so(tmp_path):
    run_folder(tmp_path / "x-001")
    with pytest.raises(DataError, match=r"hold no data \(a run folder"):
        folder(tmp_path)


def test_linked_folders_are_followed_and_loops_end(tmp_path):
    fill(tmp_path / "elsewhere", 4)
    data = tmp_path / "data"
    fill(data / "a", 3)
    fill(data / "b", 3)
    (data / "a" / "more").symlink_to(tmp_path / "elsewhere")
    (data / "a" / "loop").symlink_to(data)
    (data / "b" / "self").symlink_to(data / "b")
    (data / "b" / "gone.png").symlink_to(tmp_path / "nothing.png")
    found = folder(data).found
    assert sum(found.used.values()) == 10
    assert found.links == 1
    assert [os.path.basename(path) for path in found.left_out] == ["loop", "self"]
    assert [os.path.basename(path) for path in found.dead_links] == ["gone.png"]
    text = "\n".join(found.lines())
    assert "1 folder is reached through links" in text
    assert "gone.png" in text


@pytest.mark.parametrize("stream", [False, True])
def test_links_that_lead_back_are_named_and_left_out(tmp_path, stream):
    """To themselves, to each other, to a folder above them, and to one above the folder that was named."""
    data = tmp_path / "data"
    fill(tmp_path / "others", 4)
    for c in "ab":
        fill(data / c, 3)
    loops = {data / "a" / name: target for name, target in (("x.png", "x.png"), ("y.png", "z.png"), ("z.png", "y.png"))}
    above = {data / "up": tmp_path, data / "a" / "top": "/", data / "b" / "back": data, data / "b" / "here": "."}
    for link, target in (loops | above).items():
        link.symlink_to(target)
    images = folder(data, stream=stream)
    assert images.classes == ("a", "b")
    assert sum(images.found.used.values()) == 6
    assert set(images.found.dead_links) == set(map(str, loops))
    assert images.found.left_out == dict.fromkeys(map(str, above), "a link to a folder above it")
    tree = find_images(data)
    assert (len(tree.images), len(tree.dead_links), len(tree.left_out)) == (6, 3, 4)
    text = "\n".join(beside_images(tree))
    assert all(str(link) in text for link in above)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
@pytest.mark.parametrize("stream", [False, True])
def test_pipes_and_devices_are_named_and_left_out(tmp_path, stream):
    fill(tmp_path / "a", 3)
    pipe, device, linked = (tmp_path / "a" / f"{name}.png" for name in ("pipe", "device", "linked"))
    os.mkfifo(pipe)
    device.symlink_to("/dev/zero")
    linked.symlink_to(pipe)
    images = folder(tmp_path, stream=stream)
    assert sum(images.found.used.values()) == 3
    assert set(images.found.special) == {str(pipe), str(device), str(linked)}
    assert "pipes or devices: " in "\n".join(images.found.lines())
    assert set(find_images(tmp_path).special) == {str(pipe), str(device), str(linked)}
    with pytest.raises(DataError, match="is a pipe or a device"):
        find_images(pipe)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
@pytest.mark.parametrize("options", [{}, {"stream": True}])
def test_a_file_that_becomes_a_pipe_after_it_was_listed_does_not_wait(tmp_path, monkeypatch, options):
    files = fill(tmp_path / "train", 4)

    def find_and_replace(*arguments):
        listing = find(*arguments)
        files[1].unlink()
        os.mkfifo(files[1])
        return listing

    monkeypatch.setattr("byol_tutorial.data.folder.find", find_and_replace)
    images = folder(tmp_path, corrupt="skip", **options)
    assert images.found.unreadable == {str(files[1]): "it is a pipe or a device, not a regular file"}
    assert read_header(files[1]) is None


def test_a_link_that_leads_nowhere_is_named_as_such(tmp_path):
    (tmp_path / "x.png").symlink_to("x.png")
    with pytest.raises(DataError, match="is a link that leads nowhere"):
        find_images(tmp_path / "x.png")


def test_a_linked_class_is_a_class(tmp_path):
    fill(tmp_path / "elsewhere", 4)
    fill(tmp_path / "data" / "a", 4)
    (tmp_path / "data" / "b").symlink_to(tmp_path / "elsewhere")
    assert folder(tmp_path / "data").classes == ("a", "b")


def test_what_is_not_used_is_counted_by_ending_with_a_hint(tmp_path):
    fill(tmp_path, 6)
    for name in ("a.HEIC", "b.heic", "c.dcm", "d.mp4", "e.NEF", "f.txt", "README"):
        (tmp_path / name).write_bytes(b"x")
    found = folder(tmp_path).found
    assert found.others == {".heic": 2, ".dcm": 1, ".mp4": 1, ".nef": 1, ".txt": 1, "": 1}
    text = "\n".join(found.lines())
    for words in ("2 are HEIC", "1 are DICOM", "1 are video", "1 are camera RAW", "1 without an ending"):
        assert words in text


# --- value ranges -------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", DEEP)
def test_one_scale_is_found_for_all_deep_images(tmp_path, kind, stream):
    """An image twice as dark stays twice as dark: the scale is the folder's, not each image's."""
    make, low, high = DEEP[kind]
    (tmp_path / "train").mkdir()
    values = make()
    span = values.max() - values.min()
    for i, image in enumerate(
        (values, (values.astype(float) - span * 0.0).astype(values.dtype), values // 2 if low == 0 else values)
    ):
        Image.fromarray(image).save(tmp_path / "train" / f"{i}.tif")
    images = folder(tmp_path, stream=stream, bits=8)
    (found_low, found_high) = images.found.value_range
    assert found_low == pytest.approx(low, abs=0.02 * (high - low))
    assert found_high == pytest.approx(high, abs=0.02 * (high - low))
    pixels = images.sample(3).images[:, 0].numpy()
    expected = ((values.astype(float) - found_low) / (found_high - found_low)).clip(0, 1) * 255
    np.testing.assert_allclose(pixels[0], expected, atol=0.51)
    if low == 0:
        np.testing.assert_allclose(pixels[2], pixels[0] / 2, atol=1.1)
    assert f"values {found_low:g} to {found_high:g} become 0 to 255" in "\n".join(images.found.lines())


def test_a_range_that_is_given_is_used_for_all(tmp_path):
    (tmp_path / "train").mkdir()
    for i in range(3):
        Image.fromarray(np.full((8, 8), 20 * i, np.uint8) + np.eye(8, dtype=np.uint8) * 3).save(
            tmp_path / "train" / f"{i}.png"
        )
    images = folder(tmp_path, value_range=(0, 51))
    assert [int(x[0, 0, 1]) for x in images.images] == [0, 100, 200]
    assert images.found.value_range == (0, 51)


def test_test_images_get_the_range_of_the_train_images(tmp_path):
    for split, high in (("train", 4000), ("test", 900)):
        (tmp_path / split).mkdir()
        for i in range(2):
            x = RNG.integers(0, high, (8, 8)).astype(np.uint16)
            x[0, 0] = high
            Image.fromarray(x).save(tmp_path / split / f"{i}.png")
    assert int(folder(tmp_path, split="test", bits=8).images.max()) == round(900 / 4095 * 255)


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        (np.append(RNG.uniform(0, 1, 10_000), 1e9), 0, 1),  # a dead pixel
        (np.append(RNG.uniform(0, 5000, 10_000), [np.nan, np.inf, -np.inf]), 0, 5000),
        (np.zeros(100), 0, 1),
        (np.full(100, -7.5), -7.5, -6.5),
        (np.array([np.nan]), 0, 1),
        (np.array([0, 1, 1, 0]), 0, 1),
    ],
)
def test_ranges_of_odd_values(values, low, high):
    found = range_of(values)
    assert (found.low, found.high) == (pytest.approx(low, abs=1), pytest.approx(high, rel=0.01))
    assert found.low < found.high


def test_pages_that_are_dropped_are_told(tmp_path):
    pages = [Image.fromarray(RNG.integers(0, 256, (8, 8), dtype=np.uint8)) for _ in range(3)]
    for i in range(4):
        pages[0].save(tmp_path / f"{i}.tif", save_all=True, append_images=pages[1:] if i < 2 else [])
    found = folder(tmp_path, holdout=0.0).found
    assert found.pages == 2
    assert "2 of 4 files looked at hold several pages or frames: only the first is used" in "\n".join(found.lines())


@pytest.mark.parametrize("stream", [False, True])
def test_images_without_content_are_counted_and_named(tmp_path, stream):
    fill(tmp_path / "train", 4)
    for i in range(2):
        picture(tmp_path / "train" / f"black{i}.png", 0)
    found = folder(tmp_path, stream=stream).found
    assert [os.path.basename(file) for file in found.constant] == ["black0.png", "black1.png"]
    assert "black1.png" in "\n".join(found.lines())


def test_nearly_constant_is_a_matter_of_four_levels():
    images = torch.full((4, 3, 4, 4), 100, dtype=torch.uint8)
    images[1, 0, 0, 0] = 104
    images[2, 2, 3, 3] = 94
    images[3, 0] = 200  # a colour is constant, too
    assert nearly_constant(images).tolist() == [True, True, False, True]


def test_dark_images_get_a_hint(tmp_path):
    for i in range(5):
        Image.fromarray(RNG.integers(0, 16, (8, 8), dtype=np.uint8)).save(tmp_path / f"{i}.png")
    assert any("brighter than 15 of 255 (--value-range 0,15 " in line for line in folder(tmp_path).found.lines())
    assert folder(tmp_path, value_range=(0, 15)).images.max() == 255


@pytest.mark.parametrize("dark", ["black", "deep", "with a range"])
def test_no_range_is_advised_that_is_refused_or_in_other_units(tmp_path, dark):
    """A range ends above 0, and its numbers are those of the files."""
    values = RNG.integers(0, 16, (8, 8)).astype(np.uint16 if dark == "deep" else np.uint8) * (dark != "black")
    for i in range(5):
        Image.fromarray(values.astype(np.int32) + 20_000 if dark == "deep" else values).save(tmp_path / f"{i}.tif")
    options = {"deep": {"value_range": (20_000, 20_100)}, "with a range": {"value_range": (0, 100)}}.get(dark, {})
    (line,) = (line for line in folder(tmp_path, **options).found.lines() if "brighter than" in line)
    assert "--value-range" not in line


# --- reasons ------------------------------------------------------------------------------------


def unreadable(path):
    """Files that cannot be read, and the words of the reason."""
    whole = picture(path / "whole.png").read_bytes()
    (path / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (path / "empty.png").touch()
    (path / "text.jpg").write_text("this is not a picture")
    picture(path / "whole.png").unlink()
    return {"truncated.png": "", "empty.png": "damaged, empty", "text.jpg": "damaged, empty"}


def test_every_file_that_is_refused_has_its_reason(tmp_path):
    fill(tmp_path / "train", 3)
    expected = unreadable(tmp_path / "train")
    with pytest.raises(DataError) as caught:
        folder(tmp_path)
    for name, words in expected.items():
        assert f"{name} (" in str(caught.value)
        assert words in str(caught.value)
    images = folder(tmp_path, corrupt="skip")
    assert len(images) == 3
    assert {os.path.basename(file) for file in images.found.unreadable} == set(expected)
    streamed = folder(tmp_path, corrupt="skip", stream=True)
    assert {os.path.basename(f): r for f, r in streamed.found.unreadable.items()} == {
        os.path.basename(f): r for f, r in images.found.unreadable.items()
    }


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_says_so(tmp_path):
    fill(tmp_path / "train", 3)[0].chmod(stat.S_IWUSR)
    with pytest.raises(DataError, match="no permission"):
        folder(tmp_path)


def test_reasons_are_plain_words():
    assert reason_of(PermissionError(13, "Permission denied")) == "no permission to read it"
    assert reason_of(OSError(5, "Input/output error")) == "Input/output error"
    assert reason_of(ValueError("bad value\nand more")) == "bad value"
    assert reason_of(RuntimeError()) == "RuntimeError()"


def test_too_many_pixels_is_a_reason(tmp_path, monkeypatch):
    fill(tmp_path / "train", 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DataError, match="it has more than 200 pixels"):
        folder(tmp_path)


# --- the record ---------------------------------------------------------------------------------


def test_the_record_counts_what_is_used_and_goes_into_json(tmp_path):
    for c, n in (("cat", 10), ("dog", 40)):
        fill(tmp_path / c, n)
    found = folder(tmp_path).found
    assert found.files == {".png": 50}
    assert found.used == {"train": 40, "test": 10}
    assert found.classes == {"cat": 8, "dog": 32}
    assert found.sizes == ((16, 16), (16, 16))
    assert "2 classes, from 8 images (cat) to 32 (dog, 80% of all)" in "\n".join(found.lines())
    again = json.loads(json.dumps(found.to_dict()))
    assert again["classes"] == {"cat": 8, "dog": 32}


def test_a_limit_does_not_change_what_was_found(tmp_path):
    fill(tmp_path, 20)
    assert folder(tmp_path, limit=4).found.used == {"train": 16, "test": 4}


@pytest.mark.skipif(os.name != "posix", reason="other systems always have a home folder")
def test_a_user_without_a_home_folder_can_load(monkeypatch, tmp_path):
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("BYOL_DATA", raising=False)

    def unknown(*_):
        raise KeyError("no such uid")

    monkeypatch.setattr("pwd.getpwuid", unknown)
    fill(tmp_path / "images")
    assert len(folder(tmp_path / "images")) == 4
    assert str(kept_folder()).startswith(tempfile.gettempdir())


# --- more folders of real users -----------------------------------------------------------------


def test_test_images_without_labels_beside_training_classes(tmp_path):
    """As competitions give them: train/cat, train/dog, and a flat test/."""
    for c in "ab":
        fill(tmp_path / "train" / c)
    fill(tmp_path / "test", 4)
    train, test = folder(tmp_path), folder(tmp_path, split="test")
    assert train.labels is not None
    assert test.labels is None
    assert len(test) == 4
    assert "its images have no labels" in train.found.divided


def test_other_folders_beside_a_split_are_told(tmp_path):
    for name in ("train", "test", "unlabeled"):
        fill(tmp_path / name, 3)
    assert "unlabeled/ is not used" in folder(tmp_path).found.divided


def test_annotations_within_a_split_are_no_class(tmp_path):
    for split in ("train", "valid"):
        for kind in ("images", "masks"):
            fill(tmp_path / split / kind, 3)
    with pytest.raises(DataError, match="not two classes"):
        folder(tmp_path)
    assert folder(tmp_path, labels="folders").classes == ("images", "masks")


def test_what_is_counted_as_special_is_never_an_image():
    endings = {ending for some in SPECIAL.values() for ending in some}
    assert not endings & extensions()
    assert {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp"} <= extensions()


def test_a_link_to_itself_is_a_dead_link(tmp_path):
    fill(tmp_path)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert [os.path.basename(path) for path in folder(tmp_path).found.dead_links] == ["loop"]


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.9])
def test_a_damaged_tiff_of_several_pages_has_a_reason(tmp_path, cut):
    fill(tmp_path / "train", 3)
    pages = [Image.fromarray(RNG.integers(0, 256, (32, 32), dtype=np.uint8)) for _ in range(3)]
    file = tmp_path / "train" / "cut.tif"
    pages[0].save(file, save_all=True, append_images=pages[1:])
    whole = file.read_bytes()
    file.write_bytes(whole[: int(cut * len(whole))])
    images = folder(tmp_path, corrupt="skip")
    assert len(images) in (3, 4)


def test_stars_are_no_outliers(tmp_path):
    (tmp_path / "train").mkdir()
    for i in range(3):
        x = RNG.integers(100, 110, (64, 64)).astype(np.uint16)
        x[i, :2] = 3000, 4000
        Image.fromarray(x).save(tmp_path / "train" / f"{i}.png")
    assert folder(tmp_path).found.value_range == (0, 4095)


def test_a_streamed_folder_with_names_that_are_no_text_has_a_fingerprint(tmp_path):
    if os.name != "posix":
        pytest.skip("other systems refuse such names")
    fill(tmp_path / "train", 3)
    os.rename(tmp_path / "train" / "0.png", os.fsencode(tmp_path / "train") + b"/\xe4.png")
    assert fingerprint(folder(tmp_path, stream=True))["images"] == 3


def test_depth_scales_by_what_a_file_could_hold(tmp_path):
    (tmp_path / "train").mkdir()
    for i in range(2):
        Image.fromarray(np.full((8, 8), 4112, np.uint16)).save(tmp_path / "train" / f"{i}.png")
    assert folder(tmp_path, value_range="depth", bits=8).images.unique().tolist() == [16]
