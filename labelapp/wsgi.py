"""The WSGI entry point."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "labelapp.settings")

import labelapp.celery  # noqa: F401 - the pages ring the workers' bell, and join the private PostgreSQL with it

application = get_wsgi_application()
