"""The runs that are not kept yet: one after another in this process, or side by side in processes of their own.

Processes pay only on cores that nothing else uses, so before it begins, and between runs that are done here, this looks how
many are free. The results are the same, bit for bit, because every run has as many threads either way.

The processes are joblib's (loky): new interpreters, in which nothing of the notebook or script is imported or executed.
Python's own process pool would run a script without `if __name__ == "__main__"` again in each of them.
"""

import os
import tempfile
import threading
import time
from contextlib import ExitStack
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch

from ..config.errors import UserError
from ..data.image_set import ImageSet
from ..data.streaming import StreamedSet
from ..methods.base import Objective
from ..runtime.device import free_cores, resolve_device
from ..runtime.progress import hidden, saying_stopped
from ..runtime.threads import chosen
from ..train.trainer import Trainer
from . import cache
from .jobs import Job, train_and_judge

if TYPE_CHECKING:
    from tqdm import tqdm

WORTH = 40_000  # images to process, in all the runs together, above which starting processes saves time
SHOWN_EVERY = 25  # steps

Images = ImageSet | StreamedSet
States = dict[str, dict]  # key of a job -> what `train_and_judge` returned


class Given(NamedTuple):
    """What all jobs share. The online part of `target` is the fixed target of their runs; None for targets of their own."""

    train: Images
    test: Images | None
    target: Objective | None


def carry_out(
    jobs: list[tuple[str, Job]],
    train: Images,
    test: Images | None,
    target: Objective | None,
    progress: bool,
) -> tuple[States, set[str]]:
    """Do these named jobs and keep the state of each in the cache. What another process is doing is waited for.

    Args:
        target: the network whose online part is the fixed target of all runs; None for targets of their own.

    Returns:
        the states by the keys of the jobs, and the keys of those that another process has done.

    Raises:
        UserError: a run failed; the message begins with its name. Those that trained beside it are done and kept first.
        KeyboardInterrupt: the runs were stopped; those that were finished are kept.
    """
    from tqdm.auto import tqdm

    given, left = Given(train, test, target), jobs
    states: States = {}
    read: set[str] = set()
    steps = sum(job.steps(len(train)) for _, job in jobs)
    bar = tqdm(total=steps, unit="step", disable=hidden(progress), mininterval=0.3)
    with bar, saying_stopped(bar, "finished runs are kept, the others start again when the cell is run again"):
        while left:
            workers = _workers(left, given)
            with ExitStack() as held:
                mine: list[tuple[str, Job]] = []
                for name, job in left:
                    can_begin = (workers > 1 or not mine) and held.enter_context(cache.alone(job.key))
                    if (state := cache.kept(job.key)) is not None:  # by another process, since the last look
                        states[job.key] = state
                        read.add(job.key)
                        bar.update(job.steps(len(train)))
                    elif can_begin:
                        mine.append((name, job))
                if min(workers, len(mine)) > 1:
                    states |= _side_by_side(mine, given, min(workers, len(mine)), bar)
                else:
                    states |= _one_by_one(mine, given, bar)
            left = [(name, job) for name, job in left if job.key not in states]
            if left and not mine:
                bar.set_description_str(f"{left[0][0]}: another notebook or program trains it")
                time.sleep(cache.LOOK_EVERY)
    return states, read


