"""The runs that are not kept yet: one after another in this process, or side by side in processes of their own.

Processes pay only on cores that nothing else uses. So `carry_out` counts the free cores before it begins and after each
run, here or in a process that it has started, and trains fewer side by side while other programs compute; once started,
processes do not become more. The results are the same, bit for bit, because every run has as many threads either way.

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
from typing import NamedTuple, Self

import torch

from ..config.errors import UserError
from ..data.image_set import ImageSet
from ..data.streaming import StreamedSet
from ..methods.base import Objective
from ..runtime.device import free_cores, resolve_device
from ..runtime.progress import hidden, say, saying_stopped
from ..runtime.threads import chosen
from ..train.trainer import Trainer
from . import cache
from .jobs import Job, train_and_judge

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
    words = "finished runs are kept, the others start again when the cell is run again"
    with _Runs(jobs, Given(train, test, target), progress) as runs, saying_stopped(runs.bar, words):
        while runs.left:
            if begun := runs.begin(1):
                begun += runs.begin(_workers([*begun, *runs.left.values()], runs.given) - 1)
                if len(begun) > 1:
                    _side_by_side(begun, runs)
                else:
                    _here(*begun[0], runs)
            elif runs.left:
                name, job = next(iter(runs.left.values()))
                say(runs.bar, f"{name}: {cache.other(job.key)} trains it; if that stops, this one does")
                time.sleep(cache.LOOK_EVERY)
    return runs.states, runs.read


class _Runs:
    """The runs of one call: those that are left, the states of those that are done, and the bar that shows both.

    A run is locked from its beginning to its end only, so that another notebook can train those that are left. They are all
    unlocked when the context ends.
    """

    def __init__(self, jobs: list[tuple[str, Job]], given: Given, progress: bool) -> None:
        from tqdm.auto import tqdm

        self.given, self.total = given, len(jobs)
        self.left = {job.key: (name, job) for name, job in jobs}  # not begun, or begun by another process
        self.states: States = {}
        self.read: set[str] = set()  # keys of those that another process has done
        self._locks: dict[str, ExitStack] = {}
        steps = sum(job.steps(len(given.train)) for _, job in jobs)
        self.bar = tqdm(total=steps, unit="step", disable=hidden(progress), mininterval=0.3)

    def begin(self, most: int) -> list[tuple[str, Job]]:
        """Lock and return up to so many runs that no other process has begun; read those that are kept by now."""
        begun: list[tuple[str, Job]] = []
        for key, (name, job) in list(self.left.items()):
            if len(begun) >= most:
                break
            with ExitStack() as lock:
                mine = lock.enter_context(cache.alone(key))
                if (state := cache.kept(key)) is not None:  # by another process, since the last look
                    self.states[key] = state
                    self.read.add(key)
                    self.bar.update(job.steps(len(self.given.train)))
                elif mine:
                    self._locks[key] = lock.pop_all()
                    begun.append((name, job))
                else:
                    continue
            del self.left[key]
        return begun

    def keep(self, name: str, job: Job, state: dict) -> None:
        """Keep the state of a run that is done."""
        self.states[job.key] = state
        cache.keep(name, job.key, state)
        self.unlock(job)

    def unlock(self, job: Job) -> None:
        """Give back the lock of a run that is done or has failed."""
        self._locks.pop(job.key).close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()
        for lock in self._locks.values():
            lock.close()


def _workers(jobs: list[tuple[str, Job]], given: Given) -> int:
    """Return how many processes are to train these runs; 1 means this one."""
    work = sum(job.steps(len(given.train)) * job.config.step_images for _, job in jobs)
    in_memory = all(isinstance(images, ImageSet) for images in (given.train, given.test) if images is not None)
    if len(jobs) < 2 or not in_memory or work < WORTH or resolve_device("auto").type != "cpu":
        return 1
    return max(1, min(len(jobs), free_cores() // (chosen() or 1), 8))


def _here(name: str, job: Job, runs: _Runs) -> None:
    bar = runs.bar
    bar.set_description_str(name)

    def on_step(trainer: Trainer) -> None:
        h = trainer.history
        if trainer.steps_done % 5 == 0:
            bar.set_postfix_str(f"loss {h.loss[-1]:.3f}, √d·std {h.std[-1]:.2f}", refresh=False)
        bar.update()

    runs.keep(name, job, train_and_judge(job, *runs.given, on_step))


# --- side by side: this process -----------------------------------------------------------------


def _side_by_side(begun: list[tuple[str, Job]], runs: _Runs) -> None:
    """Train these runs, each in a process of its own, and then others of those that are left, in their places."""
    from concurrent.futures import FIRST_COMPLETED, wait
    from concurrent.futures.process import BrokenProcessPool

    from joblib.externals.loky import ProcessPoolExecutor

    workers, threads, bar = len(begun), chosen() or 1, runs.bar
    failures: list[tuple[str, Exception]] = []
    with tempfile.TemporaryDirectory(prefix="byol_tutorial-", ignore_cleanup_errors=True) as folder:
        marks = Path(folder)
        theirs, ours = Pipe(duplex=False)
        pool = ProcessPoolExecutor(
            workers,
            initializer=_begin,
            initargs=(theirs, threads, marks, runs.given),
            env={"OMP_NUM_THREADS": str(threads)},
        )
        try:
            working = {pool.submit(_work, job): (name, job) for name, job in begun}
            places, shown = workers, 0
            while working:
                bar.set_description_str(f"{len(working)} run{'s' * (len(working) > 1)} side by side", refresh=False)
                finished, _ = wait(working, timeout=0.3, return_when=FIRST_COMPLETED)
                steps = sum(file.stat().st_size for file in marks.iterdir())
                bar.update(steps - shown)
                shown = steps
                for future in [future for future in working if future in finished]:  # in the order of the jobs
                    name, job = working.pop(future)
                    try:
                        state = future.result()
                    except BrokenProcessPool as error:  # it is unknown which run failed, and all others end too
                        others = [*working.values(), *runs.left.values()]
                        unfinished = ", ".join([name, *(other for other, _ in others)])
                        text = f"a training process ended unexpectedly, perhaps for lack of memory; not finished: {unfinished}"
                        text += ". Finished runs are kept: call again to train the others"
                        failures.append((text, error))
                    except UserError as error:
                        failures.append((f"{name}: {error}", error))
                    except Exception as error:
                        failures.append((f"{name}: {type(error).__name__}: {error}", error))
                    else:
                        runs.keep(name, job, state)
                        bar.set_postfix_str(f"{len(runs.states)} of {runs.total} runs: {name} done")
                        continue
                    runs.unlock(job)
                if failures or not runs.left:
                    continue
                if finished:
                    places = max(1, min(workers, free_cores(len(working) * threads) // threads))
                for name, job in runs.begin(places - len(working)):
                    working[pool.submit(_work, job)] = name, job
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
