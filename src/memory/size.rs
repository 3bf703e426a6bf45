//! Sizes of memory as a type of their own, so that a number of bytes is never mixed up with a number of tokens, of
//! elements, or of GiB.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul};
use std::str::FromStr;

use thiserror::Error;

/// 2^10 bytes.
pub const KIB: u64 = 1 << 10;
/// 2^20 bytes.
pub const MIB: u64 = 1 << 20;
/// 2^30 bytes.
pub const GIB: u64 = 1 << 30;

/// A size in bytes.
///
/// Sums and products saturate: a size that nothing could hold stays one, and never wraps into a small one. A difference
/// is [`checked_sub`](Bytes::checked_sub) or [`saturating_sub`](Bytes::saturating_sub), said by name, because what is
/// missing is a fact of its own.
///
/// ```
/// use oomdoc::memory::Bytes;
///
/// assert_eq!(Bytes::gib(8).to_string(), "8.00 GiB");
/// assert_eq!("24GB".parse(), Ok(Bytes(24_000_000_000)));
/// assert_eq!("24 GiB".parse(), Ok(Bytes::gib(24)));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub u64);

impl Bytes {
    /// Nothing.
    pub const ZERO: Bytes = Bytes(0);

    /// So many MiB (2^20 bytes).
    pub const fn mib(count: u64) -> Bytes {
        Bytes(count.saturating_mul(MIB))
    }

    /// So many GiB (2^30 bytes).
    pub const fn gib(count: u64) -> Bytes {
        Bytes(count.saturating_mul(GIB))
    }

    /// What `elements` take at `rate`, rounded up to a whole byte.
    pub fn of(elements: u64, rate: Rate) -> Bytes {
        let bits = u128::from(elements) * u128::from(rate.bits);
        Bytes(u64::try_from(bits.div_ceil(8 * u128::from(rate.per.max(1)))).unwrap_or(u64::MAX))
    }

    /// The share of this size that `fraction` (0 to 1, a setting such as `--gpu-memory-utilization`) is of it, rounded
    /// down. What is no number takes nothing, and no share is more than the whole.
    pub fn fraction(self, fraction: f64) -> Bytes {
        // An f64 holds every size below 2^53 bytes, 8 PiB, exactly; `as` saturates.
        Bytes(((self.0 as f64 * fraction) as u64).min(self.0))
    }

    /// This size times a factor (a margin such as 1.1), rounded up.
    pub fn scaled(self, factor: f64) -> Bytes {
        Bytes((self.0 as f64 * factor).ceil() as u64)
    }

    /// The difference, or none if `other` is larger.
    pub fn checked_sub(self, other: Bytes) -> Option<Bytes> {
        self.0.checked_sub(other.0).map(Bytes)
    }

    /// The difference, or nothing if `other` is larger.
    pub fn saturating_sub(self, other: Bytes) -> Bytes {
        Bytes(self.0.saturating_sub(other.0))
    }

    /// The difference with its sign, in bytes: negative if `other` is larger.
    pub fn difference(self, other: Bytes) -> i128 {
        i128::from(self.0) - i128::from(other.0)
    }

    /// This size over `parts`, rounded up: what one of several equal parts has to hold.
    pub fn div_ceil(self, parts: u64) -> Bytes {
        Bytes(self.0.div_ceil(parts.max(1)))
    }

    /// The least multiple of `step` that is not smaller: how an allocator rounds.
    pub fn round_up(self, step: Bytes) -> Bytes {
        Bytes(self.0.checked_next_multiple_of(step.0.max(1)).unwrap_or(u64::MAX))
    }

    /// How many times `other` goes into this size; none goes into nothing.
    pub fn count_of(self, other: Bytes) -> u64 {
        self.0.checked_div(other.0).unwrap_or(0)
    }

    /// The size in GiB, for people and for statistics.
    pub fn as_gib(self) -> f64 {
        self.0 as f64 / GIB as f64
    }
}

impl Add for Bytes {
    type Output = Bytes;
    fn add(self, other: Bytes) -> Bytes {
        Bytes(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Bytes {
    fn add_assign(&mut self, other: Bytes) {
        *self = *self + other;
    }
}

impl Mul<u64> for Bytes {
    type Output = Bytes;
    fn mul(self, factor: u64) -> Bytes {
        Bytes(self.0.saturating_mul(factor))
    }
}

/// Rounded down; nothing over nothing is nothing.
impl Div<u64> for Bytes {
    type Output = Bytes;
    fn div(self, parts: u64) -> Bytes {
        Bytes(self.0.checked_div(parts).unwrap_or(0))
    }
}

impl Sum for Bytes {
    fn sum<I: Iterator<Item = Bytes>>(sizes: I) -> Bytes {
        sizes.fold(Bytes::ZERO, Add::add)
    }
}

/// GiB with two decimals, rounded half up, without a float on the way.
impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hundredths = (u128::from(self.0) * 100 + u128::from(GIB) / 2) / u128::from(GIB);
        f.pad(&format!("{}.{:02} GiB", hundredths / 100, hundredths % 100))
    }
}

/// Why a text is no size.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is no size; write it as `24`, `24GB`, `8 GiB` or `8192MiB`")]
pub struct NotASize {
    /// The text.
    pub text: String,
}

/// Reads `24`, `24GB`, `8 GiB`, `8192MiB`, `7.5g`, `16376 M`, `500 bytes`.
///
/// - `KB`, `MB`, `GB`, `TB` are powers of 1000; `KiB`, `MiB`, `GiB`, `TiB` are powers of 1024.
/// - A single letter (`24G`, `512m`) means a power of 1024, as for Docker, the JVM and `nvidia-smi`.
/// - A bare number is GiB: nobody has a card of 24 bytes. Bytes are written `B` or `bytes`.
/// - Fractions are rounded down to a whole byte. A negative size, an unknown unit, or more than 2^64 bytes is refused.
impl FromStr for Bytes {
    type Err = NotASize;

