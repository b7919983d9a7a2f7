"""The WSGI entry point."""

import os

from django.core.wsgi import get_wsgi_application

from labelapp import embedded_postgres

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "labelapp.settings")
embedded_postgres.join_if_wanted()
application = get_wsgi_application()
