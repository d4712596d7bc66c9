"""Benchmarks: ratios within one run, since machines are noisy. Run by ``make bench``."""
