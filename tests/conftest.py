"""What holds in every test, however pytest is started."""

import os

# One thread, as in `make test` and in the processes that tests start. With another number the same run has other last
# digits, and the threads of a busy machine wait for each other: a test of one second has taken more than a minute.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import atexit
import gc

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Collect no garbage while tests are imported, then once, and let the collector leave the million objects alone that stay.

    Collecting them once takes 0.9 s in the quick check, and finds 58,000 objects that would otherwise stay as well.

    Each of its passes would look at all of them, also those of tests that ask for one, and those of pytest at its end.
    `gc.get_objects()` leaves them out: a test of leaks counts objects that it made itself.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


# The collector gets the objects back when Python ends, because libraries in C++ complain about what is still there; not
# before, because pytest itself looks at everything once more.
atexit.register(gc.unfreeze)


@pytest.fixture
def no_number_set(monkeypatch):
    """As in a program on two cores in which no number of threads was set; torch's own number is restored afterwards."""
    import torch  # here: the process that only hands out tests does not need it

    from byol_tutorial.runtime import threads

    before = torch.get_num_threads()
    monkeypatch.setattr(threads, "_set_before", lambda: None)
    monkeypatch.setattr(threads, "_set_later", None)
    monkeypatch.setattr(threads, "AT_IMPORT", 2)
    monkeypatch.setattr(threads, "cores", lambda: 2)
    yield
    threads._torch_sets(before)
