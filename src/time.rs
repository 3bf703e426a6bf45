//! Stamps as logs print them: some have a year, a zone or a date, many do not.

use std::fmt::Write as _;

use chrono::{Datelike as _, FixedOffset, NaiveDate, NaiveTime, Timelike as _};

/// One time stamp, with as much as the log gives and nothing guessed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// The stamp as it was printed.
    pub text: String,
    /// What it says.
    pub clock: Clock,
}

/// What a stamp says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// A clock on the wall, in the zone of whoever printed it.
    Wall {
        /// The date, when one was printed.
        date: Option<PartialDate>,
        /// The time of day.
        time: NaiveTime,
        /// The offset from UTC, when one was printed.
        offset: Option<FixedOffset>,
    },
    /// Milliseconds since the program (llama.cpp) or the machine (kernel ring buffer) started.
    Elapsed {
        /// Milliseconds since that start.
        ms: u64,
    },
}

/// A date whose year may be missing (`09-15`, `Nov 20`, `1120`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartialDate {
    /// The year, when one was printed.
    pub year: Option<i32>,
    /// The month, 1 to 12.
    pub month: u32,
    /// The day of the month, 1 to 31.
    pub day: u32,
}

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// A year like most; stands in where no stamp has one.
const USUAL_YEAR: i32 = 2001;

/// The stamp that a text begins with (alone or in square brackets), and how many bytes it takes.
///
/// A date without a time, a time without seconds, an address, a version or a duration is no stamp.
pub fn leading_stamp(text: &str) -> Option<(Stamp, usize)> {
    if let Some(inside) = text.strip_prefix('[') {
        let (stamp, length) = elapsed_in_brackets(inside).or_else(|| dated(inside)).or_else(|| bare(inside))?;
        return (inside.as_bytes().get(length) == Some(&b']')).then_some((stamp, length + 2));
    }
    match text.as_bytes().first()? {
        b'0'..=b'9' => dated(text).or_else(|| bare(text)).or_else(|| since_start(text)).or_else(|| kitchen(text)),
        b'A'..=b'Z' => dated(text),
        _ => None,
    }
}

/// The stamp that a number of seconds, milliseconds, microseconds or nanoseconds since 1970 stands for.
///
/// A number is only a stamp where a format says so; so nothing looks for one by itself.
pub fn epoch_stamp(text: &str) -> Option<Stamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.len() <= 19 && part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let number: i64 = whole.parse().ok()?;
    let nanos_each: i64 = match whole.len() {
        9 | 10 => 1_000_000_000,
        12 | 13 => 1_000_000,
        15 | 16 => 1_000,
        18 | 19 => 1,
        _ => return None,
    };
    let per_second = 1_000_000_000 / nanos_each;
    let mut nanos = (number % per_second) * nanos_each;
    if nanos_each == 1_000_000_000 {
        nanos = i64::from(nanoseconds(fraction));
    }
    let moment = chrono::DateTime::from_timestamp(number / per_second, u32::try_from(nanos).ok()?)?.naive_utc();
    let date = PartialDate { year: Some(moment.year()), month: moment.month(), day: moment.day() };
    let clock = Clock::Wall { date: Some(date), time: moment.time(), offset: FixedOffset::east_opt(0) };
    Some(Stamp { text: text.to_owned(), clock })
}

/// `YYYY-MM-DDTHH:MM:SS[.fff]` with the offset if the log gave one; `None` without a full date.
pub fn iso(stamp: &Stamp, assumed_year: Option<i32>) -> Option<String> {
    let Clock::Wall { date: Some(date), time, offset } = stamp.clock else { return None };
    let year = date.year.or(assumed_year)?;
    let day = NaiveDate::from_ymd_opt(year, date.month, date.day)?;
    let mut out = format!("{}T{}", day.format("%Y-%m-%d"), time.format("%H:%M:%S"));
    if time.nanosecond() % 1_000_000_000 != 0 {
        let _ = write!(out, ".{:03}", time.nanosecond() % 1_000_000_000 / 1_000_000);
    }
    if let Some(offset) = offset {
        if offset.local_minus_utc() == 0 && !prints_sign(&stamp.text) {
            out.push('Z');
        } else {
            let _ = write!(out, "{offset}");
        }
    }
    Some(out)
}

/// True when a stamp ends with a numeric zone.
fn prints_sign(text: &str) -> bool {
    let text = text.trim_end_matches(" UTC");
    text.rfind(['+', '-'])
        .is_some_and(|at| at + 1 < text.len() && at + 6 >= text.len() && text.as_bytes()[at + 1..].iter().all(|b| b.is_ascii_digit() || *b == b':'))
}

