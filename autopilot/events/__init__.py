"""The event log: what happened, once and for all, as hash-chained lines of JSON in segments.

``autopilot.events.log.EventLog`` is the door; ``types.REGISTRY`` names every event and its payload;
``channels.Channels`` are messages between processes on top of the log.
"""
