"""The ledger: claims of the papers as inequalities, and what was measured here to check them.

claims.py      the rows and their verdicts, from claims.toml and the data files
inequality.py  the notation in which claims.toml writes an inequality
measuring.py   trains and measures the experiments over seeds, into measured/
"""
