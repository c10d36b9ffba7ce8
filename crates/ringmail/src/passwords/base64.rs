//! The three ways of base64 that password hashes are written in. Each is strict: what it reads is what it would write.

use data_encoding::{BASE64_NOPAD, BitOrder, Encoding, Specification};
use std::sync::LazyLock;

/// RFC 4648 §4 without padding: PHC strings.
pub const PHC: Encoding = BASE64_NOPAD;

/// crypt(5)'s: the least significant bits come first.
pub static CRYPT: LazyLock<Encoding> = LazyLock::new(|| {
    with(
        "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
        BitOrder::LeastSignificantFirst,
    )
});

/// bcrypt's: letters before digits, and the most significant bits first.
pub static BCRYPT: LazyLock<Encoding> = LazyLock::new(|| {
    with(
        "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
        BitOrder::MostSignificantFirst,
    )
});

fn with(symbols: &str, bit_order: BitOrder) -> Encoding {
    let mut specification = Specification::new();
    specification.symbols = symbols.into();
    specification.bit_order = bit_order;
    // Both alphabets have 64 different symbols, which is all that is asked of them; a test reads by each.
    specification.encoding().expect("an alphabet of 64 symbols")
}
