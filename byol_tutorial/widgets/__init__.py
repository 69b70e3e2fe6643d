"""Live panels for notebooks: change a hyperparameter and watch the run change.

    bt.widgets.cockpit(config, train, test)   one run, its controls, its curves, its verdict
    bt.widgets.explorer(train)                T and T′, one operation at a time
    bt.widgets.laboratory(train, test)        the runs of tables 5a and 5b side by side
    bt.widgets.film(recording)                the embedding through training
    bt.widgets.phase_plane()                  why a predictor keeps BYOL from collapsing
    bt.widgets.board()                        a grid of runs that were trained beforehand, with sliders
    bt.widgets.strip(images)                  one augmentation at a time, at every strength
    bt.widgets.playground()                   BYOL that trains in the browser, without Python
    bt.widgets.first_look()                   the same with one button: remove the predictor

Every function returns a widget that also works without a front end. The panels need
`pip install 'byol-tutorial[notebooks]'`.
"""

try:
    import anywidget  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"the panels need {error.name}, which is not installed: pip install 'byol-tutorial[notebooks]'", name=error.name
    ) from error

from .board import Board, board
from .cockpit import Cockpit, cockpit
from .explorer import Explorer, explorer
from .film import Film, film
from .laboratory import LaboratoryBox, laboratory
from .phase import PhasePlane, phase_plane
from .playground import FirstLook, Playground, first_look, playground
from .static import save_html, static_html
from .strip import Strip, strip

__all__ = [
    "Board",
    "Cockpit",
    "Explorer",
    "Film",
    "FirstLook",
    "LaboratoryBox",
    "PhasePlane",
    "Playground",
    "Strip",
    "board",
    "cockpit",
    "explorer",
    "film",
    "first_look",
    "laboratory",
    "phase_plane",
    "playground",
    "save_html",
    "static_html",
    "strip",
]
