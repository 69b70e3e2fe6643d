"""The laboratory: the runs of tables 5a and 5b advance side by side, with the paper's numbers beside ours.

The runs train in separate processes, see live/laboratory.py. box.py is the widget, panel.py its panel, frames.py what
the panel sends to the browser.
"""

from .box import LaboratoryBox, laboratory
from .panel import LaboratoryPanel

__all__ = ["LaboratoryBox", "LaboratoryPanel", "laboratory"]
