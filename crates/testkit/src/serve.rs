//! One connection from its first byte to its end, with the faults on the way.
//!
//! The order is what the ledger's times mean: first byte → whole request read → (wait) → decided → (wait) → answer
//! written → connection closed. The lock is taken for moments in between and never over a wait.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::clock::pause;
use crate::inner::Inner;
use crate::ledger::{Decision, End};
use crate::plan::{Delivery, Plan};
use crate::routes;
use crate::token;
use crate::wire::{Answer, Gone, Request, Unread, finish_writing, gone, has_gone, read_request, write_all};

/// How long a client may take to send its request.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// How long the judge waits, after a whole answer, for the client to close.
const CLOSE_LIMIT: Duration = Duration::from_secs(10);

/// Serves one connection.
pub(crate) async fn converse(inner: Arc<Inner>, stream: TcpStream) {
    // Without this a small answer can wait for an acknowledgement; it costs nothing when it fails.
    let _ = stream.set_nodelay(true);
    let stream = Arc::new(stream);
    if stream.readable().await.is_err() {
        return;
    }
    let began_at = inner.sweep();
    let request = tokio::select! {
        request = read_request(&stream) => request,
        () = pause(REQUEST_LIMIT) => return,
    };
    let request = match request {
        Ok(request) => request,
        Err(Unread::Gone) => return,
        Err(Unread::Bad(status)) => {
            let (bytes, _) = Answer::new(status, "text/plain", "").bytes(0);
            // The client sent no request: whether it reads the refusal is its own matter.
            let _ = write_all(&stream, &bytes).await;
            return;
        }
    };
    // Taken before the ledger shows the request: whoever sees it there may release it at once.
    let releases = inner.releases();
    let begun = inner.change(|state, now| state.begin(&request, began_at, now, &stream));
    let mut talk = Talk { inner, stream, releases, spend: begun.spend, left: false };
    talk.answer(&request, begun.plan).await;
}

/// A connection whose request has been read.
struct Talk {
    inner: Arc<Inner>,
    stream: Arc<TcpStream>,
    releases: watch::Receiver<u64>,
    spend: Option<usize>,
    left: bool,
}

impl Talk {
    async fn answer(&mut self, request: &Request, plan: Plan) {
        if plan.cut_before || plan.hang {
            self.decided_nothing();
            if plan.hang {
                let how = gone(&self.stream).await;
                self.client_left(how);
            }
            return self.ended(End::Cut);
        }
        self.wait(plan.delay, plan.hold).await;
        let answer = self.decide(request, &plan);
        self.wait(plan.delay_answer, plan.hold_answer).await;
        self.deliver(&answer, plan.delivery).await;
    }

    fn decided_nothing(&self) {
        if let Some(spend) = self.spend {
            self.inner.change(|state, now| state.decided(spend, Decision::Untouched, now));
        }
    }

    /// The judge's own answer, or the fault's, or both: what is sent may not be what was decided.
    fn decide(&self, request: &Request, plan: &Plan) -> Answer {
        self.inner.change(|state, now| {
            let (own, decision) =
                if plan.decides() { routes::answer(state, request, now) } else { (Answer::new(500, "", ""), None) };
            if let Some(spend) = self.spend {
                state.decided(spend, decision.unwrap_or(Decision::Untouched), now);
            }
            let said = match &plan.canned {
                Some(canned) => {
                    Answer { status: canned.status, headers: canned.headers.clone(), body: canned.body.clone() }
                }
                None if plan.echo_token => token::echo(request),
                None => own,
            };
            match plan.omits {
                Some(left_out) => token::without(said, left_out),
                None => said,
            }
        })
    }

