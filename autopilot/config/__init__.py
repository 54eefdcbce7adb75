"""Settings: one YAML file, read strictly, with the origin of every value."""
