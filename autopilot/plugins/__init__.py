"""Plugins: found without importing them, loaded and asked one by one, so that a bad one harms nobody else."""
