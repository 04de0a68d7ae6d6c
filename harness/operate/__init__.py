"""What each command of operate.py does, once its flags are read."""
