"""byol-tutorial: train and evaluate from the command line. Options, help and ranges are Config's own."""

import sys
from pathlib import Path

import rich_click as click
import torch
from rich.console import Console
from rich.table import Table

from . import __version__, runfolder
from .config import FIELDS, PRESETS, Pair, UserError, preset
from .data import ImageSet
from .train import Trainer, resolve_device

PRESET_OF = {"shapes": "shapes", "digits": "digits"}  # any other data: "photos"
INTERRUPTED = 130  # exit status after Ctrl-C, as shells have it

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
        metavar = "|".join(meta["choices"]) if meta["choices"] else None
        text = f"{meta['help']} [{_shown(field.default)}]"
        kwargs = {} if field.type is bool else {"type": kind, "metavar": metavar}
        command = click.option(names, name, default=None, help=text, panel=meta["group"], **kwargs)(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="byol-tutorial")
def app():
    """Train BYOL (Grill et al. 2020) on drawn shapes, on known data sets or on your own images, and judge it."""


DATA_HELP = "shapes, digits, a torchvision set (cifar10, stl10, ...), or folder:PATH"


@app.command()
@click.option("--data", default="shapes", help=f"{DATA_HELP} [shapes]", panel="Run")
@click.option(
    "--out", type=click.Path(path_type=Path), help="folder of the run; must be new [runs/NAME-001, ...]", panel="Run"
)
@click.option("--preset", "preset_name", help=f"recipe to start from: {', '.join(PRESETS)} [by the data]", panel="Run")
@click.option(
    "--size", type=int, help="pixels a side the images are brought to [their own up to 96 px, else 96]", panel="Run"
)
@click.option("--limit", type=int, help="use at most so many images [all]", panel="Run")
@click.option("--corrupt", default="refuse", help="files that cannot be read: refuse or skip [refuse]", panel="Run")
@click.option("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps [auto]", panel="Run")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads [as many as cores]", panel="Run")
@config_options
def train(data, out, preset_name, size, limit, corrupt, device, threads, **fields):
    """Train BYOL and judge it.

    Writes a run folder and ends with a table: raw pixels, the encoder before training, and after it, by kNN
    and by linear probe. Ctrl-C stops after a whole step and keeps what was learned.

    The number in brackets is the default of "shapes". An option of two values, for T and T′, takes one
    number for both or two with a comma: --blur-p 1.0,0.1.
    """
    # First what costs nothing to check: a typing error must not cost a download.
    given = {name: value for name, value in fields.items() if value is not None}
    config = preset(preset_name or PRESET_OF.get(data, "photos"), **given)
    resolve_device(device)
    out = out or runfolder.new_path(data.removeprefix("folder:").rstrip("/\\").replace("\\", "/").split("/")[-1])
    runfolder.check_free(out)
    if threads:
        torch.set_num_threads(threads)

    source = {"name": data, "size": size, "limit": limit, "corrupt": corrupt}
    images, test = runfolder.load_data(source)
    for each in filter(None, (images, test)):
        console.print(repr(each))
        for file in each.skipped:
            console.print(f"  left out, cannot be read: {file}")
    if "batch_size" not in given and config.batch_size > len(images):
        config = config.replace(batch_size=len(images))
        console.print(f"batch_size lowered to {len(images)}, the number of images")
    trainer = Trainer(config, images, test, device)
    runfolder.create(out)
    runfolder.write_settings(out, config, source)
    console.print(f"{config.epochs} epochs of {trainer.steps_per_epoch} steps on {trainer.device}; run folder {out}")

    def each_epoch(trainer: Trainer) -> None:
        if trainer.steps_done % trainer.steps_per_epoch == 0:
            runfolder.save_state(out, trainer)

    try:
        trainer.run(on_step=each_epoch)
    finally:
        if trainer.steps_done:
            runfolder.save_state(out, trainer)
    if trainer.interrupted:
        console.print(f"stopped at step {trainer.steps_done} of {trainer.total_steps}; kept in {out}")
        console.print(f"judge it with: byol-tutorial evaluate {out}")
        sys.exit(INTERRUPTED)
    judge(trainer, images, test, out)
    console.print(f"all of it is in {out}")


@app.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps [auto]")
def evaluate(run, device):
    """Judge the run in folder RUN again: collapse verdict, kNN and linear probe beside the baselines."""
    resolve_device(device)
    trainer, images, test = runfolder.open_run(run, device)
    console.print(f"{run}: {trainer.steps_done} of {trainer.total_steps} steps on {images!r}")
    judge(trainer, images, test, run)


def judge(trainer: Trainer, images: ImageSet, test: ImageSet | None, out: Path) -> None:
    """Print the verdict and the table; write results.json and the figures."""
    from . import figures
    from .evaluate import compare, features, nearest, pixels

    report = trainer.report()
    results: dict = {"steps": trainer.steps_done, "verdict": report.verdict, "std": report.std, "rank": report.rank}
    console.print(str(report))
    encoders = {"random encoder": trainer.initial_encoder(), "BYOL": trainer.model.encoder}
    labelled = images.labels is not None and test is not None and test.labels is not None
    if labelled and len(images.labels.unique()) > 1:
        comparison = compare(encoders, images, test)
        table = Table("", "kNN", "linear probe", title=f"{len(test)} test images, {len(test.classes)} classes")
        for name, (knn, linear) in comparison.rows.items():
            table.add_row(name, f"{knn:.3f}", f"{linear:.3f}")
        console.print(table)
        results["table"] = {name: {"knn": k, "linear": p} for name, (k, p) in comparison.rows.items()}
    else:
        console.print(
            "no table: accuracies need train and test images with labels, one sub-folder a class, two at least"
        )
    runfolder.write_json(out / "results.json", results)

    few = images.images[:10]
    v1, v2 = trainer.views(few.to(trainer.device))
    mean, std = (torch.tensor(s)[:, None, None] for s in (trainer.mean, trainer.std))
    v1, v2 = ((v.cpu() * std + mean).clamp(0, 1) for v in (v1, v2))
    bank, queries = images.sample(2000), (test or images).sample(8, seed=1)
    found = {"raw pixels": nearest(pixels(queries.images), pixels(bank.images), 6)}
    found |= {n: nearest(features(f, queries.images), features(f, bank.images), 6) for n, f in encoders.items()}
    pictures = {
        "views": figures.view_pairs(few, v1, v2),
        "curves": figures.curves({"BYOL": trainer.history.to_dict()}, trainer.steps_per_epoch),
        "neighbours": figures.neighbours(queries.images, {n: bank.images[i] for n, i in found.items()}),
    }
    for name, picture in pictures.items():
        runfolder.write_atomically(out / "figures" / f"{name}.png", lambda file, p=picture: file.write(p.png()))


def main(arguments: list[str] | None = None) -> None:
    """The entry point: whatever a user can mend is one line on standard error, without a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a Windows code page has no √ or τ: write ? rather than fail
            stream.reconfigure(errors="replace")
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


def _fail(message: str, status: int) -> None:
    print("error: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