/// Reads ASCII without ever leaving a character's boundary.
#[derive(Clone, Copy)]
struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn new(text: &'a str) -> Self {
        Scan { bytes: text.as_bytes(), at: 0 }
    }

    fn ahead(&self, by: usize) -> u8 {
        self.bytes.get(self.at + by).copied().unwrap_or(0)
    }

    fn peek(&self) -> u8 {
        self.ahead(0)
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == byte && self.at < self.bytes.len();
        self.at += usize::from(found);
        found
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let end = self.at + word.len();
        let found = self.bytes.get(self.at..end).is_some_and(|part| part.eq_ignore_ascii_case(word.as_bytes()));
        let bounded = !self.bytes.get(end).is_some_and(u8::is_ascii_alphanumeric);
        if found && bounded {
            self.at = end;
        }
        found && bounded
    }

    fn digits(&self) -> usize {
        self.bytes[self.at..].iter().take(20).take_while(|b| b.is_ascii_digit()).count()
    }

    /// A number of `least` to `most` digits that no further digit follows.
    fn number(&mut self, least: usize, most: usize) -> Option<u32> {
        let count = self.digits();
        if count < least || count > most {
            return None;
        }
        self.fixed(count)
    }

    /// The next `count` digits as a number.
    fn fixed(&mut self, count: usize) -> Option<u32> {
        let part = self.bytes.get(self.at..self.at + count)?;
        let mut value = 0_u32;
        for byte in part {
            if !byte.is_ascii_digit() {
                return None;
            }
            value = value.checked_mul(10)?.checked_add(u32::from(byte - b'0'))?;
        }
        self.at += count;
        Some(value)
    }

    fn letters(&self) -> usize {
        self.bytes[self.at..].iter().take(12).take_while(|b| b.is_ascii_alphabetic()).count()
    }

    fn spaces(&mut self) -> usize {
        let start = self.at;
        while self.peek() == b' ' {
            self.at += 1;
        }
        self.at - start
    }
}

/// Nanoseconds from the digits behind a decimal point.
fn nanoseconds(fraction: &str) -> u32 {
    let mut nanos = 0;
    let mut unit = 100_000_000;
    for byte in fraction.bytes().take(9) {
        nanos += u32::from(byte.saturating_sub(b'0')) * unit;
        unit /= 10;
    }
    nanos
}

/// `[12345.678901` of the kernel's ring buffer, without the brackets.
fn elapsed_in_brackets(inside: &str) -> Option<(Stamp, usize)> {
    let mut scan = Scan::new(inside);
    scan.spaces();
    let start = scan.at;
    let seconds = scan.number(1, 9)?;
    if !scan.eat(b'.') {
        return None;
    }
    let fraction = scan.at;
    let count = scan.digits();
    if !matches!(count, 3 | 6 | 9) {
        return None;
    }
    scan.at += count;
    let ms = u64::from(seconds) * 1000 + u64::from(nanoseconds(&inside[fraction..scan.at]) / 1_000_000);
    Some((Stamp { text: inside[start..scan.at].to_owned(), clock: Clock::Elapsed { ms } }, scan.at))
}

/// `0.00.366.780` of llama.cpp: minutes, seconds, milliseconds, microseconds since the start.
fn since_start(text: &str) -> Option<(Stamp, usize)> {
    let mut scan = Scan::new(text);
    let minutes = scan.number(1, 6)?;
    let mut part = |count| if scan.eat(b'.') { scan.number(count, count) } else { None };
    let (seconds, millis, micros) = (part(2)?, part(3)?, part(3)?);
    let end = scan.at;
    let padded = seconds < 10 || millis > 255 || micros > 255 || millis < 100 || micros < 100;
    let levelled = scan.eat(b' ') && matches!(scan.peek(), b'D' | b'I' | b'W' | b'E') && matches!(scan.ahead(1), b' ' | 0);
    let bounded = !text.as_bytes().get(end).is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b':' | b'/' | b'-'));
    if seconds >= 60 || !bounded || !(padded || levelled) {
        return None;
    }
    let ms = u64::from(minutes) * 60_000 + u64::from(seconds) * 1000 + u64::from(millis);
    Some((Stamp { text: text[..end].to_owned(), clock: Clock::Elapsed { ms } }, end))
}

const MONTHS: [&str; 12] = ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"];

fn month_name(scan: &mut Scan<'_>) -> Option<u32> {
    let count = scan.letters();
    let word = scan.bytes.get(scan.at..scan.at + count)?;
    let month = MONTHS.iter().position(|name| {
        let name = name.as_bytes();
        (count == 3 || count == name.len() || count == 4 && name.starts_with(b"sept"))
            && name.get(..count).is_some_and(|start| start.eq_ignore_ascii_case(word))
    })?;
    scan.at += count;
    u32::try_from(month + 1).ok()
}

