//! The stamps that wrappers print.

use chrono::{DateTime, Datelike, FixedOffset, NaiveTime, Utc};
use serde_json::Value;

use crate::time::{Clock, PartialDate, Stamp, leading_stamp};

/// An RFC 3339 stamp at the beginning of a text.
pub(super) struct Rfc3339 {
    pub(super) stamp: Stamp,
    /// How many bytes it has.
    pub(super) len: usize,
    /// How many digits its fraction has.
    pub(super) digits: usize,
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.iter().try_fold(0_u32, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u32::from(byte - b'0')))
}

/// `HH:MM:SS` with a fraction: the time, its length and the fraction's digits.
fn clock(bytes: &[u8]) -> Option<(NaiveTime, usize, usize)> {
    let [a, b, b':', c, d, b':', e, f, rest @ ..] = bytes else { return None };
    let (hour, minute, second) = (number(&[*a, *b])?, number(&[*c, *d])?, number(&[*e, *f])?);
    let mut digits = 0;
    let mut nanos = 0;
    if rest.first() == Some(&b'.') {
        digits = rest[1..].iter().take(10).take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 || digits > 9 {
            return None;
        }
        nanos = number(&rest[1..=digits])? * 10_u32.pow(9 - digits as u32);
    }
    let len = if digits == 0 { 8 } else { 9 + digits };
    // A leap second is printed as 60.
    Some((NaiveTime::from_hms_nano_opt(hour, minute, second.min(59), nanos)?, len, digits))
}

/// A stamp with date, `T`, time and zone, as every container runtime prints it.
pub(super) fn rfc3339(text: &str) -> Option<Rfc3339> {
    let bytes = text.as_bytes();
    if bytes.len() < 20 || bytes[4] != b'-' || bytes[7] != b'-' || bytes[10] != b'T' {
        return None;
    }
    let (year, month, day) = (number(&bytes[..4])?, number(&bytes[5..7])?, number(&bytes[8..10])?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (time, length, digits) = clock(&bytes[11..])?;
    let (offset, zone) = zone(&bytes[11 + length..])?;
    let len = 11 + length + zone;
    let date = Some(PartialDate { year: i32::try_from(year).ok(), month, day });
    Some(Rfc3339 { stamp: Stamp { text: text[..len].to_owned(), clock: Clock::Wall { date, time, offset: Some(offset) } }, len, digits })
}

fn zone(bytes: &[u8]) -> Option<(FixedOffset, usize)> {
    let (a, b, c, d, len) = match bytes {
        [b'Z', ..] => return Some((FixedOffset::east_opt(0)?, 1)),
        [b'+' | b'-', a, b, b':', c, d, ..] => (a, b, c, d, 6),
        [b'+' | b'-', a, b, c, d, ..] => (a, b, c, d, 5),
        _ => return None,
    };
    let seconds = i32::try_from(number(&[*a, *b])? * 3600 + number(&[*c, *d])? * 60).ok()?;
    Some((FixedOffset::east_opt(if bytes[0] == b'-' { -seconds } else { seconds })?, len))
}

const MONTHS: [&[u8; 3]; 12] = [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// `Nov 20 12:00:00`, as syslog prints it, with or without a fraction.
pub(super) fn month_day(text: &str) -> Option<(Stamp, usize)> {
    let bytes = text.as_bytes();
    let name: &[u8; 3] = bytes.get(..3)?.try_into().ok()?;
    let month = u32::try_from(MONTHS.iter().position(|m| *m == name)?).ok()? + 1;
    let day = match bytes.get(3..7)? {
        [b' ', b' ', a, b' '] => number(&[*a])?,
        [b' ', a, b, b' '] => number(&[*a, *b])?,
        _ => return None,
    };
    if !(1..=31).contains(&day) {
        return None;
    }
    let (time, length, _) = clock(&bytes[7..])?;
    let len = 7 + length;
    let date = Some(PartialDate { year: None, month, day });
    Some((Stamp { text: text[..len].to_owned(), clock: Clock::Wall { date, time, offset: None } }, len))
}

/// `Wed 2024-11-20 12:00:00 UTC`, as `journalctl -o short-full` prints it. The zone's name says nothing certain.
pub(super) fn weekday_full(text: &str) -> Option<(Stamp, usize)> {
    let bytes = text.as_bytes();
    if bytes.len() < 24 || bytes[3] != b' ' || !bytes[..3].iter().all(u8::is_ascii_alphabetic) {
        return None;
    }
    let [y @ .., b'-', m1, m2, b'-', d1, d2, b' '] = &bytes[4..15] else { return None };
    let (year, month, day) = (number(y)?, number(&[*m1, *m2])?, number(&[*d1, *d2])?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (time, length, _) = clock(&bytes[15..])?;
    let end = 15 + length;
    let zone = bytes[end..].strip_prefix(b" ")?.iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b':')).count();
    let len = end + 1 + zone;
    let utc = text[..len].ends_with(" UTC") || text[..len].ends_with(" GMT");
    let offset = if utc { FixedOffset::east_opt(0) } else { None };
    let date = Some(PartialDate { year: i32::try_from(year).ok(), month, day });
    (zone > 0).then(|| (Stamp { text: text[..len].to_owned(), clock: Clock::Wall { date, time, offset } }, len))
}

/// `1732104000.123456`, as `journalctl -o short-unix` prints it.
pub(super) fn unix(text: &str) -> Option<(Stamp, usize)> {
    let len = text.bytes().take(20).take_while(|b| b.is_ascii_digit() || *b == b'.').count();
    let (seconds, micros) = text[..len].split_once('.')?;
    if seconds.len() != 10 || micros.len() != 6 {
        return None;
    }
    let micros = seconds.parse::<i64>().ok()?.checked_mul(1_000_000)?.checked_add(micros.parse().ok()?)?;
    Some((Stamp { text: text[..len].to_owned(), clock: wall(DateTime::from_timestamp_micros(micros)?) }, len))
}

fn wall(at: DateTime<Utc>) -> Clock {
    let date = at.date_naive();
    Clock::Wall {
        date: Some(PartialDate { year: Some(date.year()), month: date.month(), day: date.day() }),
        time: at.time(),
        offset: FixedOffset::east_opt(0),
    }
}

/// A stamp in a JSON value: printed, or a number since 1970 whose unit its size tells.
pub(super) fn of_json(value: &Value) -> Option<Stamp> {
    if let Some(text) = value.as_str() {
        let text = text.trim();
        if let Some(found) = rfc3339(text)
            && found.len == text.len()
        {
            return Some(found.stamp);
        }
        if let Some((stamp, len)) = leading_stamp(text)
            && text.get(len..)?.trim().is_empty()
        {
            return Some(stamp);
        }
        return epoch(text.parse().ok()?, text);
    }
    epoch(value.as_f64()?, &value.to_string())
}

/// A number that lies between 2001 and 2100 in seconds, or the same in a smaller unit.
fn epoch(number: f64, printed: &str) -> Option<Stamp> {
    let whole = printed.parse::<i64>().ok();
    let micros = match number {
        1e9..4.2e9 => whole.map_or((number * 1e6).round() as i64, |n| n * 1_000_000),
        1e12..4.2e12 => whole.map_or((number * 1e3).round() as i64, |n| n * 1_000),
        1e15..4.2e15 => whole.unwrap_or(number as i64),
        1e18..4.2e18 => whole.unwrap_or(number as i64) / 1_000,
        _ => return None,
    };
    Some(Stamp { text: printed.to_owned(), clock: wall(DateTime::from_timestamp_micros(micros)?) })
}
