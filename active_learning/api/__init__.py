"""The REST API of the loop, under /api/v1/: rounds, models and scores. What all addresses share is in annotation/api/base.py."""
