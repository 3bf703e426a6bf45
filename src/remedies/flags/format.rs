//! The form of the flag tables (`src/remedies/flags/*.toml`), shared with the build script.

use serde::Deserialize;

/// A table: what one engine's command line takes, by version.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct File {
    /// The engine's name, as in `deployment.engine`.
    pub engine: String,
    /// The versions whose parsers were read, the oldest first, separated by spaces.
    pub versions: String,
    /// Where the version is not known, what is added must hold in every version from this one on.
    pub recent: String,
    /// How the engine's parser reads words: `clap`, `argparse`, `argparse-underscores`, `llama`, `docker` or `none`.
    pub parser: String,
    /// Container images that run it, without tags.
    #[serde(default)]
    pub images: Vec<String>,
    /// The port on which it listens in its own image.
    #[serde(default)]
    pub port: u16,
    /// Environment variables that it reads beside those that stand for a flag.
    #[serde(default)]
    pub variables: String,
    /// Its flags.
    #[serde(default)]
    pub flags: Vec<FlagEntry>,
    /// What must hold between flags.
    #[serde(default)]
    pub constraint: Vec<ConstraintEntry>,
}

/// A flag. Words in `kind`, `also`, `values`, `default` and `assumed` may be limited to versions: `fp8@2.0.0..` holds
/// from 2.0.0 on, `switch@..0.8.0` before 0.8.0, `x@1.0.0..2.0.0` from 1.0.0 to before 2.0.0.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FlagEntry {
    /// Its long name, with the dashes.
    pub name: String,
    /// What it takes; the words are those of `Kind`.
    pub kind: String,
    /// Versions that have it, as ranges; all of them when absent.
    #[serde(default)]
    pub versions: String,
    /// Other spellings.
    #[serde(default)]
    pub also: String,
    /// The values that it allows; `*` stands for any.
    #[serde(default)]
    pub values: String,
    /// Its default as the parser has it.
    #[serde(default)]
    pub default: String,
    /// What is in force when it is not given and the parser has no default.
    #[serde(default)]
    pub assumed: String,
    /// The environment variable that stands for it.
    #[serde(default)]
    pub env: String,
}

/// What must hold between flags. A condition is `--flag` (given), `--flag=a|b` (has one of these values), `NAME=a|b`
/// (an environment variable), or one of these after `!`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ConstraintEntry {
    /// Stable id.
    pub id: String,
    /// Versions for which it holds, as a range.
    #[serde(default)]
    pub versions: String,
    /// It applies when all of these hold.
    #[serde(default)]
    pub when: Vec<String>,
    /// One of these must hold.
    #[serde(default)]
    pub then: Vec<String>,
    /// The first flag's value must be below the second's.
    #[serde(default)]
    pub below: Vec<String>,
    /// The first flag's value must be at most the second's.
    #[serde(default)]
    pub at_most: Vec<String>,
    /// The compute capability that a device must have.
    #[serde(default)]
    pub capability: String,
    /// The flag whose value must divide the model's attention heads.
    #[serde(default)]
    pub divides_heads: String,
    /// What is wrong otherwise, as a sentence without its full stop.
    pub says: String,
}

/// The numbers of a version: release, and how many times it was posted again. `b5180` is `[5180, 0, 0, 0]`.
pub fn numbers(text: &str) -> Option<[u32; 4]> {
    let text = text.strip_prefix(['v', 'b']).unwrap_or(text);
    let mut numbers = [0; 4];
    let (release, rest) = text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()));
    let mut parts = release.trim_end_matches('.').split('.');
    for slot in numbers.iter_mut().take(3) {
        match parts.next() {
            Some(part) => *slot = part.parse().ok()?,
            None => break,
        }
    }
    if let Some(again) = parts.next() {
        numbers[3] = again.parse().ok()?;
    }
    if let Some(post) = rest.trim_start_matches(['.', '-', '_']).strip_prefix("post") {
        let digits = post.find(|c: char| !c.is_ascii_digit()).map_or(post, |end| &post[..end]);
        numbers[3] = digits.parse::<u32>().unwrap_or(0) + 1;
    }
    Some(numbers)
}

/// A range of versions: `1.0.0..2.0.0`, `..2.0.0`, `1.0.0..`.
pub fn range(text: &str) -> Option<([u32; 4], [u32; 4])> {
    let (from, to) = text.split_once("..")?;
    let from = if from.is_empty() { [0; 4] } else { numbers(from)? };
    let to = if to.is_empty() { [u32::MAX; 4] } else { numbers(to)? };
    Some((from, to))
}
