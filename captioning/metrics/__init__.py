"""Metrics of captions: one file each."""
