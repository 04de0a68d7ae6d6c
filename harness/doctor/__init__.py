"""The doctor: named checks of environment, broker, topology, workers and configuration, each from evidence."""