def _workers(jobs: list[tuple[str, Job]], given: Given) -> int:
    """Return how many processes are to train these runs; 1 means this one."""
    work = sum(job.steps(len(given.train)) * job.config.step_images for _, job in jobs)
    in_memory = all(isinstance(images, ImageSet) for images in (given.train, given.test) if images is not None)
    if len(jobs) < 2 or not in_memory or work < WORTH or resolve_device("auto").type != "cpu":
        return 1
    return max(1, min(len(jobs), free_cores() // (chosen() or 1), 8))


def _one_by_one(jobs: list[tuple[str, Job]], given: Given, bar: "tqdm") -> States:
    states: States = {}
    for name, job in jobs:
        bar.set_description_str(name)

        def on_step(trainer: Trainer) -> None:
            h = trainer.history
            if trainer.steps_done % 5 == 0:
                bar.set_postfix_str(f"loss {h.loss[-1]:.3f}, √d·std {h.std[-1]:.2f}", refresh=False)
            bar.update()

        states[job.key] = train_and_judge(job, *given, on_step)
        cache.keep(name, job.key, states[job.key])
    return states


# --- side by side: this process -----------------------------------------------------------------


def _side_by_side(jobs: list[tuple[str, Job]], given: Given, workers: int, bar: "tqdm") -> States:
    from concurrent.futures import FIRST_COMPLETED, wait
    from concurrent.futures.process import BrokenProcessPool

    from joblib.externals.loky import ProcessPoolExecutor

    threads = chosen() or 1
    states: States = {}
    failures: list[tuple[str, Exception]] = []
    before = bar.n
    with tempfile.TemporaryDirectory(prefix="byol_tutorial-", ignore_cleanup_errors=True) as name:
        marks = Path(name)
        theirs, ours = Pipe(duplex=False)
        pool = ProcessPoolExecutor(
            workers,
            initializer=_begin,
            initargs=(theirs, threads, marks, given),
            env={"OMP_NUM_THREADS": str(threads)},
        )
        try:
            waiting = {pool.submit(_work, job): (name, job) for name, job in jobs}
            while waiting:
                finished, _ = wait(waiting, timeout=0.3, return_when=FIRST_COMPLETED)
                bar.update(before + sum(file.stat().st_size for file in marks.iterdir()) - bar.n)
                for future in [future for future in waiting if future in finished]:  # in the order of the jobs
                    name, job = waiting.pop(future)
                    try:
                        state = future.result()
                    except BrokenProcessPool as error:  # it is unknown which run failed, and all others end too
                        unfinished = ", ".join([name, *(other for other, _ in waiting.values())])
                        text = f"a training process ended unexpectedly, perhaps for lack of memory; not finished: {unfinished}"
                        text += ". Finished runs are kept: call again to train the others"
                        failures.append((text, error))
                    except UserError as error:
                        failures.append((f"{name}: {error}", error))
                    except Exception as error:
                        failures.append((f"{name}: {type(error).__name__}: {error}", error))
                    else:
                        states[job.key] = state
                        cache.keep(name, job.key, state)
                        bar.set_postfix_str(f"{len(jobs) - len(waiting)} of {len(jobs)} runs: {name} done")
        except BaseException:
            pool.shutdown(kill_workers=True)
            raise
        else:
            pool.shutdown()
        finally:
            theirs.close()
            ours.close()
    if failures:
        text, cause = failures[0]
        raise UserError(text) from cause
    return states


# --- side by side: a worker process -------------------------------------------------------------


_marks: Path  # the folder of marks, see `_work`; _begin sets both in a worker
_given: Given


def _begin(parent: Connection, threads: int, marks: Path, given: Given) -> None:
    """Prepare a worker process, which then does one job after another by `_work`."""
    from tqdm import tqdm

    global _marks, _given
    _marks, _given = marks, given
    torch.set_num_threads(threads)
    tqdm.set_lock(
        threading.RLock()
    )  # its own would be a semaphore of the system, left over where this process is killed
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Connection) -> None:
    """End this process as soon as the parent process has ended, also where it was killed and could send no message."""
    try:
        parent.recv()  # nothing is ever sent: it returns only when the other end is closed
    except EOFError:
        os._exit(1)


def _work(job: Job) -> dict:
    """Do one job. Its file in the folder of marks is as long, in bytes, as it has made steps; the parent's bar shows it."""
    last = job.steps(len(_given.train))

    def on_step(trainer: Trainer) -> None:
        done = trainer.steps_done
        if done % SHOWN_EVERY == 0 or done == last:
            with (_marks / job.key).open("ab") as file:
                file.truncate(done)

    return train_and_judge(job, *_given, on_step)
