//! The search for leaked secrets finds what it must, and nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use evergrant_testkit::leaks::{Leaks, Writing};
use evergrant_testkit::random_text;

fn surrounded(text: &str) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for before in 0..4 {
        all.push(format!("{}{text}, and so on", &"{\"a\":"[..before]).into_bytes());
    }
    all
}

#[test]
fn a_planted_secret_is_found_however_it_is_written() {
    for _ in 0..20 {
        let secret = format!("{}~/+ {}", random_text::<15>(), random_text::<24>());
        let mut leaks = Leaks::new();
        leaks.add("token", &secret);
        let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        let percent: String = secret.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let form: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        let wide: Vec<u8> = secret.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut places = vec![(Writing::Utf16, wide)];
        for plain in surrounded(&secret) {
            places.push((Writing::Base64, STANDARD.encode(&plain).into_bytes()));
            places.push((Writing::Base64, URL_SAFE.encode(&plain).into_bytes()));
            places.push((Writing::Plain, plain));
        }
        places.extend(surrounded(&hex).into_iter().map(|place| (Writing::Hex, place)));
        places.extend(surrounded(&hex.to_uppercase()).into_iter().map(|place| (Writing::Hex, place)));
        places.extend(surrounded(&percent).into_iter().map(|place| (Writing::Percent, place)));
        places.extend(surrounded(&percent.to_lowercase()).into_iter().map(|place| (Writing::Percent, place)));
        places.extend(surrounded(&form).into_iter().map(|place| (Writing::Percent, place)));
        for (writing, place) in places {
            let found = leaks.find(&place);
            let named = found.iter().any(|leak| leak.writing == writing);
            assert!(named, "{writing:?}: {} in {}", secret, String::from_utf8_lossy(&place));
            assert!(found.iter().all(|leak| !format!("{leak:?}").contains(&secret)));
        }
    }
}

#[test]
fn half_a_secret_is_a_leak_too_and_a_stranger_is_none() {
    let secret = random_text::<32>();
    let mut leaks = Leaks::new();
    leaks.add("token", &secret);
    leaks.add("too short", "1234567");
    assert_eq!((leaks.len(), leaks.is_empty()), (1, false));
    assert_eq!(leaks.find(&secret.as_bytes()[..20]).len(), 1);
    assert_eq!(leaks.find(&secret.as_bytes()[secret.len() - 16..]).len(), 1);
    assert_eq!(leaks.find(&secret.as_bytes()[4..20]).len(), 0);
    assert_eq!(leaks.find(format!("1234567 {}", random_text::<32>()).as_bytes()).len(), 0);
    assert_eq!(leaks.find(&[]).len(), 0);
}

#[test]
fn a_secret_behind_a_long_stretch_of_nothing_is_found_in_a_folder() {
    let folder = std::env::temp_dir().join(random_text::<12>());
    std::fs::create_dir_all(folder.join("deeper")).unwrap();
    let secret = random_text::<32>();
    for hole in [4094, 4095, 4096, 8192, 12_345] {
        let file = [vec![0; hole], secret.clone().into_bytes(), vec![0; hole]].concat();
        std::fs::write(folder.join("deeper").join(hole.to_string()), file).unwrap();
    }
    let mut leaks = Leaks::new();
    leaks.add("token", &secret);
    let found = leaks.find_in(&folder).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let files: std::collections::BTreeSet<_> = found.iter().map(|(path, _)| path).collect();
    assert_eq!(files.len(), 5, "{found:?}");
}