fn weekday(scan: &mut Scan<'_>) -> bool {
    const DAYS: [&str; 14] =
        ["mon", "tue", "wed", "thu", "fri", "sat", "sun", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    let before = scan.at;
    if !DAYS.iter().any(|day| scan.eat_word(day)) {
        return false;
    }
    scan.eat(b',');
    if scan.spaces() == 0 {
        scan.at = before;
        return false;
    }
    true
}

/// A date in any of the usual orders; a two-digit year is taken for one of this century.
fn date(scan: &mut Scan<'_>) -> Option<PartialDate> {
    let checked = |year: Option<u32>, month: u32, day: u32| {
        let fits = (1..=12).contains(&month) && (1..=31).contains(&day) && year.is_none_or(|y| (1970..=2199).contains(&y));
        fits.then(|| PartialDate { year: year.and_then(|y| i32::try_from(y).ok()), month, day })
    };
    if let Some(month) = month_name(scan) {
        if scan.spaces() == 0 {
            return None;
        }
        let day = scan.number(1, 2)?;
        let before = *scan;
        scan.eat(b',');
        if scan.spaces() > 0
            && let Some(year) = scan.number(4, 4)
        {
            return checked(Some(year), month, day);
        }
        *scan = before;
        return checked(None, month, day);
    }
    match scan.digits() {
        8 => {
            let (year, month, day) = (scan.fixed(4)?, scan.fixed(2)?, scan.fixed(2)?);
            checked(Some(year), month, day)
        }
        4 => {
            let year = scan.fixed(4)?;
            let separator = scan.peek();
            if !matches!(separator, b'-' | b'/' | b'.') {
                return None;
            }
            scan.eat(separator);
            let month = scan.number(1, 2)?;
            if !scan.eat(separator) {
                return None;
            }
            checked(Some(year), month, scan.number(1, 2)?)
        }
        1 | 2 => {
            let first = scan.number(1, 2)?;
            let separator = scan.peek();
            if !matches!(separator, b'-' | b'/' | b'.' | b' ') {
                return None;
            }
            scan.eat(separator);
            if let Some(month) = month_name(scan) {
                if !scan.eat(separator) {
                    return None;
                }
                return checked(Some(scan.number(4, 4)?), month, first);
            }
            if separator == b' ' {
                return None;
            }
            let second = scan.number(1, 2)?;
            let before = *scan;
            if scan.eat(separator) {
                if let Some(year) = scan.number(4, 4) {
                    let day_first = first > 12 || separator == b'.' && second <= 12;
                    let (month, day) = if day_first { (second, first) } else { (first, second) };
                    return checked(Some(year), month, day);
                }
                let third = scan.number(2, 2)?;
                // Spark writes yy/MM/dd, rich writes MM/dd/yy.
                return if first >= 20 { checked(Some(2000 + first), second, third) } else { checked(Some(2000 + third), first, second) };
            }
            *scan = before;
            if separator == b'.' { None } else { checked(None, first, second) }
        }
        _ => None,
    }
}

/// What may stand between date and time.
fn between(scan: &mut Scan<'_>) -> bool {
    if scan.eat(b'T') || scan.eat(b't') || scan.eat(b'_') || scan.eat(b':') {
        return true;
    }
    if scan.eat(b'-') {
        return true;
    }
    scan.eat(b',');
    let spaces = scan.spaces();
    if spaces > 0 && (scan.peek() == b'-' || scan.peek() == b'@') && scan.ahead(1) == b' ' {
        scan.at += 2;
    }
    (1..=3).contains(&spaces)
}

/// `HH:MM:SS` with an optional fraction.
fn time_of_day(scan: &mut Scan<'_>, least_digits: usize) -> Option<NaiveTime> {
    let hour = scan.number(least_digits, 2)?;
    let mut part = || if scan.eat(b':') { scan.fixed(2) } else { None };
    let (minute, second) = (part()?, part()?);
    if scan.peek().is_ascii_digit() {
        return None;
    }
    let mut nanos = 0;
    let fraction = match scan.peek() {
        b'.' | b',' => scan.ahead(1).is_ascii_digit(),
        // The rich handler of text-generation-webui writes `12:00:00-123456`.
        b'-' => (1..=6).all(|by| scan.ahead(by).is_ascii_digit()) && scan.ahead(7) == b' ',
        // Some loggers write `12:00:00:123`.
        b':' => (1..=3).all(|by| scan.ahead(by).is_ascii_digit()) && !scan.ahead(4).is_ascii_alphanumeric() && scan.ahead(4) != b':',
        _ => false,
    };
    if fraction {
        scan.at += 1;
        let count = scan.digits();
        let digits = scan.bytes.get(scan.at..scan.at + count)?;
        nanos = nanoseconds(std::str::from_utf8(digits).ok()?);
        scan.at += count;
    }
    let before = *scan;
    let spaces = scan.spaces();
    let morning = (spaces == 0 || scan.peek() == b'A') && scan.eat_word("am");
    let evening = (spaces == 0 || scan.peek() == b'P') && scan.eat_word("pm");
    let hour = match hour {
        1..=12 if morning => hour % 12,
        1..=12 if evening => hour % 12 + 12,
        _ => {
            *scan = before;
            hour
        }
    };
    NaiveTime::from_hms_nano_opt(hour, minute, second.min(59), nanos).filter(|_| second <= 60)
}

/// `Z`, `+01:00`, `+0100`, ` UTC` and the like.
fn zone(scan: &mut Scan<'_>) -> Option<FixedOffset> {
    let before = *scan;
    let spaces = scan.spaces();
    if spaces == 0 && scan.eat_word("z") || scan.eat_word("utc") || scan.eat_word("gmt") {
        return FixedOffset::east_opt(0);
    }
    let sign = match scan.peek() {
        b'+' => 1,
        b'-' => -1,
        _ => 0,
    };
    scan.at += 1;
    let numeric = |scan: &mut Scan<'_>| {
        let digits = scan.digits();
        let hours = scan.fixed(if digits == 2 || digits == 4 { 2 } else { return None })?;
        let minutes = if digits == 4 {
            scan.fixed(2)?
        } else if scan.peek() == b':' && scan.ahead(1).is_ascii_digit() {
            scan.at += 1;
            scan.number(2, 2)?
        } else if spaces > 0 {
            return None;
        } else {
            0
        };
        let bounded = !scan.peek().is_ascii_alphanumeric() && !matches!(scan.peek(), b'-' | b':');
        if hours > 18 || minutes > 59 || !bounded {
            return None;
        }
        FixedOffset::east_opt(sign * i32::try_from(hours * 3600 + minutes * 60).ok()?)
    };
    if sign != 0
        && spaces <= 1
        && let Some(offset) = numeric(scan)
    {
        let end = *scan;
        if scan.spaces() != 1 || !scan.eat_word("utc") {
            *scan = end;
        }
        return Some(offset);
    }
    *scan = before;
    None
}

