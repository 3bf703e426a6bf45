//! Why an input cannot be read, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use miette::Diagnostic;
use thiserror::Error;

/// Why an input cannot be read.
#[derive(Debug, Error, Diagnostic)]
pub enum SourceError {
    /// There is no such file.
    #[error("there is no file {}", path.display())]
    #[diagnostic(code(oomdoc::input::not_found), help("{}", did_you_mean(path, near)))]
    NotFound {
        /// The path as given.
        path: PathBuf,
        /// Names in the same folder that look like it, best first.
        near: Vec<String>,
    },
    /// The file may not be read.
    #[error("{} may not be read: permission denied", path.display())]
    #[diagnostic(
        code(oomdoc::input::permission),
        help("Make it readable, or pass it on: `sudo cat {} | oomdoc analyze -`.", path.display())
    )]
    Permission {
        /// The path as given.
        path: PathBuf,
    },
    /// A folder was opened as a file.
    #[error("{} is a folder", path.display())]
    #[diagnostic(code(oomdoc::input::directory), help("Name the log files in it."))]
    Directory {
        /// The path as given.
        path: PathBuf,
    },
    /// There is no log anywhere in a folder.
    #[error("there is no log in the folder {}", path.display())]
    #[diagnostic(
        code(oomdoc::input::no_logs),
        help("Hidden files, empty files and files that are not text are left out. Name the file itself to see why it is not read.")
    )]
    NoLogs {
        /// The folder as given.
        path: PathBuf,
    },
    /// The input is of another kind.
    #[error("{name} is not a log: it looks like {what}")]
    #[diagnostic(
        code(oomdoc::input::not_a_log),
        help(
            "Text is read, also when it is compressed with gzip, zstd, xz or bzip2. Unpack archives first; from a \
             container or a service take `docker logs NAME 2>&1`, `kubectl logs POD --previous` or `journalctl -u UNIT -o cat`."
        )
    )]
    NotALog {
        /// The input.
        name: String,
        /// What it seems to be, with its article: `a zip archive`.
        what: String,
    },
    /// There is nothing in it.
    #[error("{name} is empty")]
    #[diagnostic(
        code(oomdoc::input::empty),
        help(
            "Engines write their errors to standard error: collect it too (`docker logs NAME 2>&1`, `COMMAND > log 2>&1`). \
             After a restart the old log is at `kubectl logs POD --previous`."
        )
    )]
    Empty {
        /// The input.
        name: String,
    },
    /// Compressed data of which nothing at all could be unpacked.
    #[error("nothing of {name} could be unpacked: {what}")]
    #[diagnostic(code(oomdoc::input::damaged), help("Copy the file again and compare its size with the original's."))]
    Damaged {
        /// The input.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// Reading failed.
    #[error("{name} could not be read: {error}")]
    #[diagnostic(code(oomdoc::input::io), help("The operating system refused to read on. Copy the file to a local disk and try again."))]
    Io {
        /// The input.
        name: String,
        /// What the operating system says.
        error: io::Error,
    },
}

impl SourceError {
    /// Explains why a file could not be opened.
    pub(super) fn opening(path: &Path, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound { path: path.to_path_buf(), near: similar_names(path) },
            io::ErrorKind::PermissionDenied => Self::Permission { path: path.to_path_buf() },
            _ => Self::Io { name: path.display().to_string(), error },
        }
    }
}

fn did_you_mean(path: &Path, near: &[String]) -> String {
    if !near.is_empty() {
        return format!("In that folder there is {}.", near.join(", "));
    }
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.exists() => {
            format!("The folder {} does not exist either.", folder.display())
        }
        _ => "Check the path; `-` reads standard input.".to_owned(),
    }
}

/// Names in the folder of a missing file that are near to its name, at most three.
fn similar_names(path: &Path) -> Vec<String> {
    let Some(wanted) = path.file_name().map(|n| n.to_string_lossy().to_lowercase()) else { return Vec::new() };
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut near: Vec<(usize, String)> = entries
        .take(10_000)
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let lower = name.to_lowercase();
            let distance =
                if lower.starts_with(&wanted) || wanted.starts_with(&lower) && lower.len() > 3 { 1 } else { edit_distance(&lower, &wanted) };
            (distance <= 1 + wanted.chars().count() / 4).then_some((distance, name))
        })
        .collect();
    near.sort();
    near.truncate(3);
    near.into_iter().map(|(_, name)| name).collect()
}

/// Levenshtein's distance, in characters.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
