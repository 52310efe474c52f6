//! A wire that can be cut: stands between a service and its database or its provider and does to connections what
//! networks do.
//!
//! It forwards bytes both ways. It can refuse, break everything that is open, let nothing through without breaking it (what
//! was sent comes late then, as over a network that heals), and take the moment that matters most to a database's client:
//! the `COMMIT` of PostgreSQL's protocol, right before it is forwarded or right after it held, so that the client can't
//! know. It understands no more of the protocol than the frames of messages.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Where a `COMMIT` is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The server never sees it.
    Before,
    /// The server has done it and said so, and the client never hears.
    After,
}

/// What connections live by: those of an earlier age are broken.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    down: bool,
    held: bool,
    age: u64,
}

#[derive(Debug, Default)]
struct Cuts {
    next: Option<Cut>,
    done: u64,
}

#[derive(Debug)]
struct Shared {
    state: watch::Sender<State>,
    cuts: Mutex<Cuts>,
    to: Target,
}

/// Where a wire leads.
#[derive(Clone, Debug)]
pub enum Target {
    /// A socket in the file system.
    Unix(PathBuf),
    /// An address.
    Tcp(SocketAddr),
}

/// A wire that can be cut. Everything ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    place: Place,
    // Ends with this.
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
enum Place {
    Folder(tempfile::TempDir),
    Address(SocketAddr),
}

/// One side of a wire.
trait Side: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Side for T {}

impl Proxy {
    /// In front of a PostgreSQL server's socket: listens on one of the same name in a folder of its own.
    ///
    /// # Panics
    /// When no socket can be made.
    pub fn before_database(socket: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).expect("a socket can be made");
        let shared = Shared::new(Target::Unix(socket.to_owned()));
        let (mut tasks, accepting) = (JoinSet::new(), shared.clone());
        tasks.spawn(async move {
            let mut wires = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                wires.spawn(connect(accepting.clone(), Box::new(stream)));
            }
        });
        Proxy { shared, place: Place::Folder(folder), _tasks: tasks }
    }

    /// In front of an address: listens on a port of its own.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn before(address: SocketAddr) -> Self {
        Self::before_at(address, ([127, 0, 0, 1], 0).into()).await
    }

    /// In front of an address: listens on this one.
    ///
    /// # Panics
    /// When it is taken.
    pub async fn before_at(address: SocketAddr, own: SocketAddr) -> Self {
        let listener = TcpListener::bind(own).await.expect("the address is free");
        let own = listener.local_addr().expect("its address");
        let shared = Shared::new(Target::Tcp(address));
        let (mut tasks, accepting) = (JoinSet::new(), shared.clone());
        tasks.spawn(async move {
            let mut wires = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                wires.spawn(connect(accepting.clone(), Box::new(stream)));
            }
        });
        Proxy { shared, place: Place::Address(own), _tasks: tasks }
    }

    /// The folder of the socket, where it stands before a database.
    pub fn folder(&self) -> Option<&Path> {
        match &self.place {
            Place::Folder(folder) => Some(folder.path()),
            Place::Address(_) => None,
        }
    }

    /// The address, where it stands before one.
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.place {
            Place::Folder(_) => None,
            Place::Address(address) => Some(*address),
        }
    }

    /// Breaks what is open and lets nobody through until it is mended.
    pub fn break_down(&self) {
        self.shared.state.send_modify(|state| *state = State { down: true, age: state.age + 1, ..*state });
    }

    /// Lets nothing through either way until it is mended, and breaks nothing: what is sent meanwhile, also that a side has
    /// ended, comes then.
    pub fn hold(&self) {
        self.shared.state.send_modify(|state| state.held = true);
    }

    /// Lets everybody and everything through again.
    pub fn mend(&self) {
        self.shared.state.send_modify(|state| *state = State { down: false, held: false, ..*state });
    }

    /// Breaks what is open; who comes anew gets through.
    pub fn reset(&self) {
        self.shared.state.send_modify(|state| state.age += 1);
    }

    /// Cuts the next `COMMIT` that comes through a connection.
    pub fn cut_next(&self, cut: Cut) {
        self.shared.cuts().next = Some(cut);
    }

    /// How many were cut.
    pub fn cuts(&self) -> u64 {
        self.shared.cuts().done
    }
}

impl Shared {
    fn new(to: Target) -> Arc<Self> {
        Arc::new(Shared { state: watch::Sender::new(State::default()), cuts: Mutex::default(), to })
    }

    /// Waits as long as nothing comes through.
    async fn let_through(&self) {
        drop(self.state.subscribe().wait_for(|state| !state.held).await);
    }