/// A stamp with a date.
fn dated(text: &str) -> Option<(Stamp, usize)> {
    let mut scan = Scan::new(text);
    weekday(&mut scan);
    let named = scan.peek().is_ascii_alphabetic();
    let mut date = date(&mut scan)?;
    if !between(&mut scan) {
        return None;
    }
    let time = time_of_day(&mut scan, if date.year.is_some() { 1 } else { 2 })?;
    let offset = zone(&mut scan);
    if named && date.year.is_none() {
        // `Fri Nov 20 12:00:00 UTC 2024`
        let before = scan;
        let count = if scan.eat(b' ') && scan.peek().is_ascii_uppercase() { scan.letters() } else { 0 };
        if (3..=5).contains(&count) && scan.ahead(count) == b' ' {
            scan.at += count + 1;
        }
        match scan.number(4, 4).filter(|year| (1970..=2199).contains(year) && !scan.peek().is_ascii_alphanumeric()) {
            Some(year) => date.year = i32::try_from(year).ok(),
            None => scan = before,
        }
    }
    if let Some(year) = date.year {
        NaiveDate::from_ymd_opt(year, date.month, date.day)?;
    }
    let next = scan.peek();
    let runs_on = next.is_ascii_alphanumeric() || next == b'_' || next == b':' && scan.ahead(1).is_ascii_digit();
    if runs_on {
        return None;
    }
    Some((Stamp { text: text.get(..scan.at)?.to_owned(), clock: Clock::Wall { date: Some(date), time, offset } }, scan.at))
}

/// A time of day without a date.
fn bare(text: &str) -> Option<(Stamp, usize)> {
    let mut scan = Scan::new(text);
    let time = time_of_day(&mut scan, 2)?;
    let offset = zone(&mut scan);
    let end = scan.at;
    let bounded = match scan.peek() {
        0 | b' ' | b'\t' | b']' | b'|' => true,
        b':' => matches!(scan.ahead(1), 0 | b' '),
        _ => false,
    };
    scan.spaces();
    let duration = ["left", "remaining", "elapsed", "ago", "eta", "total", "hours", "h"].iter().any(|word| scan.eat_word(word))
        || matches!(scan.peek(), b'<' | b'/' | b',');
    if !bounded || duration {
        return None;
    }
    Some((Stamp { text: text.get(..end)?.to_owned(), clock: Clock::Wall { date: None, time, offset } }, end))
}

/// The time without seconds that zerolog prints on a console, `9:41PM ERR …`; only before its levels of three letters.
fn kitchen(text: &str) -> Option<(Stamp, usize)> {
    let mut scan = Scan::new(text);
    let hour = scan.number(1, 2).filter(|hour| (1..=12).contains(hour))?;
    let minute = if scan.eat(b':') { scan.fixed(2)? } else { return None };
    let half = match (scan.peek(), scan.ahead(1)) {
        (b'A', b'M') => 0,
        (b'P', b'M') => 12,
        _ => return None,
    };
    let end = scan.at + 2;
    let is_level = |level: &str| text.get(end..).is_some_and(|rest| rest.strip_prefix(' ').is_some_and(|rest| rest.starts_with(level)));
    if !["TRC ", "DBG ", "INF ", "WRN ", "ERR ", "FTL ", "PNC "].iter().any(|level| is_level(level)) {
        return None;
    }
    let time = NaiveTime::from_hms_opt(hour % 12 + half, minute, 0)?;
    Some((Stamp { text: text.get(..end)?.to_owned(), clock: Clock::Wall { date: None, time, offset: None } }, end))
}

