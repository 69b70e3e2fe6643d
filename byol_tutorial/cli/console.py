"""Where the commands print."""

from rich.console import Console

# Text goes out as it is: brackets in a path are no markup, and a long path stays in one piece.
console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
