"""Power cuts, simulated: what may be on the disk at any instant, and what the program makes of it.

``recorder`` writes down the file operations of a scenario, ``platter`` has the model of the file system and says
which disks a cut may leave, ``site`` plays scenarios, ``recovery`` is the next start and what must hold after it.
"""
