//! Where the server is, and how it is reached.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use postgres::Config;
use postgres::config::{Host, SslMode, TargetSessionAttrs};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::sync::watch;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::super::fell_behind;

/// A connection attempt that takes longer has failed.
const CONNECT: Duration = Duration::from_secs(5);
/// What was sent and is not acknowledged for so long ends the connection: a host that vanished says nothing.
const VANISHED: Duration = Duration::from_secs(20);

/// A database on a PostgreSQL server, from a URL such as `postgres://user:password@host/database`.
///
/// A server that is not on this machine is spoken to by TLS with a verified certificate, unless the URL says
/// `sslmode=disable`. Certificates come from the system, or from the file that `sslrootcert` names.
#[derive(Clone)]
pub struct DatabaseServer {
    config: Config,
    name: String,
    roots: Option<PathBuf>,
    /// It has lost commits that it had answered.
    pub(in crate::db) behind: Arc<watch::Sender<bool>>,
}

/// A URL that names no PostgreSQL database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}; expected postgres://user:password@host:5432/database")]
pub struct NotAServer(String);

impl std::fmt::Debug for DatabaseServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

/// Its name without user and password.
impl std::fmt::Display for DatabaseServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl DatabaseServer {
    /// Reads a URL.
    ///
    /// # Errors
    /// [`NotAServer`] says what is wrong with it; never with the password.
    pub fn parse(url: &str) -> Result<Self, NotAServer> {
        let (url, said) = split(url)?;
        // The parser's own words repeat parts of the URL, where a password may stand.
        let mut config: Config = url.parse().map_err(|_| NotAServer("it is not a URL of PostgreSQL".to_owned()))?;
        if config.get_hosts().is_empty() {
            return Err(NotAServer("it names no host".to_owned()));
        }
        if config.get_dbname().is_none() {
            return Err(NotAServer("it names no database".to_owned()));
        }
        if !said.mode {
            config.ssl_mode(if config.get_hosts().iter().all(is_here) { SslMode::Disable } else { SslMode::Require });
        }
        config.connect_timeout(CONNECT).tcp_user_timeout(VANISHED).keepalives_idle(VANISHED);
        config.keepalives_interval(Duration::from_secs(5)).keepalives_retries(3);
        // Where several hosts are named: the one that may be written, also after a fail-over.
        config.application_name("evergrant").target_session_attrs(TargetSessionAttrs::ReadWrite);
        Ok(DatabaseServer {
            name: name(&config),
            config,
            roots: said.roots,
            behind: Arc::new(watch::Sender::new(false)),
        })
    }

    /// A server that counts fewer groups than it has answered has lost some: a standby took over that had not seen them,
    /// or its files were put back. Nothing is sent before that is put right.
    pub(super) fn compare(&self, counted: u64, known: &Cell<u64>) {
        if counted < known.get() {
            known.set(counted);
            fell_behind(&self.behind);
        }
    }

    /// Connects; the answer is what the server or the system said.
    pub(super) fn connect(&self) -> Result<postgres::Client, Refused> {
        let tls = self.tls().map_err(Refused::Certificates)?;
        self.config.connect(tls).map_err(Refused::Connection)
    }

    fn tls(&self) -> Result<MakeRustlsConnect, String> {
        let mut roots = RootCertStore::empty();
        if self.config.get_ssl_mode() != SslMode::Disable {
            match &self.roots {
                Some(file) => add_file(&mut roots, file)?,
                None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
            }
            if roots.is_empty() {
                return Err("no certificate authority is known to check the server's certificate with".to_owned());
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| error.to_string())?;
        Ok(MakeRustlsConnect::new(builder.with_root_certificates(roots).with_no_client_auth()))
    }
}

/// Why there is no connection.
pub(super) enum Refused {
    /// What to check the server's certificate with cannot be read.
    Certificates(String),
    /// The server, or the way to it.
    Connection(postgres::Error),
}

fn add_file(roots: &mut RootCertStore, file: &Path) -> Result<(), String> {
    let unreadable = |why: &dyn std::fmt::Display| format!("`sslrootcert` {} cannot be read: {why}", file.display());
    for one in CertificateDer::pem_file_iter(file).map_err(|error| unreadable(&error))? {
        let one = one.map_err(|error| unreadable(&error))?;
        roots.add(one).map_err(|error| unreadable(&error))?;
    }
    Ok(())
}

/// What the parser does not know, or reads otherwise.
#[derive(Default)]
struct Said {
    mode: bool,
    roots: Option<PathBuf>,
}

fn split(url: &str) -> Result<(String, Said), NotAServer> {
    let Some((before, query)) = url.split_once('?') else { return Ok((url.to_owned(), Said::default())) };
    let (mut rest, mut said) = (Vec::new(), Said::default());
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some(("sslrootcert", file)) => said.roots = Some(PathBuf::from(file.replace("%2F", "/"))),
            // A certificate is always verified, with the host's name in it.
            Some(("sslmode", "require" | "verify-ca" | "verify-full")) => {
                said.mode = true;
                rest.push("sslmode=require".to_owned());
            }
            Some(("sslmode", "disable")) => {
                said.mode = true;
                rest.push(pair.to_owned());
            }
            Some(("sslmode", _)) => {
                return Err(NotAServer("its `sslmode` is neither disable nor require nor verify-full".to_owned()));
            }
            _ => rest.push(pair.to_owned()),
        }
    }
    let query = if rest.is_empty() { String::new() } else { format!("?{}", rest.join("&")) };
    Ok((format!("{before}{query}"), said))
}

fn is_here(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            let address = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
            name == "localhost" || address.is_ok_and(|address| address.is_loopback())
        }
    }
}

fn name(config: &Config) -> String {
    let hosts = config.get_hosts().iter().map(|host| match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    });
    let hosts: Vec<String> = hosts.collect();
    let ports: Vec<String> = config.get_ports().iter().map(|port| format!(":{port}")).collect();
    let ports = ports.first().map_or("", String::as_str);
    format!("postgres://{}{ports}/{}", hosts.join(","), config.get_dbname().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_elsewhere_is_spoken_to_by_tls_unless_it_is_said_otherwise() {
        let mode = |url: &str| DatabaseServer::parse(url).unwrap().config.get_ssl_mode();
        assert_eq!(mode("postgres://ann:secret@db.example/grants"), SslMode::Require);
        assert_eq!(mode("postgres://ann@10.0.0.7/grants?sslmode=disable"), SslMode::Disable);
        assert_eq!(
            mode("postgres://ann@db.example/grants?sslmode=verify-full&sslrootcert=/etc/ca.pem"),
            SslMode::Require
        );
        assert_eq!(mode("postgresql://ann@localhost/grants"), SslMode::Disable);
        assert_eq!(mode("postgres://ann@/grants?host=/run/postgresql"), SslMode::Disable);
    }

    #[test]
    fn a_name_shows_neither_user_nor_password() {
        let server = DatabaseServer::parse("postgres://ann:secret@db.example:5433/grants").unwrap();
        assert_eq!(server.to_string(), "postgres://db.example:5433/grants");
        assert_eq!(format!("{server:?}"), "postgres://db.example:5433/grants");
    }

    #[test]
    fn a_url_that_names_no_database_is_refused_without_its_password() {
        for url in ["postgres://ann:secret@db.example", "postgres://ann:sec ret@:x/y", "postgres://h/d?sslmode=prefer"]
        {
            let error = DatabaseServer::parse(url).unwrap_err().to_string();
            assert!(error.contains("expected postgres://") && !error.contains("secret"), "{error}");
        }
    }
}
