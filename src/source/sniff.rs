//! What an input is, by its first bytes.

use encoding_rs::{Encoding, UTF_16BE, UTF_16LE};

/// Formats that are told by how they begin.
const MAGIC: &[(&[u8], &str)] = &[
    (b"PK\x03\x04", "a zip archive (or a PyTorch checkpoint)"),
    (b"PK\x05\x06", "a zip archive"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image (copy the text, not a screenshot)"),
    (b"\xff\xd8\xff", "a JPEG image (copy the text, not a screenshot)"),
    (b"GIF87a", "a GIF image (copy the text, not a screenshot)"),
    (b"GIF89a", "a GIF image (copy the text, not a screenshot)"),
    (b"\x7fELF", "a program, library or core dump (ELF)"),
    (b"%PDF-", "a PDF document"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"GGUF", "a GGUF model"),
    (b"LPKSHHRH", "a systemd journal (`journalctl --file FILE -o cat` prints it)"),
    (b"ElfFile\0", "a Windows event log"),
    (b"\x04\x22\x4d\x18", "an LZ4 file (`lz4 -d` unpacks it)"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"!<arch>\n", "an ar archive"),
    (b"PAR1", "a Parquet file"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array"),
];

/// The format of a file that is no log, if its first bytes tell.
pub(super) fn known_format(head: &[u8]) -> Option<&'static str> {
    if let Some((_, what)) = MAGIC.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Some(what);
    }
    if head.get(257..262) == Some(b"ustar") {
        return Some("a tar archive");
    }
    if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP") {
        return Some("a WebP image (copy the text, not a screenshot)");
    }
    if head.starts_with(b"MZ") && head.iter().take(64).any(|byte| *byte == 0) {
        return Some("a Windows program");
    }
    // A pickle: the protocol, then an operation that can stand first.
    if let [0x80, 2..=5, operation, ..] = head
        && matches!(operation, 0x95 | b'}' | b']' | b'(' | b'c' | 0x8a | 0x8c | b'X' | b'K' | b')')
    {
        return Some("a Python pickle (a checkpoint, perhaps)");
    }
    // safetensors: the length of the header, then the header, which is JSON.
    if let Some((length, rest)) = head.split_first_chunk::<8>()
        && rest.starts_with(b"{\"")
        && u64::from_le_bytes(*length) < (1 << 32)
        && length[7] == 0
    {
        return Some("a safetensors file");
    }
    None
}

/// Two-byte text: by its mark, or because every other byte of plain text is NUL.
pub(super) fn utf16(head: &[u8]) -> Option<&'static Encoding> {
    match head {
        [0xff, 0xfe, 0, 0, ..] => return None,
        [0xff, 0xfe, ..] => return Some(UTF_16LE),
        [0xfe, 0xff, ..] => return Some(UTF_16BE),
        _ => {}
    }
    let pairs = head.len() / 2;
    if pairs < 8 {
        return None;
    }
    let (mut little, mut big) = (0, 0);
    for pair in head.chunks_exact(2) {
        match pair {
            [0, 0] => {}
            [0, _] => big += 1,
            [_, 0] => little += 1,
            _ => {}
        }
    }
    if little * 10 > pairs * 7 {
        Some(UTF_16LE)
    } else if big * 10 > pairs * 7 {
        Some(UTF_16BE)
    } else {
        None
    }
}

/// True for data without text in them. A run of NUL at the beginning says nothing: a log that was truncated while its
/// writer went on begins with one.
pub(super) fn is_binary(head: &[u8]) -> bool {
    let text = match head.iter().position(|byte| *byte != 0) {
        Some(first) => &head[first..],
        None => return false,
    };
    let nul = memchr::memchr_iter(0, text).count();
    let control = text.iter().filter(|byte| matches!(byte, 1..=6 | 0x0e..=0x1a | 0x1c..=0x1f | 0x7f)).count();
    control * 20 > text.len() || nul * 3 > text.len()
}

/// True if there is nothing to read in it.
pub(super) fn is_blank(head: &[u8]) -> bool {
    head.iter().all(|byte| byte.is_ascii_whitespace() || *byte == 0) || head == "\u{feff}".as_bytes()
}
