"""The operating system, wrapped thinly: durable files, locks, processes, clocks, watched folders.

Nothing in here knows what a task is.
"""
