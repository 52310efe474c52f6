"""Those who are told: an endpoint for webhooks, a mail server and two chats, for Evergrant to be tried against.

Signatures are checked by the official library of Standard Webhooks (PyPI `standardwebhooks`), mails are taken by PyPI
`aiosmtpd` and read by Python's own `email`. The chats are stubs of the incoming webhooks of Slack and Discord with their
rate limits. Prints one line of JSON (url, smtp_port, starttls_port, smtps_port, ca) and ends when its standard input
closes. The mail servers with TLS have a certificate for 127.0.0.1 of an authority (ca, PEM) that was made at the start;
they take mails only from who has signed in.

    python server.py

`POST /hook/{name}`, `/slack`, `/discord` are for messages. `POST /control/set` takes what is to be answered from now on:
{"hooks": {name: {"secrets": [...], "status": 204, "retry_after": null, "delay": 0, "body": "", "close": false,
"location": null}}, "smtp": {"answer": null, "login": [user, password], "delay": 0}, "slack": {"every": 1.0}, "discord": {"most": 5,
"within": 2.0}}. `GET /control/hooks`, `/control/mails`, `/control/chats` tell what came, `/control/said` which mails were begun
and who tried to sign in, with or without TLS.
"""

import asyncio
import email
import email.policy
import ipaddress
import json
import socket
import ssl
import sys
import tempfile
import threading
import time
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from standardwebhooks.webhooks import Webhook

lock = threading.Lock()
hooks, mails, chats, said = [], [], [], []
answers = {}
smtp = {"answer": None, "login": None, "delay": 0}
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
            kept = {"/control/hooks": hooks, "/control/mails": mails, "/control/chats": chats, "/control/said": said}
            found = kept.get(self.path)
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


def is_private(server):
    return server.transport.get_extra_info("ssl_object") is not None


class Mailbox:
    async def handle_MAIL(self, server, _session, envelope, address, options):
        with lock:
            said.append({"what": "mail", "tls": is_private(server)})
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
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
                "tls": is_private(server),
            })
        await asyncio.sleep(smtp["delay"])
        return "250 taken"


def sign_in(server, _session, _envelope, _mechanism, data):
    with lock:
        said.append({"what": "login", "tls": is_private(server)})
    wanted = smtp["login"]
    good = wanted and [data.login.decode(), data.password.decode()] == wanted
    return AuthResult(success=bool(good), handled=False)


def certified():
    """A context for servers on 127.0.0.1, and the authority that vouches for it, as PEM."""
    now = datetime.now(timezone.utc)

    def certificate(name, key, issuer, issuer_key, *extensions):
        named = lambda text: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
        builder = x509.CertificateBuilder().subject_name(named(name)).issuer_name(named(issuer))
        builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=2))
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(issuer_key, hashes.SHA256())

    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    is_authority = (x509.BasicConstraints(ca=True, path_length=0), True)
    authority = certificate("Authority of the tests", authority_key, "Authority of the tests", authority_key, is_authority)
    here = (x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
    own = certificate("Mail server of the tests", key, "Authority of the tests", authority_key, here)
    pem = serialization.Encoding.PEM
    whole = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()) + own.public_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(whole)
        file.flush()
        context.load_cert_chain(file.name)
    return context, authority.public_bytes(pem).decode()


def mail_server(**how):
    """Its port. The controller connects to the port that it was given to see whether it works, so it needs a real one."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    Controller(Mailbox(), hostname="127.0.0.1", port=port, authenticator=sign_in, ready_timeout=20, **how).start()
    return port


context, authority = certified()
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
about = {
    "url": f"http://127.0.0.1:{server.server_port}",
    "smtp_port": mail_server(auth_require_tls=False),
    "starttls_port": mail_server(tls_context=context, require_starttls=True, auth_required=True),
    "smtps_port": mail_server(ssl_context=context, auth_required=True, auth_require_tls=False),
    "ca": authority,
}
print(json.dumps(about), flush=True)
sys.stdin.read()
