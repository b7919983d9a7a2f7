"""All settings. What differs between installations comes from the environment. The defaults are for trying Stepmark on one machine.

STEPMARK_HOME     folder of all state: database, models, exports, broker, logs (default: var/)
DATABASE_URL      your own PostgreSQL; unset: a private one under STEPMARK_HOME
CELERY_BROKER_URL redis://...; unset: files under STEPMARK_HOME
STEPMARK_GENERATOR package.module.function that proposes next steps in interactive projects; unset: only loaded completions
API_READS_A_MINUTE, API_WRITES_A_MINUTE  requests of one person to the API (default: 600 and 60)
WEBHOOK_HOSTS, WEBHOOK_PRIVATE_HOSTS  hosts to which projects can send webhooks (docs/webhooks.md); unset: none
METRICS_TOKEN     what Prometheus sends to read /metrics; unset: only this machine reads it, and in production nobody
SENTRY_DSN        errors are sent there; needs sentry-sdk
LOG_FORMAT        json: each line of the log is a JSON object; default: text
LOG_ERROR_TEXTS   1: the log quotes all errors, which can hold labeled texts and tokens
PRODUCTION=1, SECRET_KEY, ALLOWED_HOSTS, PATH_PREFIX, TRUSTED_PROXIES and the rest: docs/deploy.md has the table
"""

import os
import secrets
from datetime import timedelta
from pathlib import Path

import dj_database_url
from csp.constants import NONE, SELF, UNSAFE_INLINE

from labelapp import embedded_postgres, environment, site_address

BASE_DIR = Path(__file__).resolve().parent.parent
STEPMARK_HOME = embedded_postgres.home()
PRODUCTION = environment.is_production()
DEBUG = environment.flag("DEBUG")


def _secret_key() -> str:
    if key := environment.secret_key():
        return key
    # Kept under STEPMARK_HOME, so that sessions survive a restart. A link is atomic, so two first starts get the same key.
    path = STEPMARK_HOME / "secret_key"
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"secret_key.{os.getpid()}")
    if not path.exists():
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(50))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text()


SECRET_KEY = _secret_key()
ALLOWED_HOSTS = environment.allowed_hosts()
CSRF_TRUSTED_ORIGINS = environment.csrf_trusted_origins()
# The address under which the site lies. proxies.py takes it off the paths; Django puts it before those that it writes.
PATH_PREFIX = environment.path_prefix()
FORCE_SCRIPT_NAME = PATH_PREFIX or None
SITE_ADDRESS = site_address.public(  # for links that a command prints
    host=os.environ.get("HOST", "127.0.0.1"), port=environment.number("PORT", 8000, lowest=1, highest=65535)
)
TRUSTED_PROXIES = environment.trusted_proxies()
CELERY_BROKER_URL = environment.broker_url()
_mail = environment.mail()
EMAIL_HOST, EMAIL_PORT, EMAIL_TIMEOUT = _mail.host, _mail.port, 10  # seconds: a page waits while e-mail is sent
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD, DEFAULT_FROM_EMAIL = _mail.user, _mail.password, _mail.sender
EMAIL_USE_TLS, EMAIL_USE_SSL = _mail.is_tls, _mail.is_tls_at_once

INSTALLED_APPS = [
    "labelapp.administration.AdministrationConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.staticfiles",
    "axes",
    "csp",
    "django_htmx",
    "django_otp.plugins.otp_static",
    "django_otp.plugins.otp_totp",
    "rest_framework",
    "knox",
    "drf_spectacular",
    "annotation",  # after the libraries whose administration it replaces
    "active_learning",
    "labelapp",  # for its commands
]
MIDDLEWARE = [
    "labelapp.outermost.OutermostMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "labelapp.http.content_security.ContentSecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",  # fails without the database: whatever every answer needs stands before it
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "labelapp.http.sessions.SignedInMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "labelapp.http.bad_requests.BadRequestMiddleware",
    "labelapp.http.fragments.FragmentMiddleware",
]
ROOT_URLCONF = "labelapp.urls"
WSGI_APPLICATION = "labelapp.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
            "builtins": ["labelapp.pages.template_tags"],
        },
    }
]

_database_url = os.environ.get("DATABASE_URL") or embedded_postgres.url()
try:
    # A fresh connection per request costs 4-8x throughput, so connections are kept and checked.
    DATABASES = {"default": dj_database_url.parse(_database_url, conn_max_age=600, conn_health_checks=True)}
except ValueError:
    DATABASES = {"default": {"ENGINE": ""}}
if DATABASES["default"]["ENGINE"] != "django.db.backends.postgresql":
    raise environment.BadEnvironment(
        "DATABASE_URL does not name a PostgreSQL database. Write postgresql://user:password@host/name, or unset it for a private one."
    )
