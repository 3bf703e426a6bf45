//! The report as JSON: one object, an array of several, or one object a line.
//!
//! Besides what JSON requires, characters that a terminal would obey or hide are written as `\u009b`, so that
//! looking at the output is as safe as parsing it; a parser gets the same text.

use std::io;

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter, Serializer};

use super::{Outcome, escape};

/// One object, or an array of several, one after another.
pub struct Objects {
    count: usize,
    written: usize,
}

impl Objects {
    /// Begins the report of so many inputs.
    pub fn new(count: usize) -> Self {
        Objects { count, written: 0 }
    }

    /// Writes the next one.
    pub fn add(&mut self, outcome: &Outcome, out: &mut dyn io::Write) -> io::Result<()> {
        let mut object = Vec::new();
        outcome.serialize(&mut Serializer::with_formatter(&mut object, Safe(PrettyFormatter::new())))?;
        if self.count == 1 {
            out.write_all(&object)?;
        } else {
            out.write_all(if self.written == 0 { b"[" } else { b"," })?;
            // A line end is never part of a text: those are escaped.
            for line in object.split(|&byte| byte == b'\n') {
                out.write_all(b"\n  ")?;
                out.write_all(line)?;
            }
        }
        self.written += 1;
        Ok(())
    }

    /// Ends the array.
    pub fn finish(self, out: &mut dyn io::Write) -> io::Result<()> {
        writeln!(
            out,
            "{}",
            match (self.count, self.written) {
                (1, _) => "",
                (_, 0) => "[]",
                _ => "\n]",
            }
        )
    }
}

/// One compact object.
pub fn write_line(value: &impl Serialize, out: &mut dyn io::Write) -> io::Result<()> {
    value.serialize(&mut Serializer::with_formatter(&mut *out, Safe(CompactFormatter)))?;
    writeln!(out)
}

/// A formatter that escapes what a terminal would obey.
struct Safe<F>(F);

impl<F: Formatter> Formatter for Safe<F> {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut start = 0;
        for (at, c) in fragment.char_indices() {
            if c == '\u{7f}' || escape::hides(c) {
                writer.write_all(fragment.get(start..at).unwrap_or_default().as_bytes())?;
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
                start = at + c.len_utf8();
            }
        }
        writer.write_all(fragment.get(start..).unwrap_or_default().as_bytes())
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}
