"""The commands of `python -m trainer`, one module each: `add_to` declares the options, `run` does the work."""
