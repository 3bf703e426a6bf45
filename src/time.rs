//! Stamps as logs print them: some have a year, a zone or a date, many do not.

use chrono::{FixedOffset, NaiveTime};

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
#[derive(Default)] pub struct Timeline; impl Timeline { pub fn offset_ms(&mut self,_:&Stamp)->Option<i64>{None} }
pub fn iso(_:&Stamp,_:Option<i32>)->Option<String>{None}
