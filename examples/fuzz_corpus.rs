//! The inputs of the fuzz targets. `cargo run --example fuzz_corpus -- unpack` writes seeds and kept inputs to
//! `fuzz/corpus/TARGET/`, where `cargo fuzz` looks for them; `-- pack` keeps what is there (run `cargo fuzz cmin` before).
//! `-- targets` lists the targets.

#![allow(clippy::print_stdout)]

#[path = "../fuzz/corpus.rs"]
mod corpus;
#[path = "../fuzz/seeds.rs"]
mod seeds;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::{env, fs, io};

/// Inputs that are kept of a target, the shortest: the tests run all of them.
const MOST: usize = 400;

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut targets: Vec<String> = fs::read_dir(root.join("fuzz/fuzz_targets"))?
        .filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_string_lossy().into_owned()))
        .collect();
    targets.sort();
    let what = env::args().nth(1).unwrap_or_default();
    for target in &targets {
        let folder = root.join("fuzz/corpus").join(target);
        match what.as_str() {
            "targets" => println!("{target}"),
            "unpack" => {
                fs::create_dir_all(&folder)?;
                for input in seeds::of(target, root).into_iter().chain(corpus::kept(target, root)?) {
                    let mut hasher = DefaultHasher::new();
                    input.hash(&mut hasher);
                    fs::write(folder.join(format!("{:016x}", hasher.finish())), input)?;
                }
            }
            "pack" => {
                let seeds = seeds::of(target, root);
                let mut inputs = fs::read_dir(&folder)?.map(|entry| fs::read(entry?.path())).collect::<io::Result<Vec<_>>>()?;
                inputs.retain(|input| !seeds.contains(input));
                inputs.sort_by_key(Vec::len);
                inputs.truncate(MOST);
                corpus::keep(target, root, inputs)?;
            }
            _ => return Err(io::Error::other("say `targets`, `unpack` or `pack`")),
        }
    }
    Ok(())
}
