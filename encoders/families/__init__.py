"""Families of published checkpoints: one file for each group that shares names and preprocessing."""
