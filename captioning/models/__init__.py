"""Captioners: one file each, with `build`, `trainer` and `Stepper`."""
