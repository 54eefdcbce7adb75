"""The dispatcher: reconcile, scan, order, gate, route, claim, start; and the facade that the command line uses."""
