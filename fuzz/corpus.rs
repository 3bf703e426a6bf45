//! The inputs that fuzzing has found and that are kept: of each target one file, packed.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

/// Where the inputs of a target are kept.
fn file(target: &str, root: &Path) -> PathBuf {
    root.join("fuzz/kept").join(format!("{target}.gz"))
}

/// The kept inputs of a target; none where nothing was kept.
///
/// # Errors
/// When they cannot be read.
pub fn kept(target: &str, root: &Path) -> io::Result<Vec<Vec<u8>>> {
    let mut inputs = Vec::new();
    let path = file(target, root);
    if !path.exists() {
        return Ok(inputs);
    }
    let mut packed = GzDecoder::new(File::open(path)?);
    let mut length = [0; 4];
    while packed.read(&mut length[..1])? == 1 {
        packed.read_exact(&mut length[1..])?;
        let mut input = vec![0; u32::from_le_bytes(length) as usize];
        packed.read_exact(&mut input)?;
        inputs.push(input);
    }
    Ok(inputs)
}

/// Keeps inputs, and no others, in an order that does not depend on where they come from.
///
/// # Errors
/// When they cannot be written.
#[allow(dead_code)]
pub fn keep(target: &str, root: &Path, mut inputs: Vec<Vec<u8>>) -> io::Result<()> {
    inputs.sort();
    inputs.dedup();
    let path = file(target, root);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut packed = GzEncoder::new(BufWriter::new(File::create(path)?), Compression::best());
    for input in inputs {
        packed.write_all(&u32::try_from(input.len()).map_err(io::Error::other)?.to_le_bytes())?;
        packed.write_all(&input)?;
    }
    packed.finish()?.flush()
}
