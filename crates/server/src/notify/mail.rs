//! Mails: written as text and HTML, and handed to the operator's mail server.
//!
//! Nothing of a person or a provider stands in a header but the address itself; nothing is loaded from anywhere, and
//! nothing tells whether a mail was read.

use std::time::{Duration, SystemTime};

use askama::Template;
use evergrant_core::secret::OneTime;
use evergrant_core::time::Timestamp;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls as SmtpTls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};

use super::plain;
use crate::config::{EmailConfig, Tls};

/// How long a mail server may be silent.
const PATIENCE: Duration = Duration::from_secs(30);
/// The answers of a server that does not accept us, rather than this mail (RFC 4954 §6).
const ABOUT_US: [u16; 5] = [530, 534, 535, 538, 454];

/// What a mail says.
#[derive(Template, Debug)]
#[template(path = "mail.html")]
pub struct Mail {
    /// The language, for the HTML part.
    pub language: &'static str,
    /// The headline, also the subject of the mail.
    pub title: String,
    /// What there is to be said.
    pub items: Vec<Item>,
    /// What is to be known of links.
    pub link_note: String,
    /// Whether there are any.
    pub has_links: bool,
    /// Why the person gets this.
    pub why: String,
    /// Where mails of this kind are ended.
    pub unsubscribe: Option<String>,
    /// The words for that.
    pub unsubscribe_label: String,
}

/// One notice in a mail.
#[derive(Debug)]
pub struct Item {
    /// The sentence.
    pub message: String,
    /// Where to act.
    pub link: Option<Link>,
}

/// A link with its words.
#[derive(Debug)]
pub struct Link {
    /// The address.
    pub address: String,
    /// The words.
    pub label: String,
}

impl Link {
    /// Of a one-time address: a mail is where it is meant to go.
    pub fn new(address: &OneTime, label: String) -> Self {
        Link { address: address.expose().to_owned(), label }
    }
}

/// Why a mail was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotTaken {
    /// The server's number, if it answered.
    pub status: Option<u16>,
    /// What it said, on one line.
    pub said: String,
    /// Whether another try can help.
    pub passes: bool,
    /// Whether it is about the server or its settings, not about this mail.
    pub about_us: bool,
}

/// Hands mails to a server.
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    operator: Option<Mailbox>,
    host: String,
}

impl std::fmt::Debug for Mailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<mails by {}>", self.host)
    }
}

impl Mailer {
    /// By the server of the configuration; `host` is what we call ourselves.
    ///
    /// # Errors
    /// In words, when TLS cannot be set up or an address is none.
    pub fn new(config: &EmailConfig, host: &str) -> Result<Self, String> {
        let tls = match config.tls {
            Tls::Starttls => SmtpTls::Required(tls_to(config)?),
            Tls::Tls => SmtpTls::Wrapper(tls_to(config)?),
            Tls::None => SmtpTls::None,
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(config.host.as_str())
            .port(config.port)
            .tls(tls)
            .timeout(Some(PATIENCE))
            .hello_name(ClientId::Domain(host.to_owned()));
        if let Some((name, password)) = &config.login {
            builder = builder.credentials(Credentials::new(name.clone(), password.expose().to_owned()));
        }
        let address = |text: &str| text.parse::<Mailbox>().map_err(|error| error.to_string());
        let operator = config.operator.as_deref().map(address).transpose()?;
        Ok(Mailer { transport: builder.build(), from: address(&config.from)?, operator, host: host.to_owned() })
    }

    /// Whether the operator gets alerts by mail.
    pub fn tells_operator(&self) -> bool {
        self.operator.is_some()
    }

    /// Whether the server can be reached as it is set and takes our login; nobody is mailed.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub async fn check(&self) -> Result<(), NotTaken> {
        self.transport.test_connection().await.map(drop).map_err(|error| not_taken(&error))
    }

    /// Whether mails can go to an address.
    pub fn is_address(address: &str) -> bool {
        address.len() <= 254 && !address.chars().any(|c| c.is_control()) && address.parse::<lettre::Address>().is_ok()
    }

    /// Sends a mail to a person under an id that stays the same.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub async fn send(&self, to: &str, id: &str, mail: &Mail, now: Timestamp) -> Result<(), NotTaken> {
        self.deliver(self.written(to, id, mail, now)?).await
    }

    /// The whole mail, as it goes to the server.
    fn written(&self, to: &str, id: &str, mail: &Mail, now: Timestamp) -> Result<Message, NotTaken> {
        let to: lettre::Address = to.parse().map_err(|_| unsendable("that is not an address"))?;
        let html = mail.render().map_err(|_| unsendable("it could not be written"))?;
        let mut message = self.begin(Mailbox::new(None, to), id, &mail.title, now);
        if let Some(address) = &mail.unsubscribe {
            message = message
                .raw_header(raw("List-Unsubscribe", format!("<{address}>")))
                .raw_header(raw("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".to_owned()));
        }
        let parts = MultiPart::alternative()
            .singlepart(SinglePart::builder().header(ContentType::TEXT_PLAIN).body(mail.text()))
            .singlepart(SinglePart::builder().header(ContentType::TEXT_HTML).body(html));
        message.multipart(parts).map_err(|error| unsendable(&error.to_string()))
    }

    /// Sends lines to the operator.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub async fn send_to_operator(&self, id: &str, lines: &[String], now: Timestamp) -> Result<(), NotTaken> {
        let Some(to) = self.operator.clone() else { return Ok(()) };
        let shown: Vec<String> = lines.iter().map(|line| plain(line, 1000)).collect();
        let subject = match shown.len() {
            1 => "Evergrant: an alert".to_owned(),
            many => format!("Evergrant: {many} alerts"),
        };
        let message = self.begin(to, id, &subject, now);
        let message = message.header(ContentType::TEXT_PLAIN).body(shown.join("\r\n\r\n"));
        self.deliver(message.map_err(|error| unsendable(&error.to_string()))?).await
    }

    fn begin(&self, to: Mailbox, id: &str, subject: &str, now: Timestamp) -> lettre::message::MessageBuilder {
        let since_epoch = now.since(Timestamp::default());
        Message::builder()
            .from(self.from.clone())
            .to(to)
            .message_id(Some(format!("<{id}@{}>", self.host)))
            .subject(plain(subject, 150))
            .raw_header(raw("Auto-Submitted", "auto-generated".to_owned()))
            .date(SystemTime::UNIX_EPOCH + since_epoch)
    }

    async fn deliver(&self, message: Message) -> Result<(), NotTaken> {
        self.transport.send(message).await.map(drop).map_err(|error| not_taken(&error))
    }
}

