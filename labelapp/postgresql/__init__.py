"""The database as this site speaks to it: Django's PostgreSQL, with a cheaper question whether a connection still lives (base.py)."""
