#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::Write;

use proptest::prelude::*;

use super::*;

const LOG: &str = "INFO one\nWARNING two\n\nERROR 🚨 three";

fn read(bytes: &[u8]) -> (Vec<String>, Vec<Problem>) {
    let mut reader = Reader::from_bytes(bytes).unwrap();
    let mut lines = Vec::new();
    while let Some(line) = reader.next_line().unwrap() {
        assert_eq!(line.number, lines.len() as u64 + 1);
        lines.push(line.text().into_owned());
    }
    assert_eq!(reader.lines_read(), lines.len() as u64);
    (lines, reader.problems())
}

fn refused(bytes: &[u8]) -> String {
    match Reader::from_bytes(bytes) {
        Err(SourceError::NotALog { what, .. }) => what,
        other => panic!("{other:?}"),
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut out = ::bzip2::write::BzEncoder::new(Vec::new(), ::bzip2::Compression::default());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut out = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

type Pack = fn(&[u8]) -> Vec<u8>;
const PACKINGS: &[(&str, Pack)] = &[("gzip", gzip), ("bzip2", bzip2), ("xz", xz), ("zstd", zstd)];

/// A log that does not compress well, so that damage in the middle of the packed bytes is damage in its middle.
fn long_log() -> String {
    let mut seed = 12345_u64;
    (0..60_000)
        .map(|n| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            format!("INFO {n} {seed:016x}\n")
        })
        .collect()
}

#[test]
fn lines_are_counted_as_they_are() {
    assert_eq!(read(LOG.as_bytes()).0, ["INFO one", "WARNING two", "", "ERROR 🚨 three"]);
    assert_eq!(read(b"a\r\nb\rc\n").0, ["a\r", "b\rc"]);
    assert_eq!(read(b"a\n\n\n").0, ["a", "", ""]);
    assert_eq!(read(b"a \xff\xfe b\nc\0\0d\n\0\0\0e").0, ["a \u{fffd}\u{fffd} b", "cd", "e"]);
    assert_eq!(read(b"\xef\xbb\xbfa\nb").0, ["a", "b"]);
    let mut reader = Reader::from_bytes(LOG).unwrap();
    while reader.next_line().unwrap().is_some() {}
    assert_eq!(reader.bytes_read(), LOG.len() as u64);
    assert!(reader.next_line().unwrap().is_none());
}

#[test]
fn packed_logs_are_unpacked() {
    let wanted = read(LOG.as_bytes());
    for (outer, pack_outer) in PACKINGS {
        assert_eq!(read(&pack_outer(LOG.as_bytes())), wanted, "{outer}");
        for (inner, pack_inner) in PACKINGS {
            assert_eq!(read(&pack_outer(&pack_inner(LOG.as_bytes()))), wanted, "{inner} in {outer}");
        }
        let twice = [pack_outer(b"INFO one\nWARNING"), pack_outer(b" two\n\nERROR \xf0\x9f"), pack_outer(b"\x9a\xa8 three")].concat();
        assert_eq!(read(&twice), wanted, "several {outer} in one file");
        assert_eq!(refused(&pack_outer(&gzip(&gzip(LOG.as_bytes())))), "a file that is compressed more than twice");
        assert!(matches!(Reader::from_bytes(pack_outer(b" \n")), Err(SourceError::Empty { .. })), "{outer}");
    }
    let skippable = [b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc".to_vec(), zstd(LOG.as_bytes())].concat();
    assert_eq!(read(&skippable), wanted);
}

#[test]
fn damaged_logs_give_what_they_can() {
    let log = long_log();
    let all = log.lines().count();
    for (name, pack) in PACKINGS {
        let packed = pack(log.as_bytes());
        let (lines, problems) = read(&packed[..packed.len() / 2]);
        assert!(lines.len() > all / 3 && lines.len() < all * 2 / 3, "{name}: {} of {all}", lines.len());
        assert!(log.starts_with(&lines.join("\n")), "{name}");
        assert_eq!(problems.len(), 1, "{name}");
        assert!(problems[0].what.contains(name) && problems[0].after_bytes > 0, "{name}: {problems:?}");
        assert!(problems[0].what.contains("end before"), "{name}: {problems:?}");

        let mut broken = packed.clone();
        let middle = broken.len() / 2;
        broken[middle..middle + 64].fill(0x55);
        let (lines, problems) = read(&broken);
        assert!(lines.len() > all / 3, "{name}: {} of {all}, {problems:?}", lines.len());
        assert!(log.starts_with(&lines[..all / 3].join("\n")), "{name}");
        assert!(!problems.is_empty() || *name == "zstd", "{name}");
        assert!(matches!(Reader::from_bytes(&packed[..8]), Err(SourceError::Damaged { .. })), "{name}");
    }
}

#[test]
fn what_unpacks_without_end_is_ended() {
    let blocks = "INFO all is well\n".repeat(1 << 16).repeat(64);
    // Once in itself gzip cannot do it: its best is a thousandth.
    let bomb = gzip(&gzip(blocks.as_bytes()));
    assert!(bomb.len() < 8 << 10 && blocks.len() > 64 << 20);
    let (lines, problems) = read(&bomb);
    assert!(lines.len() > 1 << 20 && lines.len() < 3 << 20, "{} lines", lines.len());
    assert!(problems.len() == 1 && problems[0].what.contains("more than 4096 times"), "{problems:?}");
    let (lines, problems) = read(&gzip(blocks.as_bytes()));
    assert_eq!((lines.len(), problems.len()), (1 << 22, 0));
}

#[test]
fn wide_text_is_decoded() {
    for (mark, wide) in [(true, true), (true, false), (false, true), (false, false)] {
        let units: Vec<u16> = mark.then_some(0xfeff).into_iter().chain(LOG.encode_utf16()).collect();
        let bytes: Vec<u8> = units.iter().flat_map(|unit| if wide { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect();
        assert_eq!(read(&bytes), read(LOG.as_bytes()), "mark {mark}, big-endian {wide}");
        assert_eq!(read(&gzip(&bytes)), read(LOG.as_bytes()));
    }
    let long = long_log();
    let bytes: Vec<u8> = std::iter::once(0xfeff).chain(long.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    assert_eq!(read(&bytes).0.join("\n") + "\n", long);
}

#[test]
fn long_lines_are_cut() {
    let whole = "x".repeat(LONGEST_LINE - 1);
    assert_eq!(read(format!("{whole}\nb").as_bytes()).0, [whole.as_str(), "b"]);
    for length in [LONGEST_LINE + 2 * BLOCK, 5_000_000] {
        for end in ["\nnext\n", ""] {
            let log = format!("first\nBEGIN{}END{end}", "x".repeat(length));
            let mut reader = Reader::from_bytes(log).unwrap();
            assert!(!reader.next_line().unwrap().unwrap().cut);
            let line = reader.next_line().unwrap().unwrap();
            assert!(line.cut && line.number == 2);
            assert_eq!(line.bytes.len(), KEPT_HEAD + CUT_MARK.len() + KEPT_TAIL);
            assert!(line.bytes.starts_with(b"BEGIN") && line.bytes.ends_with(b"END"));
            assert_eq!(reader.next_line().unwrap().map(|line| line.bytes.to_vec()), (!end.is_empty()).then(|| b"next".to_vec()));
            assert!(reader.block.len() < 2 * LONGEST_LINE);
        }
    }
}

#[test]
fn no_line_is_cut_through_a_secret() {
    let secret = "hf_aBcDeFgHiJkLmNoPqRsTuVwXyZ";
    let shows_a_part = |line: &str| {
        let rest = line.replace(secret, "");
        rest.contains("aBcDeF") || rest.contains("UvWxYz") || rest.contains("VwXyZ") || rest.contains("hf_")
    };
    for shift in 0..40 {
        // Across the end of the head that is kept of a very long line, and across the beginning of its tail.
        let head = "x ".repeat((KEPT_HEAD - shift) / 2);
        let tail = " y".repeat((KEPT_TAIL - shift) / 2);
        let log = format!("{head} {secret} {}{secret}{tail}\nnext\n", "z ".repeat(LONGEST_LINE / 2));
        let mut reader = Reader::from_bytes(log).unwrap();
        let line = String::from_utf8(reader.next_line().unwrap().unwrap().bytes.to_vec()).unwrap();
        assert!(line.len() + 200 > KEPT_HEAD + KEPT_TAIL && !shows_a_part(&line), "{shift}");
        // Across the end of a line before others that is read again.
        let long = format!("{} {secret} {}", "x ".repeat((10_000 - shift) / 2), "z ".repeat(100));
        let mut reader = Reader::from_bytes(format!("{long}\nlast\n")).unwrap();
        while reader.next_line().unwrap().is_some() {}
        let before = reader.before(0, 5, 40_000);
        let line = String::from_utf8_lossy(&before[0].1);
        assert!(before.len() == 2 && line.len() + 50 > 10_000 && !shows_a_part(&line), "{shift}");
    }
    assert!(!shows_a_part(secret) && shows_a_part(&secret[..20]) && shows_a_part(&secret[20..]));
}

#[test]
fn nothing_is_empty() {
    for bytes in [b"".as_slice(), b"\n\n  \t\r\n", b"\xef\xbb\xbf", b"\xff\xfe", b"\0\0\0"] {
        assert!(matches!(Reader::from_bytes(bytes), Err(SourceError::Empty { .. })), "{bytes:?}");
    }
    let late = format!("{}x", "\n".repeat(100_000));
    assert_eq!(read(late.as_bytes()).0.len(), 100_001);
    assert_eq!(read(&[vec![0; 100_000], b"INFO x\n".to_vec()].concat()).0, ["INFO x"]);
}

#[test]
fn what_is_no_log_is_refused() {
    let mut tar = vec![b'a'; 600];
    tar[257..262].copy_from_slice(b"ustar");
    let cases: &[(&[u8], &str)] = &[
        (b"PK\x03\x04....", "zip"),
        (&tar, "tar"),
        (b"\x89PNG\r\n\x1a\n....", "PNG"),
        (b"\xff\xd8\xff\xe0....", "JPEG"),
        (b"GIF89a....", "GIF"),
        (b"RIFF....WEBPVP8 ", "WebP"),
        (b"\x7fELF....", "ELF"),
        (b"MZ\x90\0\x03\0\0\0....", "Windows program"),
        (b"%PDF-1.7 ....", "PDF"),
        (b"SQLite format 3\0....", "SQLite"),
        (b"GGUF\x03\0\0\0....", "GGUF"),
        (b"\x40\0\0\0\0\0\0\0{\"__metadata__\":{}}", "safetensors"),
        (b"\x80\x04\x95\x10\0\0\0", "pickle"),
        (&[1, 2, 3, 4, 5, 6, 7, 200, 201, 0, 0, 0], "binary"),
    ];
    for (bytes, what) in cases {
        assert!(refused(bytes).contains(what), "{what}: {}", refused(bytes));
        assert!(refused(&gzip(bytes)).contains(what), "{what} in gzip");
    }
    assert_eq!(read(b"MZ is how this line begins").0.len(), 1);
    assert_eq!(read("\u{1b}[32mINFO\u{1b}[0m x\n".repeat(50).as_bytes()).0.len(), 50);
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("oomdoc-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn with(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

#[test]
fn folders_stand_for_their_logs() {
    let folder = Folder::new("expand");
    let b = folder.with("b.log", b"x");
    let a = folder.with("a/z.log.gz", &gzip(b"x"));
    folder.with(".hidden.log", b"x");
    folder.with(".git/x.log", b"x");
    folder.with("image.png", b"\x89PNG\r\n\x1a\n....");
    folder.with("nothing.log", b"");
    let empty = folder.0.join("empty");
    fs::create_dir_all(&empty).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(&folder.0, folder.0.join("a/loop")).unwrap();

    let (inputs, errors) = expand(std::slice::from_ref(&folder.0));
    assert_eq!(inputs, [Input::Path(a), Input::Path(b.clone())]);
    assert!(errors.is_empty(), "{errors:?}");

    let (inputs, errors) = expand(&["-".into(), b.clone(), empty, folder.0.join("none")]);
    assert_eq!(inputs, [Input::Stdin, Input::Path(b)]);
    assert!(matches!(errors.as_slice(), [SourceError::NoLogs { .. }, SourceError::NotFound { .. }]), "{errors:?}");
}

#[test]
fn errors_say_what_to_do() {
    use miette::Diagnostic;
    let folder = Folder::new("errors");
    folder.with("vllm-server.log", b"x");
    let error = open(&Input::Path(folder.0.join("vlm-server.log"))).unwrap_err();
    assert!(error.help().unwrap().to_string().contains("vllm-server.log"), "{}", error.help().unwrap());
    assert_eq!(error.code().unwrap().to_string(), "oomdoc::input::not_found");
    let error = open(&Input::Path(folder.0.join("gone/x.log"))).unwrap_err();
    assert!(error.help().unwrap().to_string().contains("does not exist either"));
    assert!(matches!(open(&Input::Path(folder.0.clone())), Err(SourceError::Directory { .. })));
    let empty = folder.with("empty.log", b"");
    assert!(open(&Input::Path(empty)).unwrap_err().to_string().ends_with("empty.log is empty"));
}

#[test]
fn a_failing_read_loses_nothing() {
    struct Failing(usize);
    impl Read for Failing {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.0 += 1;
            match self.0 {
                1 => {
                    into[..4].copy_from_slice(b"a\nb\n");
                    Ok(4)
                }
                2 => Err(io::ErrorKind::Interrupted.into()),
                3 => {
                    into[..2].copy_from_slice(b"c\n");
                    Ok(2)
                }
                _ => Err(io::Error::other("gone")),
            }
        }
    }
    let mut reader = Reader::from_read(Box::new(Failing(0))).unwrap();
    for wanted in [b"a", b"b", b"c"] {
        assert_eq!(reader.next_line().unwrap().unwrap().bytes, wanted);
    }
    assert!(matches!(reader.next_line(), Err(SourceError::Io { .. })));
    assert!(reader.next_line().unwrap().is_none());
    let mut live = Reader::live("pipe", Box::new(Failing(0))).unwrap();
    assert_eq!(live.next_line().unwrap().unwrap().bytes, b"a");
}

#[test]
fn what_waits_holds_little() {
    struct Growing(usize);
    impl Read for Growing {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.0 += 1;
            if self.0.is_multiple_of(40) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let count = into.len().min(40_000);
            into[..count].copy_from_slice(&b"INFO a line\n".repeat(4_000)[..count]);
            Ok(count)
        }
    }
    let mut reader = Reader::live("log", Box::new(Growing(0))).unwrap();
    for _ in 0..10 {
        while let Some(line) = reader.next_line().unwrap() {
            assert!(!line.bytes.is_empty());
        }
        assert!(reader.waits());
        assert!(reader.block.capacity() <= HISTORY + 2 * BLOCK, "{}", reader.block.capacity());
        assert_eq!(reader.before(0, 5, 1000).len(), 5);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..400), magic in 0..8_usize) {
        let magics: [&[u8]; 8] = [b"", b"\x1f\x8b\x08\0", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0", b"BZh91AY&SY", b"\xff\xfe", b"INFO ", b"\x50\x2a\x4d\x18"];
        if let Ok(mut reader) = Reader::from_bytes([magics[magic], &bytes].concat()) {
            while let Ok(Some(_)) = reader.next_line() {}
        }
    }

    #[test]
    fn any_damage_is_survived(packing in 0..4_usize, at in 0..2000_usize, byte in any::<u8>(), cut in 0..3000_usize) {
        let mut packed = PACKINGS[packing].1(&long_log().as_bytes()[..4000]);
        let at = at.min(packed.len() - 1);
        packed[at] = byte;
        packed.truncate(packed.len().min(cut + 200));
        if let Ok(mut reader) = Reader::from_bytes(packed) {
            while let Ok(Some(_)) = reader.next_line() {}
        }
    }
}
