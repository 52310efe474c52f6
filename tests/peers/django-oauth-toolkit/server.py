"""An OAuth 2 authorization server of somebody else's make (PyPI `django-oauth-toolkit`), for Evergrant to be tried against.

It listens on a free loopback port, prints one line of JSON (issuer, whoami_url, control_url) and ends when its standard
input closes. No client exists: clients register themselves (RFC 7591). Its issuer has a path, so its metadata (RFC 8414)
stands where the path is inserted. PKCE is required, a refresh token is replaced at every use, and the whole family dies
when a used one comes again. A person signs in by typing an account id, and then agrees on the page of the library.

    python server.py [--access-ttl 60]

Lifetimes are whole seconds. `GET /whoami` says whose access token it is; `POST /control/revoke` (account=...) ends that
account's grants; `GET /control/calls` counts the answers of the token endpoint.
"""

import argparse
import json
import os
import secrets
import sys
import tempfile
import threading
from collections import Counter
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application

options = argparse.ArgumentParser()
options.add_argument("--access-ttl", type=int, default=60)
options = options.parse_args()


class Handler(WSGIRequestHandler):
    def log_message(self, *_):
        pass


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


server = Server(("127.0.0.1", 0), Handler)
origin = f"http://127.0.0.1:{server.server_port}"
folder = tempfile.TemporaryDirectory()

settings.configure(
    SECRET_KEY=secrets.token_urlsafe(32),
    ALLOWED_HOSTS=["127.0.0.1"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.path.join(folder.name, "peer.db"),
            "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE"},
        }
    },
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "oauth2_provider",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    # Tables are made as the models are: nothing here was ever older.
    MIGRATION_MODULES={app: None for app in ("auth", "contenttypes", "sessions", "oauth2_provider")},
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
        }
    ],
    ROOT_URLCONF=__name__,
    LOGIN_URL="/login",
    USE_TZ=True,
    LOGGING_CONFIG=None,
    OAUTH2_PROVIDER={
        "ACCESS_TOKEN_EXPIRE_SECONDS": options.access_ttl,
        "ALLOWED_SCHEMES": ["http", "https"],
        "COMPLIANT_BCP_RFC9700_AUTHZ_RESPONSE_ISS": True,
        "COMPLIANT_BCP_RFC9700_IMPLICIT_GRANT": True,
        "COMPLIANT_BCP_RFC9700_PASSWORD_GRANT": True,
        "COMPLIANT_BCP_RFC9700_PKCE_METHOD": True,
        "COMPLIANT_BCP_RFC9700_TOKEN_STORAGE": True,
        "DCR_ENABLED": True,
        "DCR_REGISTRATION_PERMISSION_CLASSES": ("oauth2_provider.dcr.AllowAllDCRPermission",),
        "OIDC_ISS_ENDPOINT": f"{origin}/o",
        "PKCE_REQUIRED": True,
        "REFRESH_TOKEN_REUSE_PROTECTION": True,
        "ROTATE_REFRESH_TOKEN": True,
        "SCOPES": {"read": "Read what is yours", "write": "Change what is yours"},
    },
)
django.setup()

from django.contrib.auth import get_user_model, login  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.http import HttpResponse, HttpResponseRedirect, JsonResponse  # noqa: E402
from django.middleware.csrf import get_token  # noqa: E402
from django.urls import include, path  # noqa: E402
from django.utils.html import escape  # noqa: E402
from django.views.decorators.csrf import csrf_exempt  # noqa: E402
from oauth2_provider import models, urls  # noqa: E402
from oauth2_provider.decorators import protected_resource  # noqa: E402

calls = Counter()
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Sign in</title><h1>Sign in</h1><p>An OAuth server, run for this test.</p>
<form method="post"><input type="hidden" name="csrfmiddlewaretoken" value="{token}">
<p><label>Account id <input name="login" required autofocus></label></p><p><button>Sign in</button></p></form></html>"""


def sign_in(request):
    if request.method != "POST":
        return HttpResponse(PAGE.format(token=escape(get_token(request))))
    user, _ = get_user_model().objects.get_or_create(username=request.POST["login"])
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    return HttpResponseRedirect(request.GET["next"])


@protected_resource(scopes=["read"])
def whoami(request):
    return JsonResponse({"sub": request.resource_owner.username})


@csrf_exempt
def revoke(request):
    tokens = models.get_refresh_token_model().objects.filter(user__username=request.POST["account"], revoked=None)
    gone = [token.revoke() for token in tokens]
    return JsonResponse({"revoked": len(gone)})


def count(get_response):
    def counted(request):
        answer = get_response(request)
        if request.path == "/o/token/":
            calls["success" if answer.status_code == 200 else "refused"] += 1
        return answer

    return counted


settings.MIDDLEWARE.append(f"{__name__}.count")
toolkit = (urls.base_urlpatterns + urls.dcr_urlpatterns, "oauth2_provider")
urlpatterns = [
    path("", include(urls.metadata_urlpatterns)),
    path("o/", include(toolkit)),
    path("login", sign_in),
    path("whoami", whoami),
    path("control/revoke", revoke),
    path("control/calls", lambda _: JsonResponse({"success": calls["success"], "refused": calls["refused"]})),
]

call_command("migrate", run_syncdb=True, verbosity=0)
server.set_app(get_wsgi_application())
threading.Thread(target=server.serve_forever, daemon=True).start()
about = {"issuer": f"{origin}/o", "whoami_url": f"{origin}/whoami", "control_url": f"{origin}/control"}
print(json.dumps(about), flush=True)
sys.stdin.read()
folder.cleanup()
