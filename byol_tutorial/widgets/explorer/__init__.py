"""The augmentation explorer: a panel in which every operation of T and T′ can be set, seen and judged.

panel.py is the widget, scene.py what it shows at one moment, view_settings.py its controls.
"""

from .panel import Explorer, explorer

__all__ = ["Explorer", "explorer"]