    fn cuts(&self) -> MutexGuard<'_, Cuts> {
        self.cuts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be done to a commit that comes now.
    fn take_cut(&self) -> Option<Cut> {
        let mut cuts = self.cuts();
        let cut = cuts.next.take();
        cuts.done += u64::from(cut.is_some());
        cut
    }
}

/// One connection, until either side ends it or the wire breaks.
async fn connect(shared: Arc<Shared>, client: Box<dyn Side>) {
    let mut state = shared.state.subscribe();
    let born = *state.borrow_and_update();
    if born.down {
        return;
    }
    shared.let_through().await;
    let server: Box<dyn Side> = match &shared.to {
        Target::Unix(path) => match UnixStream::connect(path).await {
            Ok(stream) => Box::new(stream),
            Err(_) => return,
        },
        Target::Tcp(address) => match TcpStream::connect(address).await {
            Ok(stream) => Box::new(stream),
            Err(_) => return,
        },
    };
    let broken = async { drop(state.wait_for(|state| state.age != born.age).await) };
    tokio::select! {
        () = forward(&shared, client, server) => {}
        () = broken => {}
    }
}

async fn forward(shared: &Shared, client: Box<dyn Side>, server: Box<dyn Side>) {
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_server, mut to_server) = tokio::io::split(server);
    let asked = async {
        let (mut frames, mut bytes) = (Frames::default(), vec![0; 16 * 1024]);
        loop {
            let read = from_client.read(&mut bytes).await;
            shared.let_through().await;
            let Ok(read @ 1..) = read else { return None };
            // A commit comes alone: nobody sends anything before it is answered.
            let cut = frames.holds_commit(&bytes[..read]).then(|| shared.take_cut()).flatten();
            if cut == Some(Cut::Before) {
                return None;
            }
            if to_server.write_all(&bytes[..read]).await.is_err() {
                return None;
            }
            if cut.is_some() {
                return cut;
            }
        }
    };
    let answered = async {
        let mut bytes = vec![0; 16 * 1024];
        loop {
            let read = from_server.read(&mut bytes).await;
            shared.let_through().await;
            let Ok(read @ 1..) = read else { return };
            if to_client.write_all(&bytes[..read]).await.is_err() {
                return;
            }
        }
    };
    let cut = tokio::select! {
        cut = asked => cut,
        () = answered => None,
    };
    if cut == Some(Cut::After) {
        // The first byte of the answer to a commit comes when it holds.
        let _ = from_server.read_u8().await;
    }
}

/// Messages as a client of PostgreSQL sends them: a first one without a kind, then kind and length.
#[derive(Default)]
struct Frames {
    begun: bool,
    /// How many bytes of the message under way are still to come.
    rest: usize,
    /// The beginning of a message of which the length is not known yet.
    head: Vec<u8>,
}

impl Frames {
    /// Whether these bytes hold a whole `COMMIT` of the simple protocol.
    fn holds_commit(&mut self, mut bytes: &[u8]) -> bool {
        const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";
        let mut found = false;
        while !bytes.is_empty() {
            if self.rest > 0 {
                let passed = self.rest.min(bytes.len());
                self.rest -= passed;
                bytes = &bytes[passed..];
                continue;
            }
            found |= self.begun && self.head.is_empty() && bytes.starts_with(COMMIT);
            self.head.push(bytes[0]);
            bytes = &bytes[1..];
            let kind = usize::from(self.begun);
            if self.head.len() == kind + 4 {
                let length = self.head[kind..].iter().fold(0, |length, byte| (length << 8) | usize::from(*byte));
                self.rest = length.saturating_sub(4);
                self.begun = true;
                self.head.clear();
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: &str, text: &str) -> Vec<u8> {
        let length = u32::try_from(text.len() + 5).unwrap().to_be_bytes();
        [kind.as_bytes(), &length, text.as_bytes(), &[0]].concat()
    }

    #[test]
    fn a_commit_is_seen_where_a_message_begins_and_nowhere_else() {
        let mut frames = Frames::default();
        assert!(!frames.holds_commit(&message("", "user\0evergrant")), "the first message has no kind");
        assert!(!frames.holds_commit(&message("Q", "SELECT 'Q\0\0\0\x0bCOMMIT'")));
        assert!(!frames.holds_commit(&message("Q", "COMMITMENT")));
        let whole = message("Q", "SELECT 1");
        assert!(!frames.holds_commit(&whole[..3]) && !frames.holds_commit(&whole[3..]));
        assert!(frames.holds_commit(&message("Q", "COMMIT")));
        assert!(frames.holds_commit(&[message("Q", "SELECT 1"), message("Q", "COMMIT")].concat()));
    }
}
