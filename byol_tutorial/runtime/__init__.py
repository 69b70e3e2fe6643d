"""What a run computes on and beside: device, several processes, seeds, threads, signals, progress, files."""
