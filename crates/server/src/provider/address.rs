//! Which addresses a provider may resolve to.
//!
//! Checked on the resolved address at connect time, so that a name that resolves differently later gains nothing
//! (DNS rebinding). Ranges: RFC 6890 and its registries, with the IPv6 forms that embed IPv4 addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What may be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressPolicy {
    /// Only globally reachable addresses.
    PublicOnly,
    /// Loopback, link-local and private ranges too (`allow_private_networks`).
    PrivateAllowed,
}

/// The address is not one that may be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "its address {address} is in a private, loopback or reserved range; set allow_private_networks if it is meant to be reached"
)]
pub struct Refused {
    /// The address.
    pub address: IpAddr,
}

impl AddressPolicy {
    /// Checks one resolved address.
    ///
    /// # Errors
    /// [`Refused`] when it may not be reached.
    pub fn check(self, address: IpAddr) -> Result<(), Refused> {
        if self == AddressPolicy::PrivateAllowed || is_public(address) { Ok(()) } else { Err(Refused { address }) }
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let reserved = matches!(
        (a, b, c),
        (0 | 10 | 127 | 224..=255, _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 168, _)
            | (192, 0, 0 | 2)
            | (192, 31, 196)
            | (192, 52, 193)
            | (192, 88, 99)
            | (192, 175, 48)
            | (198, 18..=19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    );
    !reserved
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, third, fourth, fifth, sixth, seventh, eighth] = address.segments();
    let embedded = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match (first, second) {
        // IPv4-mapped and -compatible, unspecified, loopback: judged by the address within.
        (0, 0) => {
            (third, fourth, fifth) == (0, 0, 0)
                && matches!(sixth, 0xffff | 0)
                && (seventh, eighth) != (0, 0)
                && (seventh, eighth) != (0, 1)
                && embedded(seventh, eighth)
        }
        // NAT64 (RFC 6052) and 6to4 (RFC 3056) carry an IPv4 address.
        (0x64, 0xff9b) => (third, fourth, fifth, sixth) == (0, 0, 0, 0) && embedded(seventh, eighth),
        (0x2002, high) => embedded(high, third),
        // Teredo, benchmarking, ORCHID, documentation (RFC 3849, RFC 9637), SRv6 SIDs (RFC 9602).
        (0x2001, 0..=0x01ff | 0x0db8) | (0x5f00, _) => false,
        (0x3fff, 0..=0x0fff) => false,
        // Everything else that is not global unicast 2000::/3: ULA, link-local, site-local, multicast, discard.
        _ => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_loopback_and_reserved_addresses_are_refused_in_every_form() {
        let refused = [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.0.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::10.0.0.1",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "2001::1",
            "2001:db8::1",
            "2001:10::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "100::1",
        ];
        for text in refused {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(AddressPolicy::PublicOnly.check(address), Err(Refused { address }), "{text}");
            assert_eq!(AddressPolicy::PrivateAllowed.check(address), Ok(()), "{text}");
        }
    }

    #[test]
    fn public_addresses_are_reached() {
        let public = [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "223.255.255.1",
            "2606:4700::1111",
            "2a00:1450::1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
        ];
        for text in public {
            assert_eq!(AddressPolicy::PublicOnly.check(text.parse().unwrap()), Ok(()), "{text}");
        }
    }
}
