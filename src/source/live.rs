//! Inputs that grow: files that are followed by their name, and streams. Reading never blocks: what has nothing more at
//! present says [`io::ErrorKind::WouldBlock`].

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;

/// What a stream is read in.
const CHUNK: usize = 64 * 1024;
/// How many chunks of a stream may wait.
const WAITING: usize = 16;

/// How much is read in one turn; then others have theirs, and what was read is looked at.
const TURN: usize = 128 * 1024;

/// An input that grows.
pub trait Live: Read {
    /// True when there is something to read, or the end is known.
    fn is_ready(&mut self) -> bool;
}

/// Says now and then that there is nothing more, so that one that never ends does not keep its reader from all else.
pub struct Paced {
    inner: Box<dyn Live>,
    left: usize,
}

impl Paced {
    /// Paces an input.
    pub fn new(inner: Box<dyn Live>) -> Self {
        Paced { inner, left: TURN }
    }
}

impl Read for Paced {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            self.left = TURN;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = self.inner.read(into)?;
        self.left = self.left.saturating_sub(count);
        Ok(count)
    }
}

/// A file that is followed by its name, as `tail -F` does: also one that is not there yet, is cut, or is replaced.
#[derive(Debug)]
pub struct Follow {
    path: PathBuf,
    file: Option<File>,
    /// The file that has taken the place of the one that is read.
    next: Option<File>,
    at: u64,
    in_line: bool,
    stop: Arc<AtomicBool>,
}

impl Follow {
    /// Follows a file until `stop` is set.
    pub fn new(path: &Path, stop: Arc<AtomicBool>) -> Self {
        Follow { path: path.to_path_buf(), file: None, next: None, at: 0, in_line: false, stop }
    }

    /// Looks whether the file was cut or another has its name; true when there is something to go on with.
    fn renew(&mut self) -> io::Result<bool> {
        // One that was moved away is followed until another comes.
        let Ok(there) = fs::metadata(&self.path) else { return Ok(false) };
        if let Some(file) = &mut self.file
            && is_same(&file.metadata()?, &there)
        {
            if there.len() >= self.at {
                return Ok(false);
            }
            file.rewind()?;
            self.at = 0;
            return Ok(true);
        }
        // Where it may not be read yet, it may be soon.
        self.next = File::open(&self.path).ok();
        Ok(self.next.is_some())
    }
}

impl Live for Follow {
    fn is_ready(&mut self) -> bool {
        fs::metadata(&self.path).is_ok_and(|there| there.len() > 0)
    }
}

impl Read for Follow {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) || into.is_empty() {
            return Ok(0);
        }
        loop {
            if let Some(file) = &mut self.file {
                let count = file.read(into)?;
                if count > 0 {
                    self.at += count as u64;
                    self.in_line = into[count - 1] != b'\n';
                    return Ok(count);
                }
            }
            if let Some(next) = self.next.take() {
                // Only now, for the old one may have grown until its name was another's.
                self.file = Some(next);
                self.at = 0;
            } else if !self.renew()? {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            if self.in_line && self.at == 0 {
                // What was cut off is no part of the new file's first line.
                self.in_line = false;
                into[0] = b'\n';
                return Ok(1);
            }
        }
    }
}

#[cfg(unix)]
fn is_same(a: &Metadata, b: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(not(unix))]
fn is_same(a: &Metadata, b: &Metadata) -> bool {
    a.created().ok() == b.created().ok()
}

/// Standard input, or a pipe: a thread waits for what comes, so that nobody else has to.
#[derive(Debug)]
pub struct Stream {
    chunks: Receiver<io::Result<Vec<u8>>>,
    chunk: Vec<u8>,
    at: usize,
    ended: bool,
    stop: Arc<AtomicBool>,
}

impl Stream {
    /// Reads what `open` opens until `stop` is set, and says by `wake` that something came.
    pub fn new<R: Read>(open: impl FnOnce() -> io::Result<R> + Send + 'static, wake: SyncSender<()>, stop: Arc<AtomicBool>) -> Self {
        let (sender, chunks) = sync_channel(WAITING);
        thread::spawn(move || {
            let pass_on = |chunk| {
                let is_wanted = sender.send(chunk).is_ok();
                let _ = wake.try_send(());
                is_wanted
            };
            let mut inner = match open() {
                Ok(inner) => inner,
                Err(error) => {
                    pass_on(Err(error));
                    return;
                }
            };
            loop {
                let mut chunk = vec![0; CHUNK];
                match inner.read(&mut chunk) {
                    Ok(0) => break,
                    Ok(count) => {
                        chunk.truncate(count);
                        if !pass_on(Ok(chunk)) {
                            return;
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => {
                        pass_on(Err(error));
                        break;
                    }
                }
            }
            drop(sender);
            let _ = wake.try_send(());
        });
        Stream { chunks, chunk: Vec::new(), at: 0, ended: false, stop }
    }

    /// Takes the next chunk, if there is one.
    fn advance(&mut self) -> io::Result<()> {
        match self.chunks.try_recv() {
            Ok(chunk) => {
                self.chunk = chunk?;
                self.at = 0;
                Ok(())
            }
            Err(TryRecvError::Empty) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryRecvError::Disconnected) => {
                self.ended = true;
                Ok(())
            }
        }
    }
}

impl Live for Stream {
    fn is_ready(&mut self) -> bool {
        self.at < self.chunk.len() || self.ended || self.advance().is_ok()
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Ok(0);
        }
        if self.at == self.chunk.len() && !self.ended {
            self.advance()?;
        }
        let count = (&self.chunk[self.at..]).read(into)?;
        self.at += count;
        if self.ended { Ok(0) } else { Ok(count) }
    }
}
