"""The playground: a panel in which BYOL trains in the browser.

playground.py is the widget, fields.py the settings it can change, build.py how its module is made. The engine and the
panel are in js/playground.
"""

from .playground import FirstLook, Playground, first_look, playground

__all__ = ["FirstLook", "Playground", "first_look", "playground"]
