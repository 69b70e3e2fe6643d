"""What holds in every test, however pytest is started."""

import os

# One thread, as in `make test` and in the processes that tests start. With another number the same run has other last
# digits, and the threads of a busy machine wait for each other: a test of one second has taken more than a minute.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch


@pytest.fixture
def no_number_set(monkeypatch):
    """As in a program on two cores in which no number of threads was set; torch's own number is restored afterwards."""
    from byol_tutorial.runtime import threads

    before = torch.get_num_threads()
    monkeypatch.setattr(threads, "_set_before", lambda: None)
    monkeypatch.setattr(threads, "_set_later", None)
    monkeypatch.setattr(threads, "AT_IMPORT", 2)
    monkeypatch.setattr(threads, "cores", lambda: 2)
    yield
    threads._torch_sets(before)
