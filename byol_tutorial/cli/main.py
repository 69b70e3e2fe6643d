"""byol-tutorial: train and evaluate from the command line. Options, help and ranges are Config's own."""

import os
import re
import signal
import sys
from pathlib import Path

import numpy
import rich_click as click
import torch
from rich.console import Console

from .._version import __version__
from ..config.config import FIELDS, Config
from ..config.errors import DivergedError, UserError
from ..config.fields import Pair
from ..config.presets import PRESETS, preset
from ..course import commands
from ..data import streaming
from ..data.decode import LARGEST_DEFAULT
from ..data.loading import EMBEDDED
from ..evaluate.embed import KINDS, pca_embedding, umap_embedding
from ..evaluate.features import features, kept_size
from ..evaluate.pretrained import Guest, guest
from ..evaluate.protocols import PROTOCOLS
from ..runtime import distributed
from ..runtime.device import resolve_device
from ..runtime.distributed import process
from ..runtime.signals import ignored
from ..train.trainer import Trainer
from . import run_folder

PRESET_OF = {"shapes": "shapes", "digits": "digits"}  # any other data: "photos"
INTERRUPTED = 128 + signal.SIGINT  # exit status after Ctrl-C, as shells have it

# Text goes out as it is: brackets in a path are no markup, and a long path stays in one piece.
console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
click.rich_click.TEXT_MARKUP = None
click.rich_click.MAX_WIDTH = 110


class PairType(click.ParamType):
    """One number for both view distributions, or two with a comma between them: for T and for T′."""

    name = "number[,number]"

    def convert(self, value, param, ctx):
        try:
            numbers = tuple(float(part) for part in str(value).split(","))
        except ValueError:
            numbers = ()
        if len(numbers) not in (1, 2):
            self.fail(f"{value!r}: give one number, or two for T and T′, such as 1.0,0.1", param, ctx)
        return numbers * 2 if len(numbers) == 1 else numbers


