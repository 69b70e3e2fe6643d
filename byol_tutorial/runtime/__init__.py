"""What every run needs around the algorithm: device, processes, seeds, threads, signals, progress bars, files, HTML."""
