"""Files that are damaged, of another format than their ending says, or replaced while they are read."""

import io
import os
import subprocess
import sys
import zlib

import numpy as np
import pytest
import torch
from PIL import EpsImagePlugin, Image

from byol_tutorial.config.errors import DataError
from byol_tutorial.data.decode import open_picture, stack
from byol_tutorial.data.folder import find
from byol_tutorial.data.formats import extensions, formats, reason_of
from byol_tutorial.data.headers import read_header
from byol_tutorial.data.loading import load
from byol_tutorial.data.streaming import StreamedSet
from byol_tutorial.evaluate.image_files import embed_images

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (16, 16, 3), dtype=np.uint8)
EPS = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 8 8
%%EndComments
8 8 scale 8 8 8 [8 0 0 -8 0 8] {currentfile 8 string readhexstring pop} image
%%EOF
"""


@pytest.fixture(autouse=True)
def no_program_starts(monkeypatch):
    """Fail if Pillow starts a program; Ghostscript seems to be installed."""

    def fail(*_, **__):
        pytest.fail("a program was started")

    monkeypatch.setattr(EpsImagePlugin, "gs_binary", "gs")
    for module, name in ((subprocess, "Popen"), (os, "system"), (os, "popen")):
        monkeypatch.setattr(module, name, fail)


def folder(path, **options):
    return load(f"folder:{path}", **options)


def saved(kind):
    """A small picture in this format, as bytes; None where Pillow cannot write it."""
    buffer = io.BytesIO()
    for mode in ("RGB", "L", "P", "1", "RGBA"):
        try:
            Image.fromarray(PIXELS).convert(mode).save(buffer, kind)
        except (OSError, ValueError, KeyError):
            continue
        return buffer.getvalue()
    return None


# --- formats ------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".png", ".jpg", ".tif", ".bmp"])
def test_a_program_for_a_printer_is_never_run_whatever_its_ending(tmp_path, ending):
    for i in range(3):
        Image.fromarray(PIXELS).save(tmp_path / f"{i}.png")
    (tmp_path / f"evil{ending}").write_bytes(EPS)
    with Image.open(tmp_path / f"evil{ending}") as image:  # Pillow would, which makes this a test
        assert image.format == "EPS"
    with pytest.raises(DataError, match=r"no format that can be read.*\(EPS"):
        folder(tmp_path, holdout=0.0)
    assert len(folder(tmp_path, holdout=0.0, corrupt="skip")) == 3
    assert folder(tmp_path, holdout=0.0, corrupt="skip", stream=True).sample(4).images.shape[0] == 3
    assert read_header(tmp_path / f"evil{ending}") is None
    vectors = embed_images(
        torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 2)), tmp_path, size=8, corrupt="skip"
    )
    assert (len(vectors.files), list(vectors.unreadable)) == (3, [str(tmp_path / f"evil{ending}")])


def test_no_format_on_the_list_needs_another_program_or_shows_no_pixels():
    assert not {"EPS", "WMF", "PDF", "GRIB", "BUFR", "HDF5", "MPEG", "FLI"} & set(formats())
    assert {"PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "PPM", "JPEG2000"} <= set(formats())
    assert not {".eps", ".ps", ".pdf", ".wmf", ".h5", ".mpg"} & extensions()


# --- damage -------------------------------------------------------------------------------------

WRITTEN = {kind: content for kind in formats() if (content := saved(kind))}


def mutations(content, rng, n):
    """Damage a file in n ways: bytes changed, cut off, repeated, or set to their extremes."""
    for i in range(n):
        data = bytearray(content)
        if i % 4 == 0:
            data = data[: rng.integers(0, len(data))]
        elif i % 4 == 1:
            at = rng.integers(0, len(data), 8)
            for k in at:
                data[k] = rng.integers(0, 256)
        elif i % 4 == 2:
            k = rng.integers(0, min(len(data), 64))  # within the header
            data[k : k + 4] = bytes([255] * 4) if i % 8 == 2 else bytes(4)
        else:
            a, b = sorted(rng.integers(0, len(data), 2))
            data[a:a] = data[a:b]
        yield bytes(data)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", WRITTEN)
def test_damaged_files_of_every_format_have_a_reason(tmp_path, kind):
    """Each is an image of the right shape or has a reason in words; nothing is raised, and no program starts."""
    rng = np.random.default_rng(zlib.crc32(kind.encode()))
    files = []
    for i, content in enumerate([WRITTEN[kind], *mutations(WRITTEN[kind], rng, 24)]):
        files.append(tmp_path / f"{i}.png")
        files[-1].write_bytes(content)
        read_header(files[-1])
    images, bad = stack(open_picture, files, 8)
    assert images.shape == (25, 3, 8, 8)
    assert 0 not in bad
    assert all(isinstance(reason, str) and reason and "\n" not in reason for reason in bad.values())
    encoded = np.array([os.fsencode(file) for file in files])
    read = StreamedSet("x", "train", encoded, 8, corrupt="skip")._reader()
    for i in range(25):
        image, unreadable = read(i)
        assert image.shape == (3, 8, 8)
        assert (str(files[i]) in unreadable) == (i in bad)


@pytest.mark.parametrize(
    "error", [KeyError(7), IndexError("x"), MemoryError(), zlib.error("incorrect"), OverflowError("big")]
)
def test_an_error_of_any_kind_is_a_reason(tmp_path, monkeypatch, error):
    for i in range(3):
        Image.fromarray(PIXELS).save(tmp_path / f"{i}.png")
    (tmp_path / "bad.png").write_bytes(WRITTEN["QOI"])

    def damaged(self):
        raise error

    plugin = Image.OPEN["QOI"][0]
    monkeypatch.setattr(plugin, "load", damaged)
    with pytest.raises(DataError, match="1 of 4 image files cannot be read") as caught:
        folder(tmp_path, holdout=0.0)
    assert reason_of(error) in str(caught.value)
    assert len(folder(tmp_path, holdout=0.0, corrupt="skip")) == 3
    streamed = folder(tmp_path, holdout=0.0, corrupt="skip", stream=True)
    assert list(streamed.found.unreadable.values()) == [reason_of(error)]


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP"])
def test_a_file_that_claims_more_pixels_than_are_allowed_is_not_decoded(tmp_path, kind):
    for i in range(3):
        Image.fromarray(PIXELS).save(tmp_path / f"{i}.png")
    content = bytearray(WRITTEN[kind])
    huge = 65_000
    if kind == "PNG":
        content[16:24] = huge.to_bytes(4, "big") * 2
        content[29:33] = zlib.crc32(bytes(content[12:29])).to_bytes(4, "big")
    elif kind == "GIF":
        content[6:10] = huge.to_bytes(2, "little") * 2
    else:
        content[18:26] = huge.to_bytes(4, "little") * 2
    (tmp_path / "bomb.png").write_bytes(content)
    with pytest.raises(DataError, match=r"bomb\.png \(it has more than [\d,]+ pixels\)"):
        folder(tmp_path, holdout=0.0)
    assert len(folder(tmp_path, holdout=0.0, corrupt="skip")) == 3


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "I;16", "F", "1"])
def test_a_file_that_is_replaced_after_it_was_listed_gives_an_image_of_the_same_shape(
    tmp_path, monkeypatch, mode, stream
):
    for i in range(3):
        Image.fromarray(PIXELS).save(tmp_path / f"{i}.png")

    def find_and_replace(*arguments):
        listing = find(*arguments)
        Image.new(mode, (40, 9)).save(tmp_path / "1.png", "TIFF")
        return listing

    monkeypatch.setattr("byol_tutorial.data.folder.find", find_and_replace)
    images = folder(tmp_path, holdout=0.0, stream=stream).sample(3)
    assert images.images.shape == (3, 3, 16, 16)
    assert torch.equal(images.images[0], torch.from_numpy(PIXELS).permute(2, 0, 1))


# --- memory -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")]
)
def test_images_that_do_not_fit_into_memory_are_one_line(tmp_path, monkeypatch, error):
    for i in range(3):
        Image.fromarray(PIXELS).save(tmp_path / f"{i}.png")

    def full(*_, **__):
        raise error

    monkeypatch.setattr("byol_tutorial.data.folder.stack", full)
    with pytest.raises(
        DataError, match=r"do not fit into the memory .*: give stream=True \(--stream\), a smaller size"
    ) as caught:
        folder(tmp_path)
    assert "\n" not in str(caught.value)


def test_other_errors_are_not_taken_for_a_lack_of_memory_when_images_are_loaded(tmp_path, monkeypatch):
    def wrong(*_, **__):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr("byol_tutorial.data.loading.SOURCES", {"wrong": wrong})
    with pytest.raises(RuntimeError, match="shapes do not match"):
        load("wrong")


LIMITED = """
import resource, sys
import byol_tutorial.data as data
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**30,) * 2)
try:
    data.load("shapes", size=1024, limit=100_000)
except data.loading.DataError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_limit_of_the_address_space_is_one_line(monkeypatch):
    """For real: 300 GB of pixels in a process that may have one more."""
    monkeypatch.undo()
    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, timeout=120)
    assert done.stderr == ""
    assert done.stdout.startswith(
        "the train images of 'shapes' do not fit into the memory that this process may use: give a smaller"
    )
    assert done.stdout.count("\n") == 1
