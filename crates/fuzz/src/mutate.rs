//! Changes inputs by chance, for runs without coverage: what libFuzzer does, without its guidance and without its build.

/// Chooses by a seed: the same seed makes the same choices.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Dice(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    /// Any number (splitmix64).
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    /// A number below `end`; 0 if that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        let end = end.max(1) as u64;
        usize::try_from(self.any() % end).unwrap_or_default()
    }

    /// One of them, if there are any.
    pub fn one_of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> Option<&'a T> {
        all.get(self.below(all.len())).copied()
    }
}

/// Numbers at which readers go wrong.
const NUMBERS: [&str; 14] = [
    "0",
    "-1",
    "1",
    "60",
    "3600",
    "86400000",
    "2147483647",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "18446744073709551616",
    "1e308",
    "0.0000001",
    "NaN",
];

/// Changes an input one to four times. `others` are spliced in, `words` are what the place knows.
pub fn mutate(input: &[u8], others: &[Vec<u8>], words: &[&str], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=dice.below(4) {
        once(&mut bytes, others, words, dice);
    }
    bytes.truncate(32 * 1024);
    bytes
}

fn once(bytes: &mut Vec<u8>, others: &[Vec<u8>], words: &[&str], dice: &mut Dice) {
    let at = dice.below(bytes.len() + 1);
    let span = dice.below(16).min(bytes.len() - at);
    match dice.below(10) {
        0 => flip(bytes, at, dice),
        1 => replace(bytes, at, span, &[dice.any() as u8]),
        2 => replace(bytes, at, span, &[]),
        3 => {
            let copy = bytes[at..at + span].to_vec();
            let to = dice.below(bytes.len() + 1);
            replace(bytes, to, 0, &copy);
        }
        4 => bytes.truncate(at),
        5 => splice(bytes, at, others, dice),
        6 => number(bytes, dice),
        7 => {
            let sign =
                dice.one_of(&["\"", "'", "<", ">", "&", "%", "\\", "/", "@", "#", "?", "{", "}", "\n", "\0", " "]);
            replace(bytes, at, dice.below(2).min(span), sign.unwrap_or_default().as_bytes());
        }
        _ => replace(bytes, at, span, dice.one_of(words).unwrap_or_default().as_bytes()),
    }
}

fn flip(bytes: &mut [u8], at: usize, dice: &mut Dice) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << dice.below(8);
    }
}

fn replace(bytes: &mut Vec<u8>, at: usize, length: usize, with: &[u8]) {
    bytes.splice(at..at + length, with.iter().copied());
}

/// The beginning of this one and the end of another.
fn splice(bytes: &mut Vec<u8>, at: usize, others: &[Vec<u8>], dice: &mut Dice) {
    let others: Vec<&Vec<u8>> = others.iter().collect();
    let Some(other) = dice.one_of(&others) else { return };
    let from = dice.below(other.len() + 1);
    bytes.truncate(at);
    bytes.extend_from_slice(&other[from..]);
}

/// Another number in place of one that stands there.
fn number(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let starts: Vec<usize> = (0..bytes.len())
        .filter(|at| bytes[*at].is_ascii_digit() && (*at == 0 || !bytes[*at - 1].is_ascii_digit()))
        .collect();
    let Some(start) = starts.get(dice.below(starts.len())).copied() else { return };
    let length = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    replace(bytes, start, length, dice.one_of(&NUMBERS).unwrap_or_default().as_bytes());
}
