//! Compression and character encodings, as layers of readers.

use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use encoding_rs::{Decoder, Encoding};
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::Ledger;

/// How much is unpacked at once. A decoder that meets damaged data may keep back what it had unpacked in that call, so
/// this is what can be lost.
const STEP: usize = 512;

/// Kibibytes of memory that unpacking xz may take; a hostile file may ask for 4 GiB.
const XZ_MEMORY_KIB: u32 = 256 * 1024;

/// What may be unpacked of any input, however small it is.
const FREE: u64 = if cfg!(test) { 32 << 20 } else { 8 << 30 };
/// Beyond that, how many bytes may come out of each that went in. Logs that were made by programs stay far below it; what a
/// decompression bomb makes does not.
const RATIO: u64 = 4096;

/// What a file is packed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Gzip,
    Zstd,
    Xz,
    Bzip2,
}

impl Packing {
    /// By the first bytes.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        match head {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            // The block's or the stream's end's magic tells it from text that begins with `BZh`.
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, ..] | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, ..] => Some(Self::Bzip2),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
        }
    }
}

/// Unpacks as far as it goes: damage becomes a recorded problem and the end of the data.
pub(super) struct Lenient {
    inner: Box<dyn Read>,
    packing: Packing,
    ledger: Rc<Ledger>,
    unpacked: u64,
    ended: bool,
}

impl Lenient {
    pub(super) fn new(packing: Packing, packed: Box<dyn Read>, ledger: Rc<Ledger>) -> Self {
        let inner: Box<dyn Read> = match packing {
            Packing::Gzip => Box::new(flate2::read::MultiGzDecoder::new(packed)),
            Packing::Zstd => Box::new(Zstd::new(packed)),
            Packing::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(BufReader::new(packed), true, XZ_MEMORY_KIB)),
            Packing::Bzip2 => Box::new(bzip2::read::MultiBzDecoder::new(packed)),
        };
        Self { inner, packing, ledger, unpacked: 0, ended: false }
    }
}

impl Read for Lenient {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = into.len().min(STEP);
        while !self.ended {
            match self.inner.read(&mut into[..most]) {
                Ok(0) => self.ended = true,
                Ok(count) => {
                    self.unpacked += count as u64;
                    if self.unpacked > FREE && self.unpacked / RATIO > self.ledger.packed.get() {
                        self.ended = true;
                        let name = self.packing.name();
                        self.ledger.report(format!("the {name} data unpack to more than {RATIO} times their size; the rest was not read"));
                    }
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.ended = true;
                    let name = self.packing.name();
                    self.ledger.report(if error.kind() == io::ErrorKind::UnexpectedEof {
                        format!("the {name} data end before they are complete")
                    } else {
                        format!("the {name} data are damaged: {error}")
                    });
                }
            }
        }
        Ok(0)
    }
}

/// Frame after frame, where the decoder at hand knows only one.
struct Zstd {
    packed: BufReader<Box<dyn Read>>,
    decoder: FrameDecoder,
    failure: Option<io::Error>,
    ended: bool,
}

impl Zstd {
    fn new(packed: Box<dyn Read>) -> Self {
        Self { packed: BufReader::new(packed), decoder: FrameDecoder::new(), failure: None, ended: false }
    }

    /// Goes on to the next frame, if there is one.
    fn next_frame(&mut self) -> io::Result<()> {
        while !self.packed.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.packed) {
                Ok(()) => return Ok(()),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    io::copy(&mut (&mut self.packed).take(u64::from(length)), &mut io::sink())?;
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        self.ended = true;
        Ok(())
    }

    /// The decoder holds back a window of up to some MiB that later blocks may refer to. When there are none any more,
    /// an empty last block (and any checksum) makes it give that out.
    fn give_up(&mut self, error: FrameDecoderError) {
        const LAST_BLOCK: [u8; 7] = [1, 0, 0, 0, 0, 0, 0];
        let mut cause: Option<&dyn std::error::Error> = Some(&error);
        let mut truncated = false;
        while let Some(one) = cause {
            truncated |= one.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::UnexpectedEof);
            cause = one.source();
        }
        let kind = if truncated { io::ErrorKind::UnexpectedEof } else { io::ErrorKind::InvalidData };
        self.failure = Some(io::Error::new(kind, error));
        if self.decoder.decode_blocks(LAST_BLOCK.as_slice(), BlockDecodingStrategy::All).is_err() {
            self.ended = true;
        }
    }
}

impl Read for Zstd {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.decoder.can_collect() > 0 {
                return self.decoder.read(into);
            }
            if let Some(error) = self.failure.take() {
                self.ended = true;
                return Err(error);
            }
            if self.ended {
                return Ok(0);
            }
            if self.decoder.is_finished() {
                if let Err(error) = self.next_frame() {
                    self.ended = true;
                    return Err(error);
                }
            } else if let Err(error) = self.decoder.decode_blocks(&mut self.packed, BlockDecodingStrategy::UptoBlocks(1)) {
                self.give_up(error);
            }
        }
    }
}

/// Two-byte text to UTF-8.
pub(super) struct Utf16 {
    inner: Box<dyn Read>,
    decoder: Decoder,
    packed: Vec<u8>,
    from: usize,
    end: usize,
    /// What is decoded and not yet handed out: a caller's buffer may be too small for one character.
    text: Vec<u8>,
    given: usize,
    ended: bool,
}

impl Utf16 {
    pub(super) fn new(encoding: &'static Encoding, inner: Box<dyn Read>) -> Self {
        Self {
            inner,
            decoder: encoding.new_decoder_with_bom_removal(),
            packed: vec![0; 16 * 1024],
            from: 0,
            end: 0,
            text: Vec::new(),
            given: 0,
            ended: false,
        }
    }
}

impl Read for Utf16 {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.given == self.text.len() {
            if self.ended {
                return Ok(0);
            }
            if self.from == self.end {
                self.end = self.inner.read(&mut self.packed)?;
                self.from = 0;
            }
            let last = self.end == 0;
            self.text.resize(48 * 1024, 0);
            let (result, read, written, _) = self.decoder.decode_to_utf8(&self.packed[self.from..self.end], &mut self.text, last);
            self.from += read;
            self.text.truncate(written);
            self.given = 0;
            self.ended = last && result == encoding_rs::CoderResult::InputEmpty;
        }
        let count = into.len().min(self.text.len() - self.given);
        into[..count].copy_from_slice(&self.text[self.given..self.given + count]);
        self.given += count;
        Ok(count)
    }
}
