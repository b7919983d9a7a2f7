"""Django's engine for PostgreSQL with a cheaper health check and a private server that comes back (base.py)."""
