"""An OAuth 1.0a service (RFC 5849) of somebody else's make (PyPI `oauthlib`), for Evergrant to be tried against.

It listens on a free loopback port, prints one line of JSON and ends when its standard input closes. Signature, nonce, time
and verifier of each request are checked by the library; a nonce is taken once. A person signs in by typing an account id.

    python oauth1.py [--signature-method HMAC-SHA1]

The token answer names the account (`user_id`); `GET /whoami` says whose token signed the request; `POST /control/secret`
gives the client another secret.
"""

import argparse
import json
import secrets
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from oauthlib.oauth1 import RequestValidator, WebApplicationServer

options = argparse.ArgumentParser()
options.add_argument("--signature-method", default="HMAC-SHA1")
options = options.parse_args()

client = {"id": secrets.token_hex(12), "secret": secrets.token_hex(12)}
temporary, tokens, nonces = {}, {}, set()
lock = threading.Lock()


class Validator(RequestValidator):
    enforce_ssl = False
    allowed_signature_methods = [options.signature_method]
    client_key_length = request_token_length = access_token_length = (20, 60)
    verifier_length = (10, 60)
    dummy_client = dummy_request_token = dummy_access_token = "0" * 24

    def validate_client_key(self, client_key, request):
        return client_key == client["id"]

    def get_client_secret(self, client_key, request):
        return client["secret"]

    def validate_request_token(self, client_key, token, request):
        return token in temporary

    def get_request_token_secret(self, client_key, token, request):
        return temporary.get(token, {}).get("secret", "")

    def validate_access_token(self, client_key, token, request):
        return token in tokens

    def get_access_token_secret(self, client_key, token, request):
        return tokens.get(token, {}).get("secret", "")

    def validate_timestamp_and_nonce(self, client_key, timestamp, nonce, request, request_token=None, access_token=None):
        once = (client_key, timestamp, nonce, request_token or access_token)
        with lock:
            fresh = once not in nonces
            nonces.add(once)
        return fresh

    def validate_redirect_uri(self, client_key, redirect_uri, request):
        return redirect_uri.startswith("http://127.0.0.1:")

    def get_redirect_uri(self, token, request):
        return temporary[token]["callback"]

    def get_default_realms(self, client_key, request):
        return []

    def get_realms(self, token, request):
        return []

    def validate_requested_realms(self, client_key, realms, request):
        return True

    def validate_realms(self, client_key, token, request, uri=None, realms=None):
        return True

    def verify_realms(self, token, realms, request):
        return True

    def verify_request_token(self, token, request):
        return token in temporary

    def save_request_token(self, token, request):
        temporary[token["oauth_token"]] = {"secret": token["oauth_token_secret"], "callback": request.redirect_uri}

    def save_verifier(self, token, verifier, request):
        temporary[token]["verifier"] = verifier["oauth_verifier"]

    def validate_verifier(self, client_key, token, verifier, request):
        return temporary.get(token, {}).get("verifier") == verifier

    def save_access_token(self, token, request):
        account = temporary[request.resource_owner_key]["account"]
        tokens[token["oauth_token"]] = {"secret": token["oauth_token_secret"], "account": account}
        token["user_id"] = account

    def invalidate_request_token(self, client_key, request_token, request):
        temporary.pop(request_token, None)


service = WebApplicationServer(Validator())
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Sign in</title><h1>Sign in</h1><p>An OAuth 1.0a service, run for this test.</p><form method="post">
<p><label>Account id <input name="login" required autofocus></label></p>
<p><button name="decision" value="allow">Allow</button> <button name="decision" value="deny">Deny</button></p></form></html>"""


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def answer(self, status, body="", headers=None):
        body = body.encode() if body else b""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handled(self):
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length).decode()
        uri = f"{origin}{self.path}"
        path = urllib.parse.urlsplit(self.path).path
        asked = {"uri": uri, "http_method": self.command, "body": body, "headers": dict(self.headers)}
        if path == "/request":
            headers, said, status = service.create_request_token_response(**asked)
            return self.answer(status, said, headers)
        if path == "/access":
            headers, said, status = service.create_access_token_response(**asked)
            return self.answer(status, said, headers)
        if path == "/authorize":
            return self.authorize(uri, body)
        if path == "/whoami":
            valid, request = service.validate_protected_resource_request(realms=[], **asked)
            account = tokens[request.resource_owner_key]["account"] if valid else None
            return self.answer(200 if valid else 401, json.dumps({"id": account}), {"content-type": "application/json"})
        if path == "/control/secret":
            client["secret"] = secrets.token_hex(12)
            return self.answer(200, json.dumps({"client_secret": client["secret"]}))
        return self.answer(404)

    def authorize(self, uri, body):
        token = urllib.parse.parse_qs(urllib.parse.urlsplit(uri).query).get("oauth_token", [""])[0]
        if token not in temporary:
            return self.answer(400, "no such temporary credentials")
        if self.command != "POST":
            return self.answer(200, PAGE, {"content-type": "text/html; charset=utf-8"})
        form = urllib.parse.parse_qs(body)
        if form.get("decision") == ["deny"]:
            callback = temporary.pop(token)["callback"]
            return self.answer(303, headers={"location": f"{callback}?denied={token}"})
        temporary[token]["account"] = form["login"][0]
        headers, said, status = service.create_authorization_response(uri, http_method="POST", realms=[])
        return self.answer(303 if status == 302 else status, said, {"location": headers["Location"]})

    do_GET = do_POST = handled


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
origin = f"http://127.0.0.1:{server.server_port}"
threading.Thread(target=server.serve_forever, daemon=True).start()
about = {
    "client_id": client["id"],
    "client_secret": client["secret"],
    "request_token_url": f"{origin}/request",
    "authorize_url": f"{origin}/authorize",
    "token_url": f"{origin}/access",
    "userinfo_url": f"{origin}/whoami",
    "control_url": f"{origin}/control",
}
print(json.dumps(about), flush=True)
sys.stdin.read()
