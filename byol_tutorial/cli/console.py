"""Where the commands print."""

from rich.console import Console

# Text is printed as it is: brackets in a path are not markup, and a long path is not broken over two lines.
console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
