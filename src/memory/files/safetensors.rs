//! The headers of safetensors files: eight bytes of length, then JSON that names each tensor with dtype and shape.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{self, IgnoredAny, MapAccess, Visitor};

use super::{Damage, FilesError, MOST_FILES, Tally, damaged, json, open};
use crate::memory::format::Dtype;

/// The format's own bound of a header.
const LARGEST_HEADER: u64 = 100_000_000;

/// The safetensors files of a folder, and how many there should be: those that an index names, or all that there are.
pub fn files(folder: &Path) -> Result<(Vec<PathBuf>, u64), FilesError> {
    let index = folder.join("model.safetensors.index.json");
    if index.is_file() {
        let value = json(&index)?;
        let names: BTreeSet<&str> = value
            .get("weight_map")
            .and_then(|m| m.as_object())
            .into_iter()
            .flat_map(|m| m.values())
            .filter_map(|v| v.as_str())
            .take(1 << 22)
            .collect();
        // A name that leads out of the folder is none of its files.
        let plain = |name: &&str| !name.contains(['/', '\\']) && *name != "..";
        let there = names.iter().filter(|n| plain(n)).map(|name| folder.join(name)).filter(|path| path.is_file()).take(MOST_FILES).collect();
        return Ok((there, names.len() as u64));
    }
    let failed = |source: io::Error| FilesError::Read { path: folder.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)?.take(1 << 16) {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        // Adapters and the one-file copy of Mistral's releases are no part of the model.
        if name.ends_with(".safetensors")
            && !name.starts_with("adapter")
            && !name.starts_with("consolidated")
            && path.is_file()
            && found.len() < MOST_FILES
        {
            found.push(path);
        }
    }
    found.sort();
    let count = found.len() as u64;
    Ok((found, count))
}

/// Reads the header of a file and adds its tensors.
pub fn read(path: &Path, tally: &mut Tally) -> Result<(), FilesError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::UnexpectedEof => damaged(path)(Damage::Short),
        _ => FilesError::Read { path: path.to_owned(), source },
    };
    let mut file = open(path)?;
    let size = file.metadata().map_err(failed)?.len();
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(failed)?;
    let length = u64::from_le_bytes(length);
    if length > LARGEST_HEADER {
        return Err(damaged(path)(Damage::Large("the header")));
    }
    if length > size.saturating_sub(8) {
        return Err(damaged(path)(Damage::Short));
    }
    let mut text = Vec::new();
    file.take(length).read_to_end(&mut text).map_err(failed)?;
    parse(&text, tally).map_err(damaged(path))
}

/// Reads the JSON of a header.
pub fn parse(text: &[u8], tally: &mut Tally) -> Result<(), Damage> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    de::Deserializer::deserialize_map(&mut reader, Header { tally }).map_err(|_| Damage::Json)?;
    Ok(())
}

/// Reads tensors one by one, so that a header of any length takes no memory beside itself.
struct Header<'a> {
    tally: &'a mut Tally,
}

#[derive(Deserialize)]
struct Info {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

impl<'de> Visitor<'de> for Header<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("tensors by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let info: Info = map.next_value()?;
            let bytes = info.data_offsets.1.checked_sub(info.data_offsets.0).ok_or_else(|| de::Error::custom("offsets"))?;
            let elements = info.shape.iter().try_fold(1u64, |product, n| product.checked_mul(*n)).ok_or_else(|| de::Error::custom("shape"))?;
            // What the shape says has to be what lies between the offsets; four-bit types are counted in bytes by some.
            let said = Dtype::parse(&info.dtype).map(|dtype| dtype.size(elements).0);
            if said.is_some_and(|said| said != bytes && said.div_ceil(2) != bytes && said.saturating_mul(2) != bytes) {
                return Err(de::Error::custom("size"));
            }
            self.tally.add(&name, &info.dtype.chars().take(16).collect::<String>(), elements, elements, bytes);
        }
        Ok(())
    }
}
