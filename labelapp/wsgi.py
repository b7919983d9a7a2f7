"""The WSGI entry point."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "labelapp.settings")

import labelapp.celery  # noqa: F401 - the pages start the workers' tasks, and this joins the private PostgreSQL

application = get_wsgi_application()
