"""Django's engine for PostgreSQL with a cheaper health check of kept connections (base.py)."""
