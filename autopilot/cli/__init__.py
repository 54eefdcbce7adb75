"""The command line: ``autopilotctl``. One module per command group; each parses, calls the core, and prints."""
