"""The commands of `python -m trainer`, one module each: `add_to` declares its options, `run` carries it out."""
