"""The command queue: commands in order, between pieces of work, on a thread that exists only while it is needed."""

import math
import threading
from concurrent.futures import Future

import pytest

from byol_tutorial.live.command_queue import CommandQueue, all_of
from byol_tutorial.live.subscribers import Subscribers

WAIT = 60


def ended(queue) -> None:
    """Wait until the queue's thread has ended."""
    thread = queue.thread
    if thread is not None:
        thread.join(WAIT)
        assert not thread.is_alive()


def test_commands_are_carried_out_in_order_on_one_thread_which_then_ends():
    seen, queue = [], CommandQueue("q")
    futures = [queue.submit(lambda i=i: seen.append((i, threading.current_thread().name))) for i in range(50)]
    for future in futures:
        future.result(WAIT)
    assert seen == [(i, "q") for i in range(50)]
    ended(queue)
    assert queue.thread is None
    assert queue.submit(lambda: "again").result(WAIT) == "again"


def test_work_is_done_piece_by_piece_while_no_command_waits():
    left, log, go = [3], [], threading.Event()

    def work():
        log.append("work")
        left[0] -= 1
        return 0.0 if left[0] else None

    queue = CommandQueue("q", work)
    queue.submit(lambda: go.wait(WAIT))
    second = queue.submit(lambda: log.append("command"))
    go.set()
    second.result(WAIT)
    ended(queue)
    assert log == ["command", "work", "work", "work"]


def test_work_that_waits_for_ever_is_called_after_the_next_command_and_not_before():
    calls, waiting = [], threading.Event()

    def work():
        calls.append(None)
        waiting.set()
        return math.inf if len(calls) == 1 else None

    queue = CommandQueue("q", work)
    queue.submit(lambda: None)
    assert waiting.wait(WAIT)
    assert queue.thread is not None
    queue.post(lambda: calls.append("posted"))
    ended(queue)
    assert calls == [None, "posted", None]


def test_a_command_between_two_distant_pieces_of_work_is_carried_out_at_once():
    queue = CommandQueue("q", lambda: 3600.0 if not done else None)
    done = []
    queue.submit(lambda: None).result(WAIT)
    queue.submit(lambda: done.append(1)).result(WAIT)
    ended(queue)


def test_the_future_raises_what_its_command_raised_and_the_thread_goes_on():
    queue, errors = CommandQueue("q", on_error=lambda error: errors.append(str(error))), []
    go = threading.Event()
    held = queue.submit(lambda: go.wait(WAIT))
    failed = queue.submit(lambda: 1 / 0)
    queue.post(lambda: [][1])
    after = queue.submit(lambda: "fine")
    go.set()
    assert held.result(WAIT)
    with pytest.raises(ZeroDivisionError):
        failed.result(WAIT)
    assert after.result(WAIT) == "fine"
    assert errors == ["list index out of range"]


def test_a_command_that_returns_a_future_is_done_when_that_future_is():
    inner, broken = Future(), Future()
    queue = CommandQueue("q")
    outer, other = queue.submit(lambda: inner), queue.submit(lambda: broken)
    queue.submit(lambda: None).result(WAIT)
    assert not outer.done()
    inner.set_result(7)
    broken.set_exception(ValueError("no"))
    assert outer.result(WAIT) == 7
    with pytest.raises(ValueError, match="no"):
        other.result(WAIT)


def test_a_call_on_the_thread_itself_does_not_wait_for_itself():
    queue = CommandQueue("q")
    assert queue.submit(lambda: queue.call(lambda: queue.call(lambda: 5))).result(WAIT) == 5
    assert queue.call(lambda: threading.current_thread().name) == "q"


def test_no_command_is_lost_while_the_thread_ends():
    """Each thread submits as soon as its last command is done. At this moment the queue's thread is about to end."""
    queue, counts = CommandQueue("q"), [0] * 4

    def hammer(k):
        for _ in range(300):
            queue.submit(lambda: counts.__setitem__(k, counts[k] + 1)).result(WAIT)

    threads = [threading.Thread(target=hammer, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert counts == [300] * 4


def test_finish_is_the_last_command_and_starts_no_thread(monkeypatch):
    log, queue, go = [], CommandQueue("q"), threading.Event()
    queue.submit(lambda: go.wait(WAIT) and log.append("first"))
    finishing = threading.Thread(target=queue.finish, args=(lambda: log.append("last"),))
    finishing.start()
    go.set()
    finishing.join(WAIT)
    assert log == ["first", "last"]
    assert queue.thread is None
    monkeypatch.setattr(threading.Thread, "start", lambda _: pytest.fail("a thread was started"))
    queue.finish(lambda: log.append("again"))
    assert log[-1] == "again"


def test_all_of_waits_for_all_futures_and_counts_errors_as_done():
    futures = [Future(), Future()]
    done = all_of(futures)
    futures[1].set_exception(ValueError())
    assert not done.done()
    futures[0].set_result(1)
    assert done.result(WAIT) is None
    assert all_of([]).done()


def test_subscribers_are_called_until_they_are_removed_or_raise():
    subscribers, seen = Subscribers(), []
    remove = subscribers.add(seen.append)
    subscribers.add(lambda _: 1 / 0)
    subscribers.notify("a")
    subscribers.notify("b")
    remove()
    remove()
    subscribers.notify("c")
    assert seen == ["a", "b"]
    assert [type(error) for error in subscribers.errors] == [ZeroDivisionError]


def test_a_command_that_was_cancelled_is_left_out_and_the_thread_goes_on():
    queue, go, seen = CommandQueue("q"), threading.Event(), []
    queue.submit(lambda: go.wait(WAIT))
    cancelled = queue.submit(lambda: seen.append("cancelled"))
    after = queue.submit(lambda: seen.append("after"))
    assert cancelled.cancel()
    go.set()
    after.result(WAIT)
    assert seen == ["after"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_in_the_work_reaches_those_who_wait_and_the_next_command_gets_a_thread():
    broken, entered, go = [True], threading.Event(), threading.Event()

    def work():
        if broken[0]:
            entered.set()
            go.wait(WAIT)
            raise ZeroDivisionError
        return

    queue = CommandQueue("q", work)
    queue.submit(lambda: None)
    assert entered.wait(WAIT)
    waiting = queue.submit(lambda: None)
    go.set()
    with pytest.raises(ZeroDivisionError):
        waiting.result(WAIT)
    broken[0] = False
    assert queue.submit(lambda: "again").result(WAIT) == "again"


def test_finish_on_the_thread_itself_does_not_wait_for_itself():
    queue, log = CommandQueue("q"), []
    queue.submit(lambda: queue.finish(lambda: log.append("done"))).result(WAIT)
    assert log == ["done"]
    ended(queue)
