"""The command line, byol-tutorial: one module for each command, and what they share."""
