"""Where attempts work: what they changed there, and whether they changed what they must not.

The core finds changes by manifests of its own. ``git status`` would have to be asked in a tree that an agent
touched, runs what that tree's configuration says, and misses what it is told to overlook.
"""
