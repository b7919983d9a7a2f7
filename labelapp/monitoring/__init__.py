"""What watches the site: its health, its metrics, its log, and the reports of errors."""
