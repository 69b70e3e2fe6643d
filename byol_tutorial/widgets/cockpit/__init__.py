"""The cockpit: a panel that shows one run while it trains, and changes it.

cockpit.py is the widget, controls.py its controls and presets, predictions.py the questions to the learner.
"""

from .cockpit import Cockpit, cockpit

__all__ = ["Cockpit", "cockpit"]
