"""The WSGI entry point."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

from labelapp.http.proxies import BehindProxies

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "labelapp.settings")

from labelapp.monitoring import metrics_folder

metrics_folder.prepare()  # before anything imports prometheus_client
import labelapp.celery  # noqa: E402, F401 - the pages start the workers' tasks, and this joins the private PostgreSQL

application = BehindProxies(get_wsgi_application(), trusted=settings.TRUSTED_PROXIES, prefix=settings.PATH_PREFIX)
_ = get_resolver().url_patterns  # before gunicorn forks: all web processes share the pages, and none loads them at its first request
