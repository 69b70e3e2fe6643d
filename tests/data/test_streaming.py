"""StreamedSet: the same images as in memory; its loader; faults of files and of workers."""

import gc
import itertools
import multiprocessing
import os
import pickle
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from byol_tutorial.config.errors import DataError
from byol_tutorial.data import folder, streaming
from byol_tutorial.data.decode import open_picture
from byol_tutorial.data.image_set import ImageSet
from byol_tutorial.data.loading import load
from byol_tutorial.data.streaming import StreamedSet

RNG = np.random.default_rng(0)
EACH = pytest.mark.parametrize("workers", [0, 1])


def noise(height: int, width: int, *channels: int, most: int = 256, dtype=np.uint8) -> np.ndarray:
    return RNG.integers(0, most, (height, width, *channels), dtype=dtype)


def plain(path: Path, red: int) -> Path:
    """A picture of one colour, by which it is known again after loading."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (red, 0, 0)).save(path)
    return path


def streamed(path: Path, **options) -> StreamedSet:
    images = load(f"folder:{path}", stream=True, **options)
    assert isinstance(images, StreamedSet)
    return images


def in_memory(path: Path, **options) -> ImageSet:
    images = load(f"folder:{path}", stream=False, **options)
    assert isinstance(images, ImageSet)
    return images


def all_of(images: StreamedSet) -> torch.Tensor:
    return torch.cat(list(images.batches(5)))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> Path:
    """Two classes of pictures of all kinds."""
    path = tmp_path_factory.mktemp("mixed")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    for c in ("a", "b"):
        (path / c / "deep").mkdir(parents=True)
        for i in range(3):
            Image.fromarray(noise(20, 31, 3)).save(path / c / f"rgb{i}.png")
            Image.fromarray(noise(37, 19, 3)).save(path / c / f"small{i}.jpg")
        Image.fromarray(noise(16, 24, 3)).save(path / c / "turned.jpg", exif=exif)
        Image.fromarray(noise(20, 20)).save(path / c / "grey.png")
        Image.fromarray(noise(20, 20)).save(path / c / "grey.jpg")
        Image.fromarray(noise(20, 20, most=65536, dtype=np.uint16)).save(path / c / "deep" / "16bit.png")
        Image.fromarray(noise(20, 22, 4)).save(path / c / "alpha.png")
        Image.fromarray(noise(20, 22, 3)).quantize(16).save(path / c / "palette.png", transparency=3)
    return path


@pytest.fixture
def twelve(tmp_path) -> Path:
    """Twelve pictures in train/, 0.png to 11.png sorted as 00 to 11, whose red is ten times their number."""
    for i in range(12):
        plain(tmp_path / "train" / f"{i:02}.png", 10 * i)
    return tmp_path


def file_of(path: Path, i: int) -> Path:
    return path / "train" / f"{i:02}.png"


def reds(images: torch.Tensor) -> list[int]:
    return (images[:, 0, 0, 0] // 10).tolist()


@pytest.fixture
def workers_left():
    """How many worker processes the test has that it did not have at its beginning."""
    before = set(multiprocessing.active_children())
    return lambda: set(multiprocessing.active_children()) - before


# --- the same images as in memory ---------------------------------------------------------------


@pytest.mark.parametrize("size", [None, 16, 19])  # 19: the shortest side, so no JPEG is twice as large
def test_images_labels_and_classes_are_those_of_the_set_in_memory_bit_for_bit(mixed, size):
    files, memory = streamed(mixed, size=size), in_memory(mixed, size=size)
    assert torch.equal(all_of(files), memory.images)
    assert torch.equal(files.labels, memory.labels)
    assert files.labels.dtype == torch.int64
    assert files.classes == memory.classes == ("a", "b")
    assert (len(files), files.image_size) == (len(memory), memory.image_size)
    assert (files.name, files.split, files.factors, files.skipped) == (memory.name, memory.split, None, ())
    edge = size or 96
    assert repr(files) == (
        f"StreamedSet('folder:{mixed}', train: {len(files)} images of {edge}×{edge} px with 16 bits a channel, "
        "read from disk, 2 classes)"
    )


@pytest.mark.parametrize(
    "options", [{"split": "test"}, {"limit": 7}, {"limit": 7, "seed": 3}, {"split": "test", "limit": 2}]
)
def test_division_and_limit_are_those_of_the_set_in_memory(mixed, options):
    files, memory = streamed(mixed, size=16, **options), in_memory(mixed, size=16, **options)
    assert torch.equal(all_of(files), memory.images)
    assert torch.equal(files.labels, memory.labels)


def test_own_split_is_kept_and_flat_folders_have_no_labels(twelve):
    for i in range(2):
        plain(twelve / "test" / f"{i}.png", 200 + 10 * i)
    train, test = streamed(twelve), streamed(twelve, split="test")
    assert reds(all_of(train)) == [*range(12)]
    assert reds(all_of(test)) == [20, 21]
    assert train.labels is None
    assert train.classes == ()
    assert train.image_size == (8, 8)  # the images' own


def test_batches_have_the_size_asked_for(twelve):
    batches = list(streamed(twelve).batches(5))
    assert [batch.shape for batch in batches] == [(5, 3, 8, 8), (5, 3, 8, 8), (2, 3, 8, 8)]
    assert {batch.dtype for batch in batches} == {torch.uint8}


def test_sample_and_statistics_are_those_of_the_set_in_memory(mixed):
    files, memory = streamed(mixed, size=16), in_memory(mixed, size=16)
    for n, seed in ((5, 0), (5, 1), (1000, 0)):
        some, expected = files.sample(n, seed), memory.sample(n, seed)
        assert isinstance(some, ImageSet)
        assert torch.equal(some.images, expected.images)
        assert torch.equal(some.labels, expected.labels)
        assert some.classes == expected.classes
    assert files.statistics() == memory.statistics()


def test_statistics_are_read_once_and_from_a_part_of_the_files(twelve, monkeypatch):
    monkeypatch.setattr("byol_tutorial.data.image_set.STATISTICS_IMAGES", 4)
    files = streamed(twelve)
    for i in range(12):
        if i % 3:
            file_of(twelve, i).unlink()  # only every third is looked at
    before = files.statistics()
    assert before[0][0] == pytest.approx(np.mean([0, 30, 60, 90]) / 255)
    file_of(twelve, 0).unlink()
    assert files.statistics() == before


def test_index_keeps_files_and_labels_together(mixed):
    files, memory = streamed(mixed, size=16), in_memory(mixed, size=16)
    for index in (slice(3, 9, 2), torch.tensor([5, 1, 1]), memory.labels == 1):
        part = files[index]
        assert isinstance(part, StreamedSet)
        assert torch.equal(all_of(part), memory[index].images)
        assert torch.equal(part.labels, memory[index].labels)
        assert part.classes == memory.classes


def test_large_jpegs_are_decoded_smaller_but_never_below_the_size_wanted(tmp_path):
    smooth = np.linspace(0, 255, 80 * 100 * 3).reshape(80, 100, 3).astype(np.uint8)
    for i in range(2):
        (tmp_path / "train").mkdir(exist_ok=True)
        Image.fromarray(smooth).save(tmp_path / "train" / f"{i}.jpg", quality=95)
    jpeg = tmp_path / "train" / "0.jpg"
    decoded = {least: open_picture(jpeg, least).size for least in (10, 20, 40, 41, 200)}
    assert decoded == {10: (13, 10), 20: (25, 20), 40: (50, 40), 41: (100, 80), 200: (100, 80)}
    difference = all_of(streamed(tmp_path, size=20)).int() - in_memory(tmp_path, size=20).images.int()
    assert difference.abs().max() <= 8
    assert difference.float().abs().mean() < 2


# --- the choice ---------------------------------------------------------------------------------


def test_a_folder_is_streamed_if_its_images_would_take_more_than_the_limit(twelve, monkeypatch):
    bytes_in_memory = 12 * 3 * 8 * 8
    monkeypatch.setattr(folder, "STREAM_ABOVE", bytes_in_memory)
    assert isinstance(load(f"folder:{twelve}"), ImageSet)
    monkeypatch.setattr(folder, "STREAM_ABOVE", bytes_in_memory - 1)
    assert isinstance(load(f"folder:{twelve}"), StreamedSet)
    assert isinstance(load(f"folder:{twelve}", limit=11), ImageSet)
    assert isinstance(load(f"folder:{twelve}", size=9, limit=11), StreamedSet)
    assert isinstance(load(f"folder:{twelve}", stream=False), ImageSet)


@pytest.mark.parametrize("name", ["shapes", "digits", "cifar10"])
def test_sets_that_are_kept_in_memory_cannot_be_streamed(name):
    with pytest.raises(DataError, match=f"stream=True: '{name}'.*folder:PATH"):
        load(name, stream=True)


def test_bad_values_are_refused(twelve):
    with pytest.raises(DataError, match="stream='yes': choose True or False"):
        load(f"folder:{twelve}", stream="yes")
    for workers in (-1, 1.5, True):
        with pytest.raises(DataError, match=re.escape(f"workers={workers!r}: give a whole number, at least 0")):
            streamed(twelve).loader([[0]], workers=workers)
    with pytest.raises(folder.NoTestImages, match="no test/ or val/"):
        streamed(twelve, split="test")
    for i in range(1, 12):
        file_of(twelve, i).unlink()
    with pytest.raises(DataError, match="1 image: at least 2"):
        streamed(twelve)


# --- the loader ---------------------------------------------------------------------------------


class Endless:
    """Batches of two positions without end, which counts those it was asked for."""

    asked = 0

    def __len__(self) -> int:
        return 10**15

    def __iter__(self):
        for k in itertools.count():
            self.asked += 1
            yield torch.tensor([k % 12, (k + 5) % 12])


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_gives_the_positions_asked_for_in_their_order(mixed, workers):
    files, memory = streamed(mixed, size=16), in_memory(mixed, size=16)
    order = torch.randperm(len(memory))
    wanted = [*order.split(3), [0], [4, 4, 1], range(2), np.array([7, 2])]
    state = torch.get_rng_state()
    loader = files.loader(wanted, workers=workers)
    found = list(loader)
    assert len(found) == len(wanted) == len(loader)
    for images, positions in zip(found, wanted, strict=True):
        assert images.dtype == torch.uint16  # one of the files is deep
        assert torch.equal(images, memory.images[torch.as_tensor(np.asarray(positions))])
    assert torch.equal(torch.get_rng_state(), state)  # the run's random numbers are not touched


@pytest.mark.parametrize("workers", [0, 2])
def test_endless_positions_are_read_some_batches_ahead_and_workers_stop_with_the_iterator(
    twelve, workers, workers_left
):
    files, wanted = streamed(twelve), Endless()
    batches = iter(files.loader(wanted, workers=workers))
    assert [reds(next(batches)) for _ in range(9)] == [[k % 12, (k + 5) % 12] for k in range(9)]
    assert wanted.asked <= 9 + 2 * workers + 1
    assert len(workers_left()) == workers
    batches.close()
    assert not workers_left()

    batches = iter(files.loader(wanted, workers=workers))
    next(batches)
    del batches
    gc.collect()
    assert not workers_left()


def test_what_a_worker_is_given_is_little_more_than_the_names_of_the_files(twelve):
    files = streamed(twelve)[torch.arange(12).repeat(1000)]
    longest = max(len(os.fsencode(os.path.abspath(file_of(twelve, i)))) for i in range(12))
    assert len(pickle.dumps(files._reader())) < 12_000 * longest + 2000
    again = pickle.loads(pickle.dumps(files[:12]))
    assert reds(all_of(again)) == [*range(12)]


def test_names_of_files_may_hold_any_letter(tmp_path):
    for i, name in enumerate(["grün", "写真", "with space", "quote'", "new\nline"]):
        plain(tmp_path / "train" / f"{i}{name}.png", 10 * i)
    assert reds(all_of(streamed(tmp_path))) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("cores", "training", "expected"), [(1, 1, 1), (2, 1, 1), (4, 1, 3), (64, 1, 8), (16, 4, 3), (4, 8, 1)]
)
def test_default_workers_leave_a_core_to_the_training(monkeypatch, cores, training, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(training))
    assert streaming.default_workers() == expected


# --- faults of files ----------------------------------------------------------------------------


def break_before(fault, *later):
    """Two good batches, then the fault, then these. The process that trains asks for them, so this is in order."""
    yield [0, 1]
    yield [2, 3]
    fault()
    yield from later


@EACH
def test_file_that_vanishes_is_refused_by_name(twelve, workers, workers_left):
    batches = iter(streamed(twelve).loader(break_before(file_of(twelve, 6).unlink, [4, 5], [6, 7]), workers=workers))
    assert [reds(next(batches)) for _ in range(3)] == [[0, 1], [2, 3], [4, 5]]
    with pytest.raises(DataError) as error:
        next(batches)
    message = str(error.value)
    named = [str(file_of(twelve, 6)), "it is not there any more", "replace or remove it", "corrupt='skip'"]
    assert [part for part in named if part not in message] == []
    assert "\n" not in message
    assert not workers_left()


@EACH
def test_file_that_vanishes_is_skipped_with_one_warning_and_the_next_takes_its_place(twelve, workers):
    files = streamed(twelve, corrupt="skip")
    gone = file_of(twelve, 6)
    with pytest.warns(UserWarning, match="is skipped") as seen:
        found = [reds(b) for b in files.loader(break_before(gone.unlink, [5, 6], [6, 0], [1]), workers=workers)]
    assert found == [[0, 1], [2, 3], [5, 7], [7, 0], [1]]
    assert files.skipped == (str(gone),)
    assert [str(w.message) for w in seen if str(gone) in str(w.message)] == [
        f"image {str(gone)!r} cannot be read (it is not there any more) and is skipped"
    ]
    assert "1 unreadable files so far" in repr(files)


@EACH
def test_file_that_turns_corrupt_while_training(twelve, workers):
    def spoil():
        file_of(twelve, 11).write_text("not a picture")
        content = file_of(twelve, 3).read_bytes()
        file_of(twelve, 3).write_bytes(content[: len(content) // 2])

    files = streamed(twelve, corrupt="skip")
    with pytest.warns(UserWarning, match=r"11\.png.*skipped"), pytest.warns(UserWarning, match=r"03\.png.*skipped"):
        found = [reds(b) for b in files.loader(break_before(spoil, [11, 3]), workers=workers)]
    assert found[-1] == [0, 4]  # after the last comes the first
    assert files.skipped == (str(file_of(twelve, 11)), str(file_of(twelve, 3)))
    with pytest.raises(DataError, match=re.escape(str(file_of(twelve, 3)))):
        list(streamed(twelve).loader([[3, 11]], workers=workers))


def test_corrupt_file_in_sample_batches_and_statistics(twelve):
    file_of(twelve, 4).write_bytes(b"")
    files = streamed(twelve)
    for read in (lambda: files.sample(12), lambda: list(files.batches()), files.statistics):
        with pytest.raises(DataError, match=re.escape(str(file_of(twelve, 4)))):
            read()

    files = streamed(twelve, corrupt="skip")
    with pytest.warns(UserWarning, match=re.escape(str(file_of(twelve, 4)))):
        some = files.sample(12)
    assert reds(some.images) == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11]
    assert some.skipped == files.skipped == (str(file_of(twelve, 4)),)
    assert reds(all_of(files)) == [0, 1, 2, 3, 5, 5, 6, 7, 8, 9, 10, 11]


def test_corrupt_file_is_left_out_of_a_sample_with_its_label(tmp_path):
    for i in range(4):
        plain(tmp_path / "train" / "a" / f"{i}.png", 10 * i)
        plain(tmp_path / "train" / "b" / f"{i}.png", 100 + 10 * i)
    files = streamed(tmp_path, corrupt="skip")
    (tmp_path / "train" / "a" / "2.png").unlink()
    with pytest.warns(UserWarning, match=r"2\.png"):
        some = files.sample(8)
    assert reds(some.images) == [0, 1, 3, 10, 11, 12, 13]
    assert some.labels.tolist() == [0, 0, 0, 1, 1, 1, 1]


def test_part_of_a_set_reports_to_the_whole(twelve, recwarn):
    files = streamed(twelve, corrupt="skip")
    file_of(twelve, 4).unlink()
    files[3:6].sample(3)
    files[2:5].sample(3)
    assert files.skipped == (str(file_of(twelve, 4)),)
    assert len(recwarn) == 1


@pytest.mark.filterwarnings("ignore:image")
def test_folder_that_vanishes_is_an_error_with_skip_too(twelve):
    files = streamed(twelve, corrupt="skip")
    (twelve / "train").rename(twelve / "elsewhere")
    for read in (lambda: files.sample(12), lambda: list(files.batches()), lambda: list(files.loader([[0]], workers=0))):
        with pytest.raises(DataError, match=r"in a row cannot be read, first .*png.*folder is there"):
            read()


# --- faults of workers --------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_worker_that_is_killed_is_an_error_that_says_what_to_do(twelve, workers_left):
    loader = streamed(twelve).loader(Endless(), workers=2)
    batches = iter(loader)
    next(batches)
    os.kill(workers_left().pop().pid, signal.SIGKILL)
    with pytest.raises(DataError) as error:
        for _ in batches:
            pass
    message = str(error.value)
    named = ["killed by signal 9", "memory", "shm-size", "fewer workers than 2", "checkpoint"]
    assert [part for part in named if part not in message] == []
    assert "\n" not in message
    assert not workers_left()
    assert reds(next(iter(loader))) == [0, 5]  # and it can be started again


@EACH
def test_error_of_the_positions_is_not_taken_for_one_of_the_workers(twelve, workers, workers_left):
    def fail():
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        list(streamed(twelve).loader(break_before(fail), workers=workers))
    gc.collect()
    assert not workers_left()


SCRIPT = """
import os
from byol_tutorial.data import load
print("begin")
images = load("folder:pictures", stream=True)
os.chdir("/")
batches = iter(images.loader([[0, 1]] * 50, workers=1))
print((next(batches)[:, 0, 0, 0] // 10).tolist())
"""


@pytest.mark.slow
def test_script_needs_no_main_guard_and_no_fixed_folder_and_ends_with_workers_at_work(twelve, tmp_path):
    (twelve / "pictures").mkdir()
    (twelve / "train").rename(twelve / "pictures" / "train")
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "begin\n[0, 1]\n", "")
