"""The runs that are not kept yet: one after another in this process, or side by side in processes of their own.

A worker is `python -m byol_tutorial.course.parallel FOLDER`: a new interpreter. It finds the images in FOLDER/data.pt,
reads the names of job files from its input, one a line, and answers with lines of JSON: {"steps": 25}, {"done": key},
{"error": text, "mendable": bool}. What a job gives is kept by cache.keep, or in FOLDER if that cannot be written.
"""

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict
from pathlib import Path

import torch

from ..config.config import Config
from ..config.errors import UserError
from ..data.image_set import ImageSet
from ..runtime.device import cores, resolve_device
from ..runtime.progress import hidden
from ..train import checkpoint
from . import cache
from .jobs import Job, train_and_judge

WORTH = 40_000  # images to pass, in all the runs together, from which starting processes pays
SHOWN_EVERY = 25  # steps


def carry_out(jobs: list[tuple[str, Job]], train, test, target, states: dict, progress: bool) -> None:
    """Do these jobs, named; write what each gives into states[job.key], and keep it.

    target: None, or the finished run whose online network is the fixed target of all of them.
    """
    from tqdm.auto import tqdm

    steps = sum(job.steps(len(train)) for _, job in jobs)
    work = sum(job.steps(len(train)) * job.config.step_images for _, job in jobs)
    in_memory = all(isinstance(images, ImageSet) for images in (train, test) if images is not None)
    workers = min(len(jobs), cores(), 8)
    side_by_side = workers > 1 and in_memory and work >= WORTH and resolve_device("auto").type == "cpu"
    with tqdm(total=steps, unit="step", disable=hidden(progress), mininterval=0.3) as bar:
        if side_by_side:
            _side_by_side(jobs, train, test, target, states, workers, bar)
        else:
            _one_by_one(jobs, train, test, target, states, bar)


def _one_by_one(jobs, train, test, target, states, bar) -> None:
    for name, job in jobs:
        bar.set_description_str(name)

        def on_step(trainer) -> None:
            h = trainer.history
            if trainer.steps_done % 5 == 0:
                bar.set_postfix_str(f"loss {h.loss[-1]:.3f}, √d·std {h.std[-1]:.2f}", refresh=False)
            bar.update()

        network = None if target is None else target.network
        states[job.key] = train_and_judge(job, train, test, network, on_step)
        cache.keep(name, job.key, states[job.key])


# --- side by side: this end ---------------------------------------------------------------------


def _side_by_side(jobs, train, test, target, states, workers: int, bar) -> None:
    with tempfile.TemporaryDirectory(prefix="byol_tutorial-") as place, contextlib.ExitStack() as stack:
        place = Path(place)
        data = {"train": _pack(train), "test": None if test is None else _pack(test), "target": None}
        if target is not None:
            data["target"] = {
                "config": target.config.to_dict(),
                "view_size": target.network.view_size,
                "state": target.network.state_dict(),
            }
        torch.save(data, place / "data.pt")
        waiting, heard = queue.SimpleQueue(), queue.SimpleQueue()
        for i, (name, job) in enumerate(jobs):
            torch.save({"name": name, "job": asdict(job) | {"config": job.config.to_dict()}}, place / f"{i}.job")
            waiting.put(f"{i}.job")
        threads = max(1, cores() // workers)
        for _ in range(workers):
            process = stack.enter_context(_worker(place, threads))
            threading.Thread(target=_serve, args=(process, waiting, heard), daemon=True).start()
        _listen(jobs, heard, states, place, workers, bar)


@contextlib.contextmanager
def _worker(place: Path, threads: int):
    """A worker process; it ends when this block does, whatever happens."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "BYOL_THREADS": str(threads)}
    process = subprocess.Popen(
        [sys.executable, "-m", "byol_tutorial.course.parallel", str(place)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=(errors := tempfile.TemporaryFile("w+")),  # noqa: SIM115  (closed below)
        text=True,
        encoding="utf-8",
        env=environment,
    )
    process.errors = errors
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        errors.close()


def _serve(process, waiting: queue.SimpleQueue, heard: queue.SimpleQueue) -> None:
    """Give one worker job after job and pass on what it says; None at the end."""
    try:
        while True:
            process.stdin.write(waiting.get_nowait() + "\n")
            process.stdin.flush()
            for line in process.stdout:
                message = json.loads(line)
                heard.put(message)
                if "steps" not in message:
                    break
            else:
                process.wait()
                process.errors.seek(0)
                last = (process.errors.read().strip().splitlines() or ["no word"])[-1]
                heard.put({"error": f"a training process ended unexpectedly ({process.returncode}): {last}"})
                break
    except queue.Empty:
        pass
    except (OSError, ValueError) as error:
        heard.put({"error": f"a training process could not be reached: {error}"})
    heard.put(None)


def _listen(jobs, heard: queue.SimpleQueue, states: dict, place: Path, workers: int, bar) -> None:
    """Until every worker is through. The bar is moved by this thread only: notebooks want it so."""
    names, failures, finished = {job.key: name for name, job in jobs}, [], 0
    while workers:
        try:
            message = heard.get(timeout=1)  # a wait without end could not be interrupted everywhere
        except queue.Empty:
            continue
        match message:
            case None:
                workers -= 1
            case {"steps": steps}:
                bar.update(steps)
            case {"done": key}:
                states[key] = cache.kept(key) or torch.load(place / f"{key}.pt", weights_only=True)
                finished += 1
                bar.set_postfix_str(f"{finished} of {len(jobs)} runs: {names[key]} done")
            case failure:
                failures.append(failure)
    if failures:
        raise UserError(failures[0]["error"])


def _pack(images: ImageSet) -> dict:
    return {
        "name": images.name,
        "split": images.split,
        "images": images.images,
        "labels": images.labels,
        "classes": list(images.classes),
    }


# --- side by side: the worker -------------------------------------------------------------------


def main(place: Path) -> None:
    torch.set_num_threads(int(os.environ.get("BYOL_THREADS", 1)))
    data = torch.load(place / "data.pt", weights_only=True)
    train, test = (data[k] and ImageSet(**data[k]) for k in ("train", "test"))
    target = None
    if data["target"] is not None:
        from ..methods.registry import build_model

        target = build_model(Config.from_dict(data["target"]["config"]), data["target"]["view_size"])
        target.load_state_dict(data["target"]["state"])
    for line in sys.stdin:
        task = torch.load(place / line.strip(), weights_only=True)
        job = Job(**task["job"] | {"config": Config.from_dict(task["job"]["config"])})

        def on_step(trainer, job=job) -> None:
            done, all_of_it = trainer.steps_done, job.steps(len(train))
            if done % SHOWN_EVERY == 0 or done == all_of_it:
                say(steps=SHOWN_EVERY if done % SHOWN_EVERY == 0 else done % SHOWN_EVERY)

        try:
            state = train_and_judge(job, train, test, target, on_step)
            cache.keep(task["name"], job.key, state)
            if cache.kept(job.key) is None:
                checkpoint.write_atomically(place / f"{job.key}.pt", lambda f, state=state: torch.save(state, f))
            say(done=job.key)
        except UserError as error:
            say(error=f"{task['name']}: {error}")


def say(**message) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
