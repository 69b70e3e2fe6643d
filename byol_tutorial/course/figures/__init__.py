"""The pictures that only the lessons need: maps.py maps of representations, overview.py BYOL on one page."""