    fn from_str(text: &str) -> Result<Bytes, NotASize> {
        let refused = || NotASize { text: text.chars().take(80).collect() };
        let trimmed = text.trim();
        let end = trimmed.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(end);
        let unit = match unit.trim().to_ascii_lowercase().as_str() {
            "b" | "byte" | "bytes" => 1,
            "k" | "kib" => KIB,
            "m" | "mib" => MIB,
            "" | "g" | "gib" => GIB,
            "t" | "tib" => 1 << 40,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "tb" => 1_000_000_000_000,
            _ => return Err(refused()),
        };
        decimal(number).and_then(|(value, scale)| Some(Bytes(u64::try_from(value.checked_mul(unit.into())? / scale).ok()?))).ok_or_else(refused)
    }
}

/// A decimal number as an integer and the power of ten it is to be divided by: 7.25 is 725 over 100.
fn decimal(text: &str) -> Option<(u128, u128)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() || text.ends_with('.') || whole.len() > 20 || fraction.len() > 12 {
        return None;
    }
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    Some((digits, 10u128.pow(u32::try_from(fraction.len()).ok()?)))
}

/// How many bits an element takes, as a fraction, so that formats such as "4 bits and a 16-bit scale for each 128" are
/// exact: `bits` bits for `per` elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// Bits that `per` elements take together.
    pub bits: u64,
    /// How many elements share them.
    pub per: u64,
}

impl Rate {
    /// A whole number of bits for each element.
    pub const fn bits(bits: u64) -> Rate {
        Rate { bits, per: 1 }
    }

    /// `bits` for each element and `shared` bits for each group of `group` elements.
    pub const fn grouped(bits: u64, shared: u64, group: u64) -> Rate {
        let group = if group == 0 { 1 } else { group };
        Rate { bits: bits.saturating_mul(group).saturating_add(shared), per: group }
    }

    /// Bits for each element, for people and for comparisons.
    pub fn as_bits(self) -> f64 {
        self.bits as f64 / self.per.max(1) as f64
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn units_are_told_apart() {
        for (text, bytes) in [
            ("24", 24 * GIB),
            ("24GB", 24_000_000_000),
            ("24 gb", 24_000_000_000),
            ("8 GiB", 8 * GIB),
            ("8192MiB", 8 * GIB),
            ("16376 MiB", 16376 * MIB),
            ("7.62 GiB", 8_181_912_698),
            ("7.5g", 15 * GIB / 2),
            ("512m", 512 * MIB),
            ("0", 0),
            ("1B", 1),
            ("1.5 KiB", 1536),
            ("1 TB", 1_000_000_000_000),
        ] {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["", "GB", "-8GB", "8 GBps", "8.GiB", ".5", "1e9", "8,5 GiB", "999999999999 TiB", "1.2.3", "NaN", "inf", "８GB"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }

    #[test]
    fn display_has_two_decimals() {
        assert_eq!(Bytes(0).to_string(), "0.00 GiB");
        assert_eq!(Bytes(GIB + GIB / 2).to_string(), "1.50 GiB");
        assert_eq!(Bytes(u64::MAX).to_string(), "17179869184.00 GiB");
        assert_eq!(format!("{:>10}", Bytes::gib(1)), "  1.00 GiB");
    }

    #[test]
    fn a_rate_is_exact() {
        assert_eq!(Bytes::of(1 << 20, Rate::grouped(4, 20, 128)), Bytes((4 * 128 + 20) * (1 << 20) / 128 / 8));
        assert_eq!(Bytes::of(3, Rate::bits(4)), Bytes(2));
        assert_eq!(Bytes::of(u64::MAX, Rate::bits(64)), Bytes(u64::MAX));
    }

    proptest! {
        #[test]
        fn arithmetic_never_wraps(a: u64, b: u64, f in -2.0..2.0f64) {
            prop_assert!(Bytes(a) + Bytes(b) >= Bytes(a.max(b)));
            prop_assert!(Bytes(a).fraction(f) <= Bytes(a));
            prop_assert_eq!(Bytes(a).difference(Bytes(b)), -Bytes(b).difference(Bytes(a)));
            prop_assert!(Bytes(a).round_up(Bytes(b)) >= Bytes(a));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,30}") {
            let _ = text.parse::<Bytes>();
        }

        #[test]
        fn what_is_written_is_read(mib in 0u64..1 << 40) {
            prop_assert_eq!(format!("{mib}MiB").parse(), Ok(Bytes::mib(mib)));
        }
    }
}
