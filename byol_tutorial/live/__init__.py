"""A run that is changed while it trains: sessions, recordings, and a laboratory of many runs."""
