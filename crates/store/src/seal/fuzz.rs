//! What must hold of any bytes where a ciphertext should stand. Compiled for the tests and for the fuzzer only.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

use evergrant_core::id::InstallationId;
use evergrant_core::time::Timestamp;
use zeroize::Zeroizing;

use super::{KeyRing, MasterKey, Place, SealedBytes, WrappedKey};
use crate::entropy::Entropy;

/// Counts instead of choosing, so that an input means the same in every run.
#[derive(Debug, Default)]
struct Counting(AtomicU8);

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.iter_mut().for_each(|byte| *byte = self.0.fetch_add(1, Ordering::Relaxed));
    }
}

const PLACES: [Place<'static>; 6] = [
    Place { table: "connections", row: "con_1", column: "access_token", generation: 7 },
    Place { table: "connections", row: "con_1", column: "access_token", generation: 8 },
    Place { table: "connections", row: "con_1", column: "refresh_token", generation: 7 },
    Place { table: "connections", row: "con_2", column: "access_token", generation: 7 },
    Place { table: "pending", row: "con_1", column: "access_token", generation: 7 },
    Place { table: "connections", row: "con_", column: "1access_token", generation: 7 },
];

struct World {
    master: MasterKey,
    installation: InstallationId,
    wrapped: WrappedKey,
    ring: KeyRing,
    /// Of each place one ciphertext and its text.
    sealed: Vec<(SealedBytes, Vec<u8>)>,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let master = MasterKey::new(Zeroizing::new([9; 32]));
        let installation = InstallationId::make(Timestamp::from_seconds(1), [1; 10]);
        let entropy: crate::entropy::SharedEntropy = Arc::new(Counting::default());
        let wrapped = KeyRing::first_key(&master, &installation, &entropy).expect("a key");
        let ring =
            KeyRing::open(&master, &installation, std::slice::from_ref(&wrapped), entropy, u64::MAX).expect("a ring");
        let texts: [&[u8]; 6] = [b"at-0123456789", b"", b"rt", b"at-0123456789", &[0; 300], b"at-0123456789"];
        let seal = |(place, text): (Place<'_>, &[u8])| (ring.seal(place, text).expect("it seals"), text.to_vec());
        let sealed = PLACES.into_iter().zip(texts).map(seal).collect();
        World { master, installation, wrapped, ring, sealed }
    })
}

/// First byte: which ciphertext, or with its highest bit that the rest is one itself. Second byte: where it is put; 255: it
/// stands for the data key. Then pairs: where it is changed, and by what.
pub fn sealed(input: &[u8]) {
    let [which, place, rest @ ..] = input else { return };
    let world = world();
    let bytes = |known: &SealedBytes| match which >= &128 {
        true => rest.to_vec(),
        false => edited(known.as_bytes(), rest),
    };
    if *place == 255 {
        let wrapped =
            WrappedKey { wrapped: SealedBytes::stored(bytes(&world.wrapped.wrapped)), ..world.wrapped.clone() };
        let same = wrapped.wrapped == world.wrapped.wrapped;
        let entropy: crate::entropy::SharedEntropy = Arc::new(Counting::default());
        let opened = KeyRing::open(&world.master, &world.installation, &[wrapped], entropy, u64::MAX);
        assert_eq!(opened.is_ok(), same, "a data key opens only as it was wrapped");
        return;
    }
    let (which, place) = (usize::from(*which) % PLACES.len(), usize::from(*place) % PLACES.len());
    let candidate = SealedBytes::stored(bytes(&world.sealed[which].0));
    let (own, text) = &world.sealed[place];
    match world.ring.open_at(PLACES[place], &candidate) {
        Ok(opened) => {
            assert!(candidate == *own, "what was not sealed for this place opens in it");
            assert_eq!(*opened, *text);
        }
        Err(_) => assert!(candidate != *own, "what was sealed for its place does not open"),
    }
}

fn edited(bytes: &[u8], edits: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for pair in edits.chunks_exact(2) {
        let length = bytes.len().max(1);
        match (bytes.get_mut(usize::from(pair[0]) % length), pair[1]) {
            (Some(byte), change) if change != 255 => *byte ^= change,
            _ => bytes.truncate(usize::from(pair[0]) % length),
        }
    }
    bytes
}

/// Inputs to begin with.
pub fn sealed_seeds() -> Vec<Vec<u8>> {
    let world = world();
    let mut seeds: Vec<Vec<u8>> = (0..6).flat_map(|which| (0..6).map(move |place| vec![which, place])).collect();
    seeds.extend((0..40).map(|at| vec![0, 0, at, 1]));
    seeds.push(vec![0, 255]);
    seeds.push(vec![0, 255, 7, 1]);
    seeds.extend(world.sealed.iter().map(|(sealed, _)| [&[128, 0], sealed.as_bytes()].concat()));
    seeds.push([&[128, 255], world.wrapped.wrapped.as_bytes()].concat());
    seeds
}