/// What a clock prints; clocks that print different things are different clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Full,
    Yearless,
    Timeless,
    Uptime,
    Runtime,
}

/// One of the clocks of a log.
#[derive(Debug, Clone)]
struct ClockLine {
    kind: Kind,
    zoned: bool,
    /// The last reading.
    reading: Clock,
    /// The last reading, in milliseconds on the clock's own axis.
    last: i64,
    /// What to take from a reading to get the offset.
    base: i64,
    /// Years or days that the clock has rolled over.
    turns: i64,
}

/// Turns the stamps of a log, in the log's order, into milliseconds since its first stamp.
///
/// Each way of printing is a clock of its own: clocks that say their zone are compared as they are, a clock without a zone
/// is laid beside the others when it first shows, and so is one that counts from a start of its own.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    year: Option<i32>,
    clocks: Vec<ClockLine>,
    /// Index of the clock that was read last.
    current: usize,
}

impl Timeline {
    /// A time line; `year` is the year of the first stamp, where it is known from elsewhere.
    pub fn new(year: Option<i32>) -> Self {
        Timeline { year, ..Timeline::default() }
    }

    /// The offset of the next stamp. It may be negative, or less than the one before: processes write past one another.
    pub fn offset_ms(&mut self, stamp: &Stamp) -> i64 {
        let (kind, zoned) = kind_of(stamp);
        if let Clock::Wall { date: Some(PartialDate { year: Some(seen), .. }), .. } = stamp.clock
            && self.year.is_none()
        {
            self.year = Some(seen);
            for clock in self.clocks.iter_mut().filter(|clock| clock.kind == Kind::Yearless) {
                let last = axis(&clock.reading, seen, clock.turns);
                clock.base += last - clock.last;
                clock.last = last;
            }
        }
        let year = self.year.unwrap_or(USUAL_YEAR);
        match self.clocks.iter().position(|clock| clock.kind == kind && clock.zoned == zoned) {
            Some(index) => {
                let before = self.clocks.get(self.current).map_or(0, ClockLine::offset);
                let Some(clock) = self.clocks.get_mut(index) else { return 0 };
                clock.read(&stamp.clock, year, before);
                self.current = index;
                clock.offset()
            }
            None => {
                let last = axis(&stamp.clock, year, 0);
                let mut clock = ClockLine { kind, zoned, reading: stamp.clock, last, base: last, turns: 0 };
                let offset = self.clocks.get(self.current).map_or(0, |other| other.offset() + clock.distance(other));
                clock.base = clock.last - offset;
                self.current = self.clocks.len();
                self.clocks.push(clock);
                offset
            }
        }
    }
}

impl ClockLine {
    fn offset(&self) -> i64 {
        self.last - self.base
    }

    /// Takes the next reading.
    fn read(&mut self, clock: &Clock, year: i32, now: i64) {
        self.reading = *clock;
        let turn = match self.kind {
            Kind::Full => 0,
            Kind::Yearless => 365 * DAY,
            Kind::Timeless => DAY,
            Kind::Uptime | Kind::Runtime => {
                let next = axis(clock, year, 0);
                if next + 5000 < self.last {
                    // Another program, or the machine, started anew.
                    self.base = next - now;
                }
                self.last = next;
                return;
            }
        };
        let mut next = axis(clock, year, self.turns);
        if turn > 0 && self.last - next > turn / 2 {
            self.turns += 1;
            next = axis(clock, year, self.turns);
        } else if self.turns > 0 && next - self.last > turn / 2 {
            let earlier = axis(clock, year, self.turns - 1);
            if self.last - earlier < HOUR {
                // A straggler from before midnight.
                next = earlier;
                self.turns -= 1;
            }
        }
        self.last = next;
    }

    /// How much later than `other`'s last reading this clock's first reading is.
    fn distance(&self, other: &ClockLine) -> i64 {
        let own_start = |clock: &ClockLine| matches!(clock.kind, Kind::Uptime | Kind::Runtime);
        if own_start(self) || own_start(other) {
            return 0;
        }
        let mut apart = self.last - other.last;
        if self.kind == Kind::Timeless || other.kind == Kind::Timeless {
            apart = (apart + MINUTE).rem_euclid(DAY) - MINUTE;
        } else if self.kind != other.kind {
            // One has no year: compare within a year.
            apart = (apart + 183 * DAY).rem_euclid(365 * DAY) - 183 * DAY;
        }
        if self.zoned && other.zoned {
            return apart;
        }
        let rest = (apart + MINUTE).rem_euclid(30 * MINUTE) - MINUTE;
        let forward = (-MINUTE..DAY).contains(&apart);
        if forward && (rest > MINUTE || apart < 30 * MINUTE) { apart } else { rest }
    }
}

