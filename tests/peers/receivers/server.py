"""Those who are told: an endpoint for webhooks, a mail server and two chats, for Evergrant to be tried against.

Signatures are checked by the official library of Standard Webhooks (PyPI `standardwebhooks`), mails are taken by PyPI
`aiosmtpd` and read by Python's own `email`. The chats are stubs of the incoming webhooks of Slack and Discord with their
rate limits. Prints one line of JSON (url, smtp_port) and ends when its standard input closes.

    python server.py

`POST /hook/{name}`, `/slack`, `/discord` are for messages. `POST /control/set` takes what is to be answered from now on:
{"hooks": {name: {"secrets": [...], "status": 204, "retry_after": null, "delay": 0, "body": "", "close": false,
"location": null}}, "smtp": {"answer": null, "login": [user, password]}, "slack": {"every": 1.0}, "discord": {"most": 5,
"within": 2.0}}. `GET /control/hooks`, `/control/mails`, `/control/chats` tell what came.
"""

import email
import email.policy
import json
import socket
import sys
import threading
import time
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from standardwebhooks.webhooks import Webhook

lock = threading.Lock()
hooks, mails, chats = [], [], []
answers = {}
smtp = {"answer": None, "login": None}
limits = {"slack": {"every": 0.0, "status": None}, "discord": {"most": 1000, "within": 1.0, "status": None}}
taken = {"slack": [], "discord": []}


def verified(secrets, body, headers):
    for secret in secrets:
        try:
            Webhook(secret).verify(body, headers)
            return True
        except Exception:  # of whatever kind: it is not verified
            continue
    return False


def signed(secrets, body, headers):
    """Whether the library signs it so, whatever the time is by which it was sent."""
    try:
        at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), timezone.utc)
        wanted = {Webhook(secret).sign(headers["webhook-id"], at, body.decode()) for secret in secrets}
    except Exception:  # something is missing
        return False
    return bool(wanted & set(headers["webhook-signature"].split()))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def do_GET(self):
        with lock:
            found = {"/control/hooks": hooks, "/control/mails": mails, "/control/chats": chats}.get(self.path)
            body = json.dumps(found).encode()
        self.answer(200 if found is not None else 404, body, [("content-type", "application/json")])

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.path == "/control/set":
            return self.set(json.loads(body))
        if self.path.startswith("/hook/"):
            return self.hook(self.path[len("/hook/"):], body)
        if self.path in ("/slack", "/discord"):
            return self.chat(self.path[1:], body)
        self.answer(404)

    def set(self, wanted):
        with lock:
            for name, answer in wanted.get("hooks", {}).items():
                answers.setdefault(name, {}).update(answer)
            smtp.update(wanted.get("smtp", {}))
            for name in limits:
                limits[name].update(wanted.get(name, {}))
        self.answer(204)

    def hook(self, name, body):
        headers = {key.lower(): value for key, value in self.headers.items()}
        with lock:
            how = dict(answers.get(name, {}))
        if how.get("close"):
            self.close_connection = True
            return
        good = verified(how.get("secrets", []), body, headers)
        status = how.get("status", 204)
        came = {
            "name": name, "id": headers.get("webhook-id"), "verified": good, "status": status, "headers": headers,
            "signed": signed(how.get("secrets", []), body, headers),
            "signatures": len((headers.get("webhook-signature") or "").split()), "body": json.loads(body),
        }
        with lock:
            came["at"] = time.monotonic()
            hooks.append(came)
        time.sleep(how.get("delay", 0))
        more = []
        if how.get("retry_after") is not None:
            more.append(("retry-after", str(how["retry_after"])))
        if how.get("location"):
            more.append(("location", how["location"]))
        self.answer(status, how.get("body", "").encode(), more)

    def chat(self, name, body):
        now, limit = time.monotonic(), limits[name]
        message = json.loads(body)
        with lock:
            recent = taken[name]
            if name == "slack":
                wait = limit["every"] - (now - recent[-1]) if recent else 0
                if wait > 0:
                    chats.append({"chat": name, "status": 429, "message": message})
                    return self.answer(429, b"rate_limited", [("retry-after", str(max(1, int(wait + 0.999))))])
            else:
                recent[:] = [at for at in recent if now - at < limit["within"]]
                if len(recent) >= limit["most"]:
                    chats.append({"chat": name, "status": 429, "message": message})
                    wait = limit["within"] - (now - recent[0])
                    body = json.dumps({"message": "You are being rate limited.", "retry_after": wait, "global": False})
                    return self.answer(429, body.encode(), [("content-type", "application/json")])
            recent.append(now)
            status = limit["status"] or (200 if name == "slack" else 204)
            chats.append({"chat": name, "status": status, "message": message})
        self.answer(status, b"ok" if name == "slack" and status == 200 else b"")


class Mailbox:
    async def handle_DATA(self, _server, session, envelope):
        if smtp["answer"]:
            with lock:
                mails.append({"to": envelope.rcpt_tos, "answer": smtp["answer"]})
            return smtp["answer"]
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        part = lambda kind: message.get_body((kind,))
        with lock:
            mails.append({
                "from": envelope.mail_from,
                "to": envelope.rcpt_tos,
                "headers": [[name, str(value)] for name, value in message.items()],
                "text": part("plain").get_content() if part("plain") else None,
                "html": part("html").get_content() if part("html") else None,
                "defects": [str(defect) for defect in message.defects],
                "raw": envelope.content.decode("utf-8", "replace"),
                "signed_in": session.authenticated,
            })
        return "250 taken"


def sign_in(_server, _session, _envelope, _mechanism, data):
    wanted = smtp["login"]
    good = wanted and [data.login.decode(), data.password.decode()] == wanted
    return AuthResult(success=bool(good), handled=False)


# The controller connects to the port that it was given to see whether it works, so it has to be given a real one.
with socket.create_server(("127.0.0.1", 0)) as free:
    smtp_port = free.getsockname()[1]
controller = Controller(
    Mailbox(), hostname="127.0.0.1", port=smtp_port, authenticator=sign_in, auth_require_tls=False, ready_timeout=20
)
controller.start()
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
about = {
    "url": f"http://127.0.0.1:{server.server_port}",
    "smtp_port": smtp_port,
}
print(json.dumps(about), flush=True)
sys.stdin.read()
