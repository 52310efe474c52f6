//! What happened, line by line: the same for the same seed, to the byte.
//!
//! A long run keeps its last lines only; the hash is over all of them.

use std::collections::VecDeque;
use std::fmt;

use evergrant_core::time::Timestamp;

/// Lines that are kept.
const KEPT: usize = 20_000;

/// The lines.
#[derive(Debug)]
pub struct History {
    began: Timestamp,
    lines: VecDeque<String>,
    told: u64,
    hash: u64,
}

impl History {
    /// Of a run that begins at `began`.
    pub fn new(began: Timestamp) -> Self {
        History { began, lines: VecDeque::new(), told: 0, hash: 0xcbf2_9ce4_8422_2325 }
    }

    /// One more line.
    pub fn tell(&mut self, now: Timestamp, what: fmt::Arguments<'_>) {
        let millis = now.since(self.began).as_millis();
        let (seconds, day) = (millis / 1000 % 86_400, millis / 86_400_000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let line = format!("day {day:3} {hour:02}:{minute:02}:{second:02}.{:03} {what}", millis % 1000);
        for byte in line.bytes() {
            // FNV-1a.
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        if self.lines.len() == KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
        self.told += 1;
    }

    /// Names everything that was told.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// How many lines were told.
    pub fn told(&self) -> u64 {
        self.told
    }

    /// The lines that are kept.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for line in &self.lines {
            text.push_str(line);
            text.push('\n');
        }
        text
    }
}