/// TLS to the server by its name: the system's authorities vouch for it, or those of the configuration.
fn tls_to(config: &EmailConfig) -> Result<TlsParameters, String> {
    let mut builder = TlsParameters::builder(config.host.clone());
    if let Some(pem) = &config.authorities {
        builder = builder.add_root_certificate(Certificate::from_pem(pem).map_err(|error| error.to_string())?);
    }
    builder.build().map_err(|error| error.to_string())
}

fn not_taken(error: &lettre::transport::smtp::Error) -> NotTaken {
    let status = error.status().map(u16::from);
    let about_us = status.is_none_or(|status| ABOUT_US.contains(&status));
    let passes = !error.is_permanent() || about_us;
    NotTaken { status, said: plain(&error.to_string(), 500), passes, about_us }
}

fn unsendable(said: &str) -> NotTaken {
    NotTaken { status: None, said: plain(said, 500), passes: false, about_us: false }
}

/// A header of plain ASCII that we made ourselves.
fn raw(name: &'static str, value: String) -> HeaderValue {
    HeaderValue::dangerous_new_pre_encoded(HeaderName::new_from_ascii_str(name), value.clone(), value)
}

impl Mail {
    /// The part for those who read no HTML.
    pub fn text(&self) -> String {
        let mut text = format!("{}\r\n", self.title);
        for item in &self.items {
            text.push_str(&format!("\r\n{}\r\n", item.message));
            if let Some(link) = &item.link {
                text.push_str(&format!("{}:\r\n{}\r\n", link.label, link.address));
            }
        }
        if self.has_links {
            text.push_str(&format!("\r\n{}\r\n", self.link_note));
        }
        text.push_str(&format!("\r\n-- \r\n{}\r\n", self.why));
        if let Some(address) = &self.unsubscribe {
            text.push_str(&format!("{}:\r\n{address}\r\n", self.unsubscribe_label));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: [&str; 6] = [
        "Acme\r\nBcc: a@b.example\r\n\r\n<script>alert(1)</script>",
        "Acme\nSubject: another",
        "\u{202e}gpj.exe\u{0}",
        "=?utf-8?q?Bcc=3A_a=40b.example?=",
        "Ünïcödé \u{1f600} \r\n.\r\nMAIL FROM:<x@y.example>",
        "x\"><img src=https://evil.example/pixel onerror=alert(1)>",
    ];

    #[test]
    fn no_text_becomes_a_header_a_second_mail_or_markup() {
        let config = EmailConfig {
            host: "127.0.0.1".to_owned(),
            port: 25,
            tls: Tls::None,
            authorities: None,
            login: None,
            from: "Acme <support@acme.example>".to_owned(),
            operator: None,
        };
        let mailer = Mailer::new(&config, "evergrant.example").unwrap();
        for text in HOSTILE {
            // As `words` puts names in, and without its help.
            for text in [text.to_owned(), plain(text, 80)] {
                let link = Link { address: "https://evergrant.example/connect/x".to_owned(), label: text.clone() };
                let mail = Mail {
                    language: "en",
                    title: text.clone(),
                    items: vec![Item { message: text.clone(), link: Some(link) }],
                    link_note: text.clone(),
                    has_links: true,
                    why: text.clone(),
                    unsubscribe: Some("https://evergrant.example/unsubscribe/x".to_owned()),
                    unsubscribe_label: text.clone(),
                };
                let written = mailer.written("alice@mail.example", "ntf_1", &mail, Timestamp::default()).unwrap();
                assert_eq!(written.envelope().to().len(), 1);
                let whole = String::from_utf8(written.formatted()).unwrap();
                let (head, body) = whole.split_once("\r\n\r\n").unwrap();
                let begins = |line: &&str| !line.starts_with([' ', '\t']);
                let names: Vec<&str> =
                    head.split("\r\n").filter(begins).filter_map(|line| line.split(':').next()).collect();
                let expected = [
                    "From",
                    "To",
                    "Message-ID",
                    "Subject",
                    "Auto-Submitted",
                    "Date",
                    "List-Unsubscribe",
                    "List-Unsubscribe-Post",
                    "MIME-Version",
                    "Content-Type",
                ];
                assert_eq!(names, expected, "{head}");
                let (_, html) = body.split_once("text/html").unwrap();
                assert!(!html.contains("<script") && !html.contains("<img"), "{html}");
            }
        }
    }
}
