"""Runs that are changed while they train: sessions, recordings, and a laboratory of many runs."""