    /// Waits for a time and, if held, for a release; notes on the way when the client leaves, and goes on: a provider
    /// that works on a request rotates also when nobody listens any more.
    async fn wait(&mut self, span: Duration, hold: bool) {
        if span.is_zero() && !hold {
            return;
        }
        let mut releases = self.releases.clone();
        let mut waiting = pin!(async {
            pause(span).await;
            if hold {
                // It fails only when the judge is gone, and this task with it.
                let _ = releases.changed().await;
            }
        });
        let how = tokio::select! {
            () = &mut waiting => None,
            how = gone(&self.stream), if !self.left => Some(how),
        };
        if let Some(how) = how {
            self.client_left(how);
            waiting.await;
        }
        self.releases.mark_unchanged();
    }

    fn client_left(&mut self, how: Gone) {
        self.left = true;
        if let Some(spend) = self.spend {
            self.inner.change(|state, now| state.client_left(spend, how, now));
        }
    }

    fn ended(&self, end: End) {
        if let Some(spend) = self.spend {
            self.inner.change(|state, now| state.ended(spend, end, now));
        }
    }

    async fn deliver(&mut self, answer: &Answer, delivery: Delivery) {
        if let Some(how) = has_gone(&self.stream).filter(|_| !self.left) {
            self.client_left(how);
        }
        if let Some(spend) = self.spend {
            self.inner.change(|state, _| state.answering(spend, answer.status));
        }
        if self.left || delivery == Delivery::Nothing {
            return self.ended(End::Cut);
        }
        let length = answer.body.len();
        let wrote = match delivery {
            Delivery::CutInside(at) => {
                return self.cut(answer, length, at.unwrap_or(length / 2)).await;
            }
            Delivery::WrongLength(by) => {
                return self.cut(answer, length.saturating_add_signed(isize::try_from(by).unwrap_or(0)), length).await;
            }
            Delivery::Drip { every, bytes } => self.drip(&answer.bytes(length).0, every, bytes).await,
            Delivery::Whole | Delivery::Nothing => self.write_whole(&answer.bytes(length).0).await,
        };
        if wrote {
            self.see_off().await;
        } else {
            self.client_left(Gone::Reset);
        }
    }

    /// Writes a whole answer. As far as it goes out at once, that and its note in the books are one step: else a client that
    /// has read everything and closed could be taken for one that left before.
    async fn write_whole(&self, bytes: &[u8]) -> bool {
        let at_once = self.inner.change(|state, now| {
            let count = self.stream.try_write(bytes).unwrap_or(0);
            if let Some(spend) = self.spend.filter(|_| count == bytes.len()) {
                state.written(spend, now);
            }
            count
        });
        write_all(&self.stream, &bytes[at_once..]).await.is_ok()
    }

    /// Sends the head and so many bytes of the body, under a declared length, and closes.
    async fn cut(&self, answer: &Answer, declared: usize, sent: usize) {
        let (bytes, start) = answer.bytes(declared);
        let end = (start + sent).min(bytes.len());
        // What counts is that no more than this is sent; the client may have left before.
        let _ = write_all(&self.stream, &bytes[..end]).await;
        self.ended(End::Cut);
    }

    async fn drip(&mut self, bytes: &[u8], every: Duration, size: usize) -> bool {
        for (number, piece) in bytes.chunks(size).enumerate() {
            // Not after the last piece: a client that has everything may close at once.
            if number > 0 {
                self.wait(every, false).await;
            }
            if self.left || write_all(&self.stream, piece).await.is_err() {
                return false;
            }
        }
        true
    }

    /// After a whole answer: waits for the client to close, which tells whether it read everything.
    async fn see_off(&mut self) {
        if let Some(spend) = self.spend {
            self.inner.change(|state, now| state.written(spend, now));
        }
        finish_writing(&self.stream);
        tokio::select! {
            how = gone(&self.stream) => {
                // A reset that follows the client's own close is not an error of the read, but of the socket.
                let reset = matches!(self.stream.take_error(), Ok(Some(_)) | Err(_));
                self.client_left(if reset { Gone::Reset } else { how });
            }
            () = pause(CLOSE_LIMIT) => self.ended(End::Written),
        }
    }
}