fn kind_of(stamp: &Stamp) -> (Kind, bool) {
    match stamp.clock {
        Clock::Elapsed { .. } if stamp.text.matches('.').count() >= 3 => (Kind::Runtime, false),
        Clock::Elapsed { .. } => (Kind::Uptime, false),
        Clock::Wall { date, offset, .. } => {
            let kind = match date {
                Some(PartialDate { year: Some(_), .. }) => Kind::Full,
                Some(_) => Kind::Yearless,
                None => Kind::Timeless,
            };
            (kind, offset.is_some())
        }
    }
}

/// A reading in milliseconds on its clock's own axis, in UTC where the zone is known.
fn axis(clock: &Clock, year: i32, turns: i64) -> i64 {
    match *clock {
        Clock::Elapsed { ms } => i64::try_from(ms).unwrap_or(i64::MAX / 4),
        Clock::Wall { date, time, offset } => {
            let second = i64::from(time.num_seconds_from_midnight()) - i64::from(offset.map_or(0, |o| o.local_minus_utc()));
            let in_day = second * 1000 + i64::from(time.nanosecond() % 1_000_000_000 / 1_000_000);
            let Some(date) = date else { return in_day + turns * DAY };
            let year = date.year.unwrap_or(year.saturating_add(i32::try_from(turns).unwrap_or(0)));
            let days = NaiveDate::from_ymd_opt(year, date.month, date.day)
                .or_else(|| NaiveDate::from_ymd_opt(year, date.month, 28))
                .map_or(0, |day| i64::from(day.num_days_from_ce()) + i64::from(date.day > 28 && day.day() == 28));
            days * DAY + in_day
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stamp(text: &str) -> Stamp {
        match leading_stamp(text) {
            Some((stamp, _)) => stamp,
            None => Stamp { text: format!("no stamp in {text}"), clock: Clock::Elapsed { ms: u64::MAX } },
        }
    }

    fn iso_of(text: &str) -> Option<String> {
        iso(&stamp(text), Some(2024))
    }

    #[test]
    fn every_format_is_read() {
        let cases = [
            ("2024-01-02T03:04:05Z x", 20, "2024-01-02T03:04:05Z"),
            ("2024-05-14T12:30:52.830987Z  INFO x", 27, "2024-05-14T12:30:52.830Z"),
            ("2024-06-05T18:08:23.230497824Z x", 30, "2024-06-05T18:08:23.230Z"),
            ("2024-01-02T03:04:05.5+02:00 x", 27, "2024-01-02T03:04:05.500+02:00"),
            ("2024-01-02T03:04:05-0330 x", 24, "2024-01-02T03:04:05-03:30"),
            ("2024-01-02T03:04:05+00:00 x", 25, "2024-01-02T03:04:05+00:00"),
            ("2024-01-02 03:04:05", 19, "2024-01-02T03:04:05"),
            ("2024-01-02 03:04:05,123 - a", 23, "2024-01-02T03:04:05.123"),
            ("2024-01-02 03:04:05.123456 x", 26, "2024-01-02T03:04:05.123"),
            ("2024-01-02 03:04:05.123 UTC [7] x", 27, "2024-01-02T03:04:05.123Z"),
            ("2024-01-02 03:04:05.123 +0000 UTC x", 33, "2024-01-02T03:04:05.123+00:00"),
            ("[2024-01-02 03:04:05 +0100] [1] x", 27, "2024-01-02T03:04:05+01:00"),
            ("[2024-01-02 03:04:05] x", 21, "2024-01-02T03:04:05"),
            ("2024/01/02 03:04:05 x", 19, "2024-01-02T03:04:05"),
            ("2024/01/02 - 03:04:05 | 200", 21, "2024-01-02T03:04:05"),
            ("2024.01.02 03:04:05 x", 19, "2024-01-02T03:04:05"),
            ("20240102T030405Z", 0, ""),
            ("20240102 03:04:05 x", 17, "2024-01-02T03:04:05"),
            ("01/02/2024 03:04:05 x", 19, "2024-01-02T03:04:05"),
            ("01/02/2024-03:04:05 x", 19, "2024-01-02T03:04:05"),
            ("[01/02/2024-03:04:05] [TRT-LLM] [I] x", 21, "2024-01-02T03:04:05"),
            ("13/02/2024 03:04:05 x", 19, "2024-02-13T03:04:05"),
            ("1/2/2024 3:04:05 PM x", 19, "2024-01-02T15:04:05"),
            ("1/2/2024 12:04:05 AM", 20, "2024-01-02T00:04:05"),
            ("24/01/02 03:04:05 INFO x", 17, "2024-01-02T03:04:05"),
            ("[01/02/24 03:04:05] INFO x", 19, "2024-01-02T03:04:05"),
            ("09-15 12:00:00 x", 14, "2024-09-15T12:00:00"),
            ("Nov 20 12:00:00 host x", 15, "2024-11-20T12:00:00"),
            ("Nov  5 12:00:00.123 x", 19, "2024-11-05T12:00:00.123"),
            ("Nov 20, 2024 12:00:00 x", 21, "2024-11-20T12:00:00"),
            ("Nov 20, 2024, 12:00:00 x", 22, "2024-11-20T12:00:00"),
            ("Nov 20, 2024 @ 12:00:00.250 x", 27, "2024-11-20T12:00:00.250"),
            ("November 20 2024 12:00:00 x", 25, "2024-11-20T12:00:00"),
            ("Fri Nov 20 12:00:00 2020", 24, "2020-11-20T12:00:00"),
            ("[Fri Nov 20 12:00:00 2020] x", 26, "2020-11-20T12:00:00"),
            ("Fri Nov 20 12:00:00 UTC 2020 x", 28, "2020-11-20T12:00:00Z"),
            ("Fri Nov 20 12:00:00 CEST 2020 x", 29, "2020-11-20T12:00:00"),
            ("Fri, 20 Nov 2020 12:00:00 +0000", 31, "2020-11-20T12:00:00+00:00"),
            ("Fri 2020-11-20 12:00:00 UTC x", 27, "2020-11-20T12:00:00Z"),
            ("[20/Nov/2020:12:00:00 +0000] x", 28, "2020-11-20T12:00:00+00:00"),
            ("20 Nov 2020 12:00:00.001 * x", 24, "2020-11-20T12:00:00.001"),
        ];
        for (text, length, expected) in cases {
            let found = leading_stamp(text);
            assert_eq!(found.as_ref().map_or(0, |(_, l)| *l), length, "{text}");
            assert_eq!(found.and_then(|(stamp, _)| iso(&stamp, Some(2024))).unwrap_or_default(), expected, "{text}");
        }
    }

    #[test]
    fn clocks_without_a_date_are_read() {
        for (text, length) in [
            ("12:00:00 ERROR x", 8),
            ("12:00:00.123 x", 12),
            ("[12:00:00] x", 10),
            ("12:00:00,5", 10),
            ("12:00:00: x", 8),
            ("12:00:00-123456 INFO x", 15),
            ("9:41PM ERR x", 6),
        ] {
            let found = leading_stamp(text);
            assert_eq!(found.as_ref().map(|(_, l)| *l), Some(length), "{text}");
            assert!(matches!(found, Some((Stamp { clock: Clock::Wall { date: None, .. }, .. }, _))), "{text}");
        }
    }

    #[test]
    fn elapsed_clocks_are_read() {
        assert_eq!(stamp("[12345.678901] x").clock, Clock::Elapsed { ms: 12_345_678 });
        assert_eq!(stamp("[    0.000000] x").clock, Clock::Elapsed { ms: 0 });
        assert_eq!(stamp("[    7.5000000] x").clock, Clock::Elapsed { ms: u64::MAX });
        assert_eq!(leading_stamp("0.00.366.780 W x").map(|(s, l)| (s.clock, l)), Some((Clock::Elapsed { ms: 366 }, 12)));
        assert_eq!(stamp("12.34.005.006 I x").clock, Clock::Elapsed { ms: 754_005 });
    }

    #[test]
    fn look_alikes_are_not_read() {
        let texts = [
            "1.2.3 released",
            "10.20.130.140 - - x",
            "192.168.1.10:8000 x",
            "12:00 left",
            "9:41PM is late",
            "00:12<01:00, 1.2it/s]",
            "00:05:12<00:10:00",
            "01:02:03 left",
            "00:10:00, 3.2s/it",
            "12:34:56:78:9a:bc",
            "2024-01-02",
            "2024-13-02 03:04:05",
            "2024-02-31 03:04:05",
            "25:00:00 x",
            "12:60:00 x",
            "[0.5] x",
            "[1, 2]",
            "[12]",
            "[123.456, 7]",
            "Nov",
            "May be 12:00:00",
            "Sun shines",
            "0.00.366.780.1 x",
            "1.10.123.200 x",
            "2.4.1",
            "127.0.0.1",
            "2024-01-02 03:04:05x",
            "Mon",
            "",
            "[",
            "[2024-01-02 03:04:05 TP0] x",
            "[rank0]: x",
            "3 May",
            "12-34 56:00:00",
        ];
        for text in texts {
            assert_eq!(leading_stamp(text), None, "{text}");
        }
    }

    #[test]
    fn iso_needs_a_full_date() {
        assert_eq!(iso(&stamp("09-15 12:00:00"), None), None);
        assert_eq!(iso(&stamp("12:00:00 x"), Some(2024)), None);
        assert_eq!(iso(&stamp("[1.000000] x"), Some(2024)), None);
        assert_eq!(iso_of("02-30 12:00:00 x"), None);
    }

    #[test]
    fn epochs_have_four_units() {
        for text in ["1700000000", "1700000000.25", "1700000000250", "1700000000250000", "1700000000250000000"] {
            let iso = epoch_stamp(text).and_then(|stamp| iso(&stamp, None)).unwrap_or_default();
            assert!(iso.starts_with("2023-11-14T22:13:20") && iso.ends_with('Z'), "{text} {iso}");
        }
        assert_eq!(epoch_stamp("17"), None);
        assert_eq!(epoch_stamp("1700000000.x"), None);
        assert_eq!(epoch_stamp("-1700000000"), None);
    }

    fn offsets(texts: &[&str]) -> Vec<i64> {
        let mut line = Timeline::new(None);
        texts.iter().map(|text| line.offset_ms(&stamp(text))).collect()
    }

    #[test]
    fn midnight_is_rolled_over() {
        assert_eq!(offsets(&["23:59:58 x", "23:59:59.500 x", "00:00:01 x", "23:59:59 x", "00:00:02 x"]), [0, 1500, 3000, 1000, 4000]);
        assert_eq!(offsets(&["12:00:05 x", "12:00:03 x", "12:00:06 x"]), [0, -2000, 1000]);
        assert_eq!(offsets(&["00:05:00 x", "13:05:00 x", "00:00:00 x"]), [0, 13 * HOUR, DAY - 5 * MINUTE]);
        assert_eq!(offsets(&["23:00:00 x", "01:00:00 x", "23:00:00 x", "01:00:00 x"]), [0, 2 * HOUR, DAY, DAY + 2 * HOUR]);
    }

    #[test]
    fn a_year_is_rolled_over() {
        assert_eq!(offsets(&["12-31 23:59:59 x", "01-01 00:00:01 x", "12-31 23:59:59 x"]), [0, 2000, 0]);
        assert_eq!(offsets(&["02-28 00:00:00 x", "03-01 00:00:00 x"]), [0, DAY]);
        let mut leap = Timeline::new(Some(2024));
        assert_eq!(["02-28 00:00:00 x", "02-29 00:00:00 x", "03-01 00:00:00 x"].map(|t| leap.offset_ms(&stamp(t))), [0, DAY, 2 * DAY]);
    }

    #[test]
    fn two_clocks_are_laid_side_by_side() {
        // A wrapper in UTC, a program eight hours ahead without a zone.
        assert_eq!(
            offsets(&["2024-09-15T12:00:00Z", "09-15 20:00:00 x", "2024-09-15T12:00:05Z", "09-15 20:00:05 x", "20:00:06 x"]),
            [0, 0, 5000, 5000, 6000]
        );
        assert_eq!(offsets(&["2024-09-15T12:00:00Z", "2024-09-15 04:00:01", "2024-09-15 04:00:02"]), [0, 1000, 2000]);
        // The same zone, forty minutes of silence between.
        assert_eq!(offsets(&["2024-09-15 12:00:00", "09-15 12:40:30 x"]), [0, 40 * MINUTE + 30_000]);
        assert_eq!(offsets(&["09-15 12:00:00 x", "2024-09-15 12:00:07"]), [0, 7000]);
        // Both have a zone.
        assert_eq!(offsets(&["2024-09-15T12:00:00Z", "2024-09-15T14:00:02+02:00"]), [0, 2000]);
        // Clocks that count from their own start.
        assert_eq!(offsets(&["12:00:00 x", "0.00.100.000 I x", "0.09.600.000 I x", "12:00:13 x", "0.00.010.000 I x"]), [0, 0, 9500, 13_000, 13_000]);
        assert_eq!(offsets(&["[100.000000] x", "[250.500000] x", "[1.000000] x", "[2.000000] x"]), [0, 150_500, 150_500, 151_500]);
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "\\PC{0,40}", cut in 0_usize..40) {
            let _ = leading_stamp(&text);
            let mut at = cut.min(text.len());
            while !text.is_char_boundary(at) { at -= 1; }
            if let Some((_, length)) = leading_stamp(&text[at..]) {
                prop_assert!(text[at..].get(..length).is_some());
            }
        }

        #[test]
        fn nearly_stamps_do_not_panic(text in "\\[?(Fri )?([0-9]{1,4}[-/. ]?[0-9]{1,2}[-/. ]?[0-9]{0,4}|Nov [0-9]{1,2})[ T:-]{0,2}[0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}[.,]?[0-9]{0,12}[Z +-]?[0-9:]{0,5}]?") {
            if let Some((stamp, length)) = leading_stamp(&text) {
                prop_assert!(text.get(..length).is_some());
                let _ = iso(&stamp, Some(2023));
                let mut line = Timeline::new(None);
                let _ = line.offset_ms(&stamp);
                prop_assert_eq!(line.offset_ms(&stamp), 0);
            }
        }
    }
}