def _shown(value) -> str:
    if isinstance(value, tuple):
        return ",".join(f"{v:g}" for v in (value[:1] if value[0] == value[1] else value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def config_options(command):
    """Give a command one option for every field of Config; those not typed are None, and left to the preset."""
    for name, field in reversed(FIELDS.items()):
        meta = field.metadata
        flag = f"--{name.replace('_', '-')}"
        kind = {bool: click.BOOL, Pair: PairType()}.get(field.type, field.type)
        if meta["choices"]:
            kind = click.STRING  # Config checks it, and says what is allowed
        names = f"{flag}/--no-{flag[2:]}" if field.type is bool else flag
        metavar = "|".join(meta["choices"] or ()) or None
        if metavar and len(metavar) > 30:
            metavar = metavar.replace("|", " | ")  # so that a line breaks between two of them
        text = f"{meta['help']} [{_shown(field.default)}]"
        kwargs = {} if field.type is bool else {"type": kind, "metavar": metavar}
        if meta["alone"]:
            kwargs |= {"is_flag": False, "flag_value": meta["alone"]}
        command = click.option(names, name, default=None, help=text, panel=meta["group"], **kwargs)(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="byol-tutorial")
def app():
    """Train BYOL (Grill et al. 2020), or a relative, on drawn shapes, on known data sets or on your own images; judge it."""


WORKERS = {
    "type": click.IntRange(min=0),
    "help": "processes that decode a folder which is streamed; 0 none [one less than cores, from 1 to 8]",
}
GUESTS = {
    "multiple": True,
    "metavar": "NAME=FILE",
    "help": "an encoder of torchvision (resnet50) or timm (timm:vit_small_patch14_dinov2.lvd142m) with weights from "
    "FILE, or NAME=download, or NAME=random; several are possible",
}
GUEST_SIZE = {"type": click.IntRange(min=8), "help": "pixels a side that guests see images at [each guest's own]"}
DATA_HELP = "shapes, digits, a torchvision set (cifar10, stl10, ...), or folder:PATH"


@app.command()
@click.option("--data", help=f"{DATA_HELP} [shapes]", panel="Run")
@click.option(
    "--out", type=click.Path(path_type=Path), help="folder of the run; must be new [runs/NAME-001, ...]", panel="Run"
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    help="go on with the run in this folder, from its last checkpoint, with its own data and options",
    panel="Run",
)
@click.option("--preset", "preset_name", help=f"recipe to start from: {', '.join(PRESETS)} [by the data]", panel="Run")
@click.option(
    "--size", type=int, help="pixels a side the images are brought to [their own up to 96 px, else 96]", panel="Run"
)
@click.option("--limit", type=int, help="use at most so many images [all]", panel="Run")
@click.option("--corrupt", help="files that cannot be read: refuse or skip [refuse]", panel="Run")
@click.option(
    "--stream/--no-stream",
    "streamed",
    default=None,
    help="decode the images of a folder while training, or keep them in memory [by their size]",
    panel="Run",
)
@click.option("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps [auto]", panel="Run")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads [as many as cores]", panel="Run")
@click.option("--workers", panel="Run", **WORKERS)
@config_options
def train(data, out, resume, preset_name, size, limit, corrupt, streamed, device, threads, workers, **fields):
    """Train BYOL, or another --method, and judge it.

    Writes a run folder and ends with a table: raw pixels, the encoder before training, and after it, by kNN
    and by linear probe. Ctrl-C and SIGTERM stop after a whole step and keep what was learned; --resume goes on.

    The number in brackets is the default of "shapes". An option of two values, for T and T′, takes one
    number for both or two with a comma: --blur-p 1.0,0.1.

    On several GPUs: torchrun --nproc-per-node=N -m byol_tutorial train ...
    """
    given = {name: value for name, value in fields.items() if value is not None}
    source = {"name": data, "size": size, "limit": limit, "corrupt": corrupt, "stream": streamed}
    device = distributed.join(device)
    console.quiet = not process().is_main
    if threads:
        torch.set_num_threads(threads)
    streaming.set_workers(workers)
    if resume:
        trainer, test, out = resumed(resume, out, preset_name, source, given, device)
    else:
        trainer, test, out = started(out, preset_name, source, given, device)
    go_on(trainer, test, out)


def started(out: Path | None, preset_name: str | None, source: dict, given: dict, device: str):
    """A new run: trainer, test images, run folder."""
    # First what costs nothing to check: a typing error must not cost a download.
    data = source["name"] = source["name"] or "shapes"
    source["corrupt"] = source["corrupt"] or "refuse"
    config = recipe(data, preset_name, given)
    resolve_device(device)
    out = out or run_folder.new_path(data.removeprefix("folder:").rstrip("/\\").replace("\\", "/").split("/")[-1])
    if process().is_main:
        run_folder.check_free(out)
    if source["size"] is None and config.view_size:
        source["size"] = stored_size(config.view_size, data)

    images, test = run_folder.load_data(source)
    for each in filter(None, (images, test)):
        console.print(repr(each))
        for file in each.skipped:
            console.print(f"  left out, cannot be read: {file}")
    if "batch_size" not in given and config.step_images > len(images):
        passes = config.accumulation_steps if "accumulation_steps" in given else 1
        batch = min(config.batch_size, max(2, len(images) // passes))
        console.print(
            f"batch_size {batch} and accumulation_steps {passes} instead of {config.batch_size} and "
            f"{config.accumulation_steps}: there are {len(images)} images"
        )
        config = config.replace(batch_size=batch, accumulation_steps=passes)
    trainer = Trainer(config, images, test, device)
    if process().is_main:
        run_folder.create(out)
        run_folder.write_settings(out, config, source)
    run_folder.save_state(out, trainer)  # so that a run that is killed before its first epoch ends can be resumed
    return trainer, test, out


def recipe(data: str, preset_name: str | None, given: dict) -> Config:
    """The preset named, else that of the data, else, on "shapes", that of the method; with what was given changed."""
    if preset_name is None and data == "shapes" and given.get("method") in PRESETS:
        preset_name = given["method"]
    config = preset(preset_name or PRESET_OF.get(data, "photos"), **given)
    for name in given:
        of = FIELDS[name].metadata["of"]
        if config.method not in of:
            raise UserError(
                f"{name}={given[name]}: it has no part in {config.method}, but in {', '.join(of)}; leave it out"
            )
    return config


def stored_size(view_size: int, data: str) -> int | None:
    """Pixels a side to keep images at, for views of this size; None: their own. Small pictures are not enlarged."""
    keeps_its_own = data in EMBEDDED or (not data.startswith("folder:") and view_size <= LARGEST_DEFAULT)
    return None if keeps_its_own else kept_size(view_size)


def resumed(path: Path, out: Path | None, preset_name: str | None, source: dict, given: dict, device: str):
    """The run in this folder, as its last checkpoint has it: trainer, test images, run folder."""
    for option, value in (("--out", out), ("--preset", preset_name)):
        if value is not None:
            raise run_folder.RunError(f"{option} {value}: a resumed run keeps its own; leave it out")
    asked = {name: value for name, value in source.items() if value is not None}
    trainer, _, test = run_folder.open_run(path, device, asked, given)
    if process().is_main:
        run_folder.remove_parts(path)
    console.print(f"{path}: going on at step {trainer.steps_done} of {trainer.total_steps} on {trainer.train!r}")
    return trainer, test, path


def go_on(trainer: Trainer, test, out: Path) -> None:
    """Train to the end, or to a signal, saving after each epoch; then judge."""
    config, left = trainer.config, trainer.feed.left_over
    console.print(
        f"{config.epochs} epochs of {trainer.steps_per_epoch} steps on {trainer.device}; run folder {out}"
        + (f"; {left} images wait for another epoch, others each time" if left else "")
    )

    def each_epoch(trainer: Trainer) -> None:
        if trainer.steps_done % trainer.steps_per_epoch == 0:
            run_folder.save_state(out, trainer)

    with ignored(signal.SIGTERM):  # a second one must not break into the saving
        try:
            trainer.run(on_step=each_epoch, stop_signals=(signal.SIGINT, signal.SIGTERM))
        except DivergedError:
            raise  # the weights before it are no good either: the last epoch's checkpoint stays
        except BaseException:
            if trainer.steps_done:
                run_folder.save_state(out, trainer)
            raise
        run_folder.save_state(out, trainer)
        if trainer.interrupted:
            console.print(f"stopped at step {trainer.steps_done} of {trainer.total_steps}; kept in {out}")
            console.print(f"go on with: byol-tutorial train --resume {out}")
            console.print(f"judge it with: byol-tutorial evaluate {out}")
            sys.exit(128 + (trainer.stop_signal or signal.SIGINT))
    found = trainer.diagnosis()
    if process().is_main:
        from .report import judge

        judge(trainer, test, out, found, console)
        console.print(f"all of it is in {out}")


@app.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--protocol",
    "protocols",
    multiple=True,
    help=f"{', '.join(PROTOCOLS)}; several are possible [none: verdict and table]",
)
@click.option("--data", help="judge the encoder by the protocols on this data instead of the run's own")
@click.option("--guest", "guests", **GUESTS)
@click.option("--guest-size", **GUEST_SIZE)
@click.option("--seed", type=int, default=0, help="decides splits, batches and crops of the protocols [0]")
@click.option("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps [auto]")
@click.option("--workers", **WORKERS)
def evaluate(run, protocols, data, guests, guest_size, seed, device, workers):
    """Judge the run in folder RUN again: verdict, kNN and linear probe beside the baselines; or by protocols.

    knn, linear: quick, on frozen features. sgd-linear: the paper's linear evaluation. few-labels-1, -10:
    fine-tuning on 1 % or 10 % of the labels. transfer: another data set, with --data. factors: what is left
    of each factor of "shapes". The random encoder goes through the same, and stands beside.

    Guests are encoders that others trained. They see the same images, brought to the size they are made for.
    """
    from .report import check_protocols, judge, run_protocols

    streaming.set_workers(workers)
    check_protocols(protocols, data)
    guests = invite(guests, guest_size, resolve_device(device))
    trainer, images, test = run_folder.open_run(run, device)
    console.print(f"{run}: {trainer.steps_done} of {trainer.total_steps} steps on {images!r}")
    if not protocols:
        judge(trainer, test, run, trainer.diagnosis(), console, guests)
        return
    if data is not None:
        images, test = run_folder.load_data({"name": data, "size": images.image_size[0]})
        console.print(repr(images))
    run_protocols(protocols, trainer, images, test, seed, run, console, guests)


def invite(asked: tuple[str, ...], size: int | None, device) -> dict[str, Guest]:
    """Guests asked for as NAME=FILE, NAME=download or NAME=random, by name; of one name twice, with the file's too."""
    if size and not asked:
        raise UserError(f"--guest-size {size}: it is for guests; name one with --guest")
    pairs = [each.partition("=")[::2] for each in asked]
    found: dict[str, Guest] = {}
    for name, source in pairs:
        if not name or not source:
            raise UserError(f"--guest {name}: write NAME=FILE, NAME=download (asks the network) or NAME=random")
        who = name if sum(name == other for other, _ in pairs) == 1 else f"{name} ({Path(source).name})"
        if who in found:
            raise UserError(f"--guest {name}={source}: there is another of this name and file name; leave one out")
        how = {source: True} if source in ("download", "random") else {"weights": source}
        found[who] = guest(name, size=size, **how).to(device)
    return found


@app.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--kind", type=click.Choice(KINDS), default="umap", help="how to bring them to two dimensions [umap]")
@click.option("--split", type=click.Choice(["train", "test"]), help="which images [test, if there are any]")
@click.option("--data", help="other images than the run's own, resized to its size")
@click.option("--limit", type=click.IntRange(4), default=5000, help="at most so many images [5000]")
@click.option("--guest", "guests", **GUESTS)
@click.option("--guest-size", **GUEST_SIZE)
@click.option("--seed", type=int, default=0, help="of the map, and of which images [0]")
@click.option("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps [auto]")
def embed(run, kind, split, data, limit, guests, guest_size, seed, device):
    """The representations of images, and a map of them, by the encoder in run folder RUN.

    Writes RUN/embeddings.npz: features (N, D) and map (N, 2), float32; labels (N,), -1 where unknown; classes. Read
    it with numpy.load. And RUN/figures/map.png.

    With guests, theirs instead, of the same images: RUN/embeddings-NAME.npz and RUN/figures/map-NAME.png.
    """
    from ..course.figures.maps import by_class, show_maps

    guests = invite(guests, guest_size, resolve_device(device))
    trainer, images, test = run_folder.open_run(run, device)
    if data is not None:
        images, test = run_folder.load_data({"name": data, "size": images.image_size[0]})
    if split == "test" and test is None:
        raise UserError(f"--split test: {images.name!r} has no test images; leave it out, or add a test/ folder")
    chosen = images if split == "train" or test is None else test
    chosen = chosen if len(chosen) <= limit else chosen.sample(limit, seed)
    title = {"pca": "PCA", "umap": "UMAP"}[kind]
    labels = torch.full((len(chosen),), -1) if chosen.labels is None else chosen.labels
    for who, encoder in (guests or {"": trainer.model.encoder}).items():
        y = features(encoder, chosen)
        points = pca_embedding(y) if kind == "pca" else umap_embedding(y, seed)
        content = {"features": y.numpy(), "map": points.numpy(), "labels": labels.numpy()}
        content["classes"] = list(chosen.classes)
        suffix = "-" + re.sub(r"[^\w.-]+", "-", who).strip("-") if who else ""
        file = run / f"embeddings{suffix}.npz"
        run_folder.write_atomically(file, lambda opened, content=content: numpy.savez(opened, **content))
        of = f"the representations of {len(y):,} images of {chosen.name!r}" + (f" by {who}" if who else "")
        picture = show_maps(
            [{f"{title} of {len(y):,} images": points}], [by_class(labels.clamp(min=0))], chosen.classes[:10],
            inches=5.0, alt=f"{title} of {of}, coloured by class",
        )  # fmt: skip
        run_folder.write_atomically(
            run / "figures" / f"map{suffix}.png", lambda opened, picture=picture: opened.write(picture.png())
        )
        console.print(f"{who or run}: {chosen!r}; features {tuple(y.shape)} and their map in {file}")


app.add_command(commands.claims)
app.add_command(commands.course)


def main(arguments: list[str] | None = None) -> None:
    """The entry point: whatever a user can mend is one line on standard error, without a traceback."""
    for output in (sys.stdout, sys.stderr):
        if hasattr(output, "reconfigure"):  # a Windows code page has no √ or τ: write ? rather than fail
            output.reconfigure(errors="replace")
    try:
        app.main(arguments, prog_name="byol-tutorial", standalone_mode=False)
    except (UserError, OSError) as error:  # OSError: a full disk, a path too long, no permission
        _fail(str(error), 1)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "byol-tutorial"
        _fail(f"{error.format_message().rstrip('.')}; see {command} --help", error.exit_code)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted; a run folder named above keeps what was learned", INTERRUPTED)
    finally:
        distributed.leave()


def _fail(message: str, status: int) -> None:
    who = f"process {os.environ['RANK']}: " if int(os.environ.get("WORLD_SIZE", 1)) > 1 else ""
    print("error: " + who + " ".join(message.split()), file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
