"""The pictures that only the lessons need: maps.py maps of representations, overview.py BYOL on one page.

spheres.py, ladder.py and answers.py are those of lesson 4: runs on a sphere, networks as rungs, and best predictions.
"""
