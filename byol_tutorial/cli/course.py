"""byol-tutorial lessons, claims, and course student | teacher | marks | board."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import rich_click as click

from ..config.errors import UserError
from ..config.installed import is_installed

LAB = Path(__file__).parents[1] / "course" / "lab" / "jupyter_lab_config.py"  # how JupyterLab is started


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("lab", nargs=-1, metavar="[-- OPTION OF JUPYTERLAB ...]")
@click.option("--open", "show", is_flag=True, help="then open JupyterLab on the first lesson that is there")
def lessons(folder: Path, lab: tuple[str, ...], show: bool) -> None:
    """Write the lessons into FOLDER, to run and to change there.

    In a folder that has the lessons already, those that you have not changed are brought up to date. With --open the
    folder is opened; what follows -- is for JupyterLab: lessons DIR --open -- --no-browser
    """
    from ..course.editions import notebooks_in, renew, write_edition

    if lab and not show:
        raise UserError(f"{' '.join(lab)}: options of JupyterLab need --open, which starts it")
    if there := notebooks_in(folder):
        renewed, kept = renew(folder)
        click.echo(f"the lessons are in {folder} already; what you changed stays as it is")
        if renewed:
            click.echo(f"brought up to date, as you had not changed them: {', '.join(f.name for f in renewed)}")
        if kept:
            click.echo(f"newer in the course, but changed by you: {', '.join(f.name for f in kept)}")
            click.echo("for fresh ones name a new folder")
    else:
        there = write_edition("lessons", folder)
        click.echo(f"{len(there)} notebooks in {folder}")
    if show:
        open_lab(there[0], lab)


def open_lab(notebook: Path, options: Sequence[str] = ()) -> None:
    """Open JupyterLab on a notebook, until it is stopped. It asks no other host for anything; see course/lab.

    Raises:
        UserError: JupyterLab is not installed.
    """
    if not is_installed("jupyterlab"):
        raise UserError(
            "JupyterLab is not installed: pip install 'byol-tutorial[notebooks]', or open the notebooks elsewhere"
        )
    command = [sys.executable, "-m", "jupyterlab", f"--config={LAB}", *options, str(notebook)]
    subprocess.run(command, check=False)


@click.command()
@click.argument("rows", nargs=-1, metavar="[ROW ...]")
@click.option(
    "--run", is_flag=True, help="measure what is not measured yet: about a minute for each experiment and seed"
)
@click.option("--page", type=click.Path(path_type=Path), help="write the whole ledger to this file, as Markdown")
def claims(rows: tuple[str, ...], run: bool, page: Path | None) -> None:
    """Show the ledger: what the papers claim, what we measured, and whether the two agree.

    ROW is the name of a claim, such as tau-zero; claims that are named are shown in full. Without names, all are listed.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from ..course.ledger import claims as ledger

    chosen = ledger.choose(rows)
    if run:
        ledger.measure_rows(rows, say=lambda text: click.echo(text))
    if page is not None:
        from ..runtime.files import write_atomically

        write_atomically(page, lambda file: file.write(ledger.page().encode()))
        page.chmod(0o644)
        click.echo(f"written to {page}")
        return
    if rows:
        for claim in chosen:
            click.echo(f"{claim.id}: {claim.says}")
            for heading, text in claim.lines():
                click.echo(f"  {heading:<9} {plain(text)}")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("row", "claim", "paper", "verdict"):
        table.add_column(heading, overflow="fold")
    for claim in chosen:
        table.add_row(claim.id, escape(claim.says), escape(f"{claim.paper_name}: {claim.paper}"), claim.verdict)
    Console(highlight=False, width=None).print(table)
    click.echo(", ".join(f"{n} {verdict}" for verdict, n in ledger.counts().items()))


def plain(text: str) -> str:
    """Return the text of Markdown without its marks and the addresses of its links."""
    import re

    return re.sub(r"\[([^]]+)\]\([^)]*\)", r"\1", text).replace("**", "").replace("`", "")


@click.group()
def course() -> None:
    """Prepare the notebooks for a class."""


def _edition(kind: str, what: str) -> None:
    """Add the command that writes this edition of the notebooks."""

    @course.command(name=kind, help=f"Write the {kind} edition of the notebooks, {what}, into the new folder OUT.")
    @click.argument("out", type=click.Path(path_type=Path))
    @click.option("--notebooks", type=click.Path(path_type=Path), help="folder of the notebooks of the course")
    def write(out: Path, notebooks: Path | None) -> None:
        from ..course.editions import write_edition

        written = write_edition(kind, out, notebooks)
        click.echo(f"{len(written)} notebooks in {out}")


_edition("student", "without solutions")
_edition("teacher", "with solutions unfolded")


@course.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
def marks(folder: Path) -> None:
    """Show which checks passed in the notebooks of FOLDER, by their outputs.

    Nothing is run. ✓ passed, ✗ wrong, … not attempted, – not run.
    """
    from ..course.marks import marks as read

    for notebook in read(folder):
        click.echo(notebook)


@course.command()
def board() -> None:
    """Train the runs of the hyperparameter board again and store them with the library, which takes some minutes."""
    from ..course.board import train_all

    train_all(click.echo)
