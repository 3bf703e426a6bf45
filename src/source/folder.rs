//! Folders to inputs.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Input, SourceError, open};

/// How deep folders may lie in each other.
const DEEPEST: usize = 64;

/// Turns what a person named into inputs: `-` is standard input, a folder stands for every log in it, at any depth,
/// sorted by name. Hidden files are left out, as is what is not a log; a folder without any log is an error.
pub fn expand(paths: &[PathBuf]) -> (Vec<Input>, Vec<SourceError>) {
    let mut inputs = Vec::new();
    let mut errors = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            inputs.push(Input::Stdin);
            continue;
        }
        match fs::metadata(path) {
            Err(error) => errors.push(SourceError::opening(path, error)),
            Ok(metadata) if metadata.is_dir() => {
                let (found, failed) = (inputs.len(), errors.len());
                Walk { seen: HashSet::new(), inputs: &mut inputs, errors: &mut errors }.folder(path, 0);
                if inputs.len() == found && errors.len() == failed {
                    errors.push(SourceError::NoLogs { path: path.clone() });
                }
            }
            Ok(_) => inputs.push(Input::Path(path.clone())),
        }
    }
    (inputs, errors)
}

struct Walk<'a> {
    /// Folders that were entered, by their real path: links may lead back.
    seen: HashSet<PathBuf>,
    inputs: &'a mut Vec<Input>,
    errors: &'a mut Vec<SourceError>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, depth: usize) {
        let real = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_path_buf());
        if depth > DEEPEST || !self.seen.insert(real) {
            return;
        }
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => return self.errors.push(SourceError::opening(folder, error)),
        };
        let mut paths: Vec<PathBuf> = entries
            .filter_map(Result::ok)
            .filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."))
            .map(|entry| entry.path())
            .collect();
        paths.sort();
        for path in paths {
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => self.folder(&path, depth + 1),
                Ok(metadata) if metadata.is_file() => self.file(path),
                // Pipes and devices would block; a link to nowhere has nothing to say.
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => self.errors.push(SourceError::opening(&path, error)),
            }
        }
    }

    fn file(&mut self, path: PathBuf) {
        let input = Input::Path(path);
        match open(&input) {
            Ok(_) => self.inputs.push(input),
            Err(SourceError::NotALog { .. } | SourceError::Empty { .. }) => {}
            Err(error) => self.errors.push(error),
        }
    }
}
