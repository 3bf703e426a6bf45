//! Where a report goes: standard output, or a file that is there whole or not at all; and where parts of it wait.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use miette::miette;
use tempfile::SpooledTempFile;

use crate::cli::{Failure, signals};

/// What waits in memory before it waits in a file.
const IN_MEMORY: usize = 1024 * 1024;

/// An output that is being written to.
pub struct Output {
    out: BufWriter<Box<dyn Write>>,
    file: Option<Unfinished>,
    /// What was written before it was known whether anything is to be written.
    held: Option<Store>,
}

/// A file is written beside its place and renamed, so that no half report is ever left.
struct Unfinished {
    file: File,
    part: PathBuf,
    path: PathBuf,
    is_done: bool,
}

impl Output {
    /// Opens a file, or standard output.
    pub fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else {
            return Ok(Output { out: BufWriter::new(Box::new(io::stdout())), file: None, held: None });
        };
        // A device or a pipe is written to; a file in its place would be another thing. A link stays one.
        if fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir()) {
            let opened = File::options().write(true).open(path).map_err(|error| refused(path, &error))?;
            return Ok(Output { out: BufWriter::new(Box::new(opened)), file: None, held: None });
        }
        let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        let mut name: OsString = path.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".{}.part", std::process::id()));
        let part = path.with_file_name(name);
        // Nothing is left of an interrupted run either. Where no handler can be set, it would only leave the part.
        let at_signal = part.clone();
        let _ = signals::at_end(move || {
            let _ = fs::remove_file(&at_signal);
            std::process::exit(130);
        });
        // Never through a link that somebody has put there.
        let opened = File::options().write(true).create_new(true).open(&part).and_then(|file| {
            let out = BufWriter::new(Box::new(file.try_clone()?) as Box<dyn Write>);
            Ok(Output { out, file: Some(Unfinished { file, part, path: path.to_path_buf(), is_done: false }), held: None })
        });
        opened.map_err(|error| refused(path, &error))
    }

    /// The same; nothing is written until it is released.
    pub fn held(path: Option<&Path>) -> Result<Self, Failure> {
        Ok(Output { held: Some(Store::default()), ..Self::open(path)? })
    }

    /// Writes what was held, and holds no more.
    pub fn release(&mut self) -> Result<(), Failure> {
        let Some(mut held) = self.held.take() else { return Ok(()) };
        self.write(|out| held.rewind().and_then(|()| io::copy(&mut held, out)).map(drop))
    }

    /// Writes a part of the report.
    pub fn write(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
        let written = match &mut self.held {
            Some(held) => write(held),
            None => write(&mut self.out).and_then(|()| self.out.flush()),
        };
        written.map_err(|error| self.failure(error))
    }

    /// Puts the whole report in its place, unless all of it is still held.
    pub fn finish(mut self) -> Result<(), Failure> {
        if self.held.is_some() {
            return Ok(());
        }
        let done = self.out.flush().and_then(|()| self.file.as_mut().map_or(Ok(()), Unfinished::finish));
        done.map_err(|error| self.failure(error))
    }

    fn failure(&self, error: io::Error) -> Failure {
        match &self.file {
            Some(unfinished) => refused(&unfinished.path, &error),
            None => error.into(),
        }
    }
}

impl Unfinished {
    fn finish(&mut self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.part, &self.path)?;
        self.is_done = true;
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_done {
            let _ = fs::remove_file(&self.part);
        }
    }
}

/// Where a part of a report waits: in memory, and what is more in a file without a name, of which nothing is ever left.
pub struct Store(SpooledTempFile);

impl Default for Store {
    fn default() -> Self {
        Store(SpooledTempFile::new(IN_MEMORY))
    }
}

impl Write for Store {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Whoever has a full disk should know which.
        let name = |error: io::Error| io::Error::new(error.kind(), format!("a temporary file in {}: {error}", env::temp_dir().display()));
        self.0.write(bytes).map_err(name)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Read for Store {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl Seek for Store {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

fn refused(path: &Path, error: &io::Error) -> Failure {
    let help = "is the folder there and writable, and the disk not full?";
    miette!(code = "oomdoc::write", help = help, "cannot write {}: {error}", path.display()).into()
}
