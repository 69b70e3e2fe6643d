"""The augmentation explorer: a panel in which every operation of T and T′ can be set, and its effect seen.

explorer.py is the widget, scene.py what it shows at one moment, view_settings.py its controls.
"""

from .explorer import Explorer, explorer

__all__ = ["Explorer", "explorer"]