DATABASES["default"]["ENGINE"] = "labelapp.postgresql"
DATABASES["default"]["OPTIONS"] = {
    "connect_timeout": 5,  # a database that cannot be reached is an outage after this time, not when TCP gives up
    # Repeated statements are planned once per connection. Planning was half of PostgreSQL's time for a labeled solution.
    "server_side_binding": True,
    "prepare_threshold": 5,
    **DATABASES["default"].get("OPTIONS", {}),
    "options": "-c lock_timeout=5s -c idle_in_transaction_session_timeout=300s",
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# axes only refuses; ModelBackend checks the password. sesame's sessions are those that began with a link.
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
    "sesame.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "sign-in"
SESAME_MAX_AGE = 24 * 3600
SESAME_ONE_TIME = True
# Wrong passwords, by user name and address together. By user name alone, anybody could keep another person out.
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=10)
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # the page says how long to wait, and that stays true
AXES_RESET_ON_SUCCESS = True
AXES_CLIENT_IP_CALLABLE = "labelapp.http.addresses.throttled_address"
AXES_DISABLE_ACCESS_LOG = True  # it would keep the names and addresses of all sign-ins
AXES_VERBOSE = False
SILENCED_SYSTEM_CHECKS = ["axes.W002"]  # its middleware: the sign-in page itself answers 429
SECOND_FACTOR_REQUIRED = PRODUCTION  # of owners, managers and staff
OTP_TOTP_ISSUER = "Stepmark"
SESSION_ENGINE = "labelapp.http.sessions"
SESSION_COOKIE_AGE = 14 * 24 * 3600
SESSION_COOKIE_HTTPONLY = True
# Two sites can share a host name: cookies ignore ports. So each site has its own names. All web hosts of a site have the same key.
SESSION_COOKIE_NAME = f"stepmark_{environment.site_mark(SECRET_KEY)}"
CSRF_COOKIE_NAME = f"csrf_{environment.site_mark(SECRET_KEY)}"
SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = f"{PATH_PREFIX}/"

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "style-src-attr": [UNSAFE_INLINE],  # KaTeX places glyphs with style attributes
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
if PRODUCTION:
    # Whether a request came by https is what gunicorn says, and gunicorn believes only the trusted proxies (web_server.py).
    SECURE_SSL_REDIRECT = environment.flag("SECURE_SSL_REDIRECT", default=True)
    SECURE_HSTS_SECONDS = environment.number("SECURE_HSTS_SECONDS", 31_536_000, lowest=0, highest=2**31 - 1)
    # They bind other sites too, and cannot be taken back for months. So somebody has to ask for them.
    SECURE_HSTS_INCLUDE_SUBDOMAINS = environment.flag("SECURE_HSTS_INCLUDE_SUBDOMAINS")
    SECURE_HSTS_PRELOAD = environment.flag("SECURE_HSTS_PRELOAD")
    SILENCED_SYSTEM_CHECKS += ["security.W005", "security.W021"]  # they ask for these two
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True

STATIC_URL = f"{PATH_PREFIX}/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = STEPMARK_HOME / "static"
# Outside production, whitenoise serves the source folders, so nothing has to be collected first.
WHITENOISE_ROOT = BASE_DIR / "static_root"  # what browsers ask for at the root of the site, such as /favicon.ico
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = not PRODUCTION
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if PRODUCTION
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}

# generate(problem: str, steps: list[str], count: int) -> list[str]; annotation/completions.py calls it, annotation/apps.py checks it.
STEPMARK_GENERATOR = os.environ.get("STEPMARK_GENERATOR", "")

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True
FILE_UPLOAD_HANDLERS = ["labelapp.http.uploads.LimitedUploadHandler"]
DATA_UPLOAD_MAX_MEMORY_SIZE = 5_000_000

# The table of the tokens is our own (annotation/models.py). Knox would make its own one beside it.
KNOX_TOKEN_MODEL = "annotation.ApiToken"
MIGRATION_MODULES = {"knox": None}
REST_KNOX = {"AUTH_HEADER_PREFIX": "Bearer", "TOKEN_PREFIX": "stepmark_"}
REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_METADATA_CLASS": None,
    "UNAUTHENTICATED_USER": None,
    "URL_FORMAT_OVERRIDE": None,
    "COERCE_DECIMAL_TO_STRING": False,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Stepmark",
    "DESCRIPTION": "Problems, solutions, labels, rounds, models and scores of a site. docs/api.md explains tokens, lists and errors.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "AUTHENTICATION_WHITELIST": ["annotation.api.base.TokenAuthentication"],
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,  # the choices say what they are
    # Without the usual hook, which would give each list of choices a name, some of them by a hash.
    "POSTPROCESSING_HOOKS": ["annotation.api.schema.describe_places"],
    "ENABLE_DJANGO_DEPLOY_CHECK": False,
}
# Requests of one person to the API in a minute, all tokens together.
API_READS_A_MINUTE = environment.number("API_READS_A_MINUTE", 600, lowest=1, highest=1_000_000)
API_WRITES_A_MINUTE = environment.number("API_WRITES_A_MINUTE", 60, lowest=1, highest=1_000_000)
WEBHOOK_HOSTS = environment.webhook_hosts()

if (LOG_FORMAT := os.environ.get("LOG_FORMAT", "text")) not in ("text", "json"):
    raise environment.BadEnvironment(f"LOG_FORMAT is {LOG_FORMAT!r}. Set it to text or json.")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "labelapp.monitoring.logs.formatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    # Each logs a line per request at INFO, and a sampling makes ten thousand requests.
    "loggers": {name: {"level": "WARNING"} for name in ("axes", "httpx", "httpx2", "openai")},
}

if SENTRY_DSN := os.environ.get("SENTRY_DSN", ""):
    from labelapp.monitoring import error_reports

    error_reports.start(SENTRY_DSN)
