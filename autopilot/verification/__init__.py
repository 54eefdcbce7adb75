"""Does the work hold? The task's own commands and the verify plugins, judged; the runner supervises them."""
