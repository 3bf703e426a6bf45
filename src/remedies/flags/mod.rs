//! What each engine's command line takes, by version: flags, values, defaults, and what must hold between them.
//!
//! The tables are `src/remedies/flags/*.toml`, read off the engines' own parsers and compiled in. [`check()`] is the gate
//! that every command passes before it is printed.

mod check;
pub mod format;

pub use check::{Circumstances, Problem, check};

include!(concat!(env!("OUT_DIR"), "/flags.rs"));

/// A range of versions, the end left out.
type Span = ([u32; 4], [u32; 4]);
/// A word, and the versions that it holds for.
type Ranged = (&'static str, [u32; 4], [u32; 4]);

/// What one program takes.
#[derive(Debug)]
pub struct Table {
    /// The engine, as in `deployment.engine`; or `docker`.
    pub engine: &'static str,
    /// The versions whose parsers were read, the oldest first.
    versions: &'static [[u32; 4]],
    /// The same, as they are written.
    names: &'static [&'static str],
    /// The first version that counts as recent.
    recent: [u32; 4],
    /// How words are read.
    pub parser: Parser,
    /// Images that run it.
    pub images: &'static [&'static str],
    /// The port on which it listens in its own image.
    pub port: u16,
    /// Environment variables beside those of flags.
    variables: &'static [Ranged],
    /// Its flags.
    pub flags: &'static [Flag],
    /// What must hold between flags.
    pub constraints: &'static [Constraint],
}

/// One flag.
#[derive(Debug)]
pub struct Flag {
    /// Its name, with the dashes; for an engine that is set by its environment, the variable.
    pub name: &'static str,
    kinds: &'static [(Kind, [u32; 4], [u32; 4])],
    spans: &'static [Span],
    also: &'static [Ranged],
    values: &'static [Ranged],
    defaults: &'static [Ranged],
    assumed: &'static [Ranged],
    /// The environment variable that stands for it; empty when there is none.
    pub env: &'static str,
}

/// What must hold between flags; see [`format::ConstraintEntry`].
#[derive(Debug)]
pub struct Constraint {
    /// Stable id.
    pub id: &'static str,
    from: [u32; 4],
    to: [u32; 4],
    when: &'static [&'static str],
    then: &'static [&'static str],
    below: Option<(&'static str, &'static str)>,
    at_most: Option<(&'static str, &'static str)>,
    capability: Option<(u32, u32)>,
    divides_heads: &'static str,
    /// What is wrong when it does not hold.
    pub says: &'static str,
}

/// How a program reads its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parser {
    /// Rust's clap: no abbreviations, a flag once.
    Clap,
    /// Python's argparse: unambiguous beginnings of names count, the last of several wins.
    Argparse,
    /// The same, and `_` counts as `-` in names.
    ArgparseUnderscores,
    /// llama.cpp's own: no `--flag=value`.
    Llama,
    /// Docker's: single letters may be joined.
    Docker,
    /// The program takes no flags; environment variables and parameters set it.
    None,
}

/// What a flag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A text, or nothing.
    OptionalText,
    /// A whole number.
    Integer,
    /// A whole number that is not negative.
    Unsigned,
    /// A whole number, perhaps with a suffix (`32k`).
    Count,
    /// The same, or `auto`.
    CountOrAuto,
    /// A number.
    Number,
    /// A number above 0 and at most 1.
    Fraction,
    /// Nothing.
    Switch,
    /// Nothing; `--no-…` turns it off.
    Negatable,
    /// `true` or `false`, or nothing.
    Truth,
    /// A JSON object.
    Json,
    /// One or several words.
    List,
    /// One or several whole numbers.
    Numbers,
    /// `name=number`, with commas between several.
    Pairs,
    /// Whole numbers, separated by commas.
    Integers,
    /// One word; the flag may be given several times.
    Repeated,
}

impl Kind {
    /// True when it takes several words.
    pub fn is_list(self) -> bool {
        matches!(self, Kind::List | Kind::Numbers)
    }
}

/// A version of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version([u32; 4]);

impl Version {
    /// Later than any release.
    pub const LATEST: Version = Version([u32::MAX - 1, 0, 0, 0]);

    /// `2.4.1`, `v0.8.5.post1`, `b5180`; nothing for words such as `latest`.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(['v', 'b']).unwrap_or(text);
        digits.starts_with(|c: char| c.is_ascii_digit()).then(|| format::numbers(text).map(Version)).flatten()
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [major, minor, patch, post] = self.0;
        write!(f, "{major}.{minor}.{patch}")?;
        if post > 0 { write!(f, ".post{}", post - 1) } else { Ok(()) }
    }
}

fn holds(version: Version, from: [u32; 4], to: [u32; 4]) -> bool {
    from <= version.0 && version.0 < to
}

fn words(ranged: &'static [Ranged], version: Version) -> impl Iterator<Item = &'static str> {
    ranged.iter().filter(move |(_, from, to)| holds(version, *from, *to)).map(|(word, ..)| *word)
}

impl Flag {
    /// True when the version has it.
    pub fn is_in(&self, version: Version) -> bool {
        self.spans.is_empty() || self.spans.iter().any(|&(from, to)| holds(version, from, to))
    }

    /// What it takes in a version.
    pub fn kind(&self, version: Version) -> Kind {
        let found = self.kinds.iter().find(|(_, from, to)| holds(version, *from, *to));
        found.or(self.kinds.last()).map_or(Kind::Text, |(kind, ..)| *kind)
    }

    /// Its other spellings in a version.
    pub fn also(&self, version: Version) -> impl Iterator<Item = &'static str> {
        words(self.also, version)
    }

    /// The values that it allows in a version; empty when it takes any.
    pub fn values(&self, version: Version) -> Vec<&'static str> {
        let values: Vec<&str> = words(self.values, version).collect();
        if values.contains(&"*") { Vec::new() } else { values }
    }

    /// Its default in a version.
    pub fn default(&self, version: Version) -> Option<&'static str> {
        words(self.defaults, version).next()
    }

    /// What is in force when it is not given.
    pub fn assumed(&self, version: Version) -> Option<&'static str> {
        words(self.assumed, version).next().or_else(|| self.default(version))
    }

    /// True when `word` is one of its spellings in any version.
    fn is_called(&self, word: &str) -> bool {
        self.name == word || self.also.iter().any(|(also, ..)| *also == word)
    }

    /// True when its value is a secret.
    pub fn is_secret(&self) -> bool {
        ["api-key", "hf-token", "authtoken", "password", "hf_token"].iter().any(|part| self.name.contains(part)) && !self.name.ends_with("-file")
    }
}

/// A flag as it was found under a spelling.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    /// The flag.
    pub flag: &'static Flag,
    /// True for the `--no-…` form.
    pub negative: bool,
}

impl Table {
    /// The table of an engine, or of `docker`.
    pub fn of(engine: &str) -> Option<&'static Table> {
        TABLES.iter().find(|table| table.engine == engine)
    }

    /// The engine that an image runs, by the repository that it comes from.
    pub fn of_image(image: &str) -> Option<&'static Table> {
        let repository = repository(image);
        TABLES.iter().find(|table| table.images.contains(&repository))
    }

    /// The flag of exactly this name. They are sorted by it.
    fn named(&self, word: &str) -> Option<&'static Flag> {
        let at = self.flags.partition_point(|flag| flag.name < word);
        self.flags.get(at).filter(|flag| flag.name == word)
    }

    /// The flag that a word spells: by its name, another spelling, its `--no-` form, or an unambiguous beginning.
    pub fn find(&self, word: &str) -> Option<Found> {
        let normal;
        let word = if self.parser == Parser::ArgparseUnderscores && word.starts_with("--") {
            let (name, rest) = word.split_at(word.find('.').unwrap_or(word.len()));
            normal = format!("{}{rest}", name.replace('_', "-"));
            normal.as_str()
        } else {
            word
        };
        let positive = |flag: &'static Flag| Found { flag, negative: false };
        if let Some(flag) = self.named(word).or_else(|| self.flags.iter().find(|flag| flag.is_called(word))) {
            return Some(positive(flag));
        }
        if let Some(rest) = word.strip_prefix("--no-") {
            let off = self
                .flags
                .iter()
                .find(|flag| flag.name.strip_prefix("--") == Some(rest) && flag.kinds.iter().any(|(kind, ..)| *kind == Kind::Negatable));
            if let Some(flag) = off {
                return Some(Found { flag, negative: true });
            }
        }
        // `--speculative-config.method x`
        if self.parser == Parser::ArgparseUnderscores
            && let Some((name, _)) = word.split_once('.')
            && let Some(flag) = self.flags.iter().find(|flag| flag.is_called(name) && flag.kinds.iter().any(|(kind, ..)| *kind == Kind::Json))
        {
            return Some(positive(flag));
        }
        if matches!(self.parser, Parser::Argparse | Parser::ArgparseUnderscores) && word.len() > 4 && word.starts_with("--") {
            let mut begun = self.flags.iter().filter(|flag| flag.name.starts_with(word));
            if let (Some(flag), None) = (begun.next(), begun.next()) {
                return Some(positive(flag));
            }
        }
        None
    }

    /// The flag that an environment variable stands for.
    pub fn of_variable(&self, name: &str) -> Option<&'static Flag> {
        self.flags.iter().find(|flag| !flag.env.is_empty() && flag.env == name || self.parser == Parser::None && flag.name == name)
    }

    /// True when the program reads an environment variable, in any version.
    pub fn reads(&self, name: &str) -> bool {
        self.of_variable(name).is_some() || self.variables.iter().any(|(known, ..)| *known == name)
    }

    /// True when a version reads an environment variable, as far as is known.
    fn reads_in(&self, name: &str, version: Version) -> bool {
        let mut known = self.variables.iter().filter(|(known, ..)| *known == name).peekable();
        known.peek().is_none() || known.any(|(_, from, to)| holds(version, *from, *to))
    }

    /// The versions that something must hold for: the given one, or, where that is not known, all recent ones.
    pub fn versions(&self, version: Option<&str>) -> Vec<Version> {
        match version.and_then(Version::parse) {
            Some(version) => vec![version],
            None => self.versions.iter().filter(|v| **v >= self.recent).map(|v| Version(*v)).collect(),
        }
    }

    /// The newest version that was read.
    pub fn newest(&self) -> Option<(Version, &'static str)> {
        Some((Version(*self.versions.last()?), self.names.last()?))
    }

    /// The newest version whose parser has exactly these names (for a dump of everything that a parser knows): the names
    /// in `snake_case` as the dump prints them.
    pub fn version_of_dump(&self, names: &[&str]) -> Option<&'static str> {
        let flags: Vec<(&Flag, String)> =
            self.flags.iter().filter(|f| f.name.starts_with("--")).map(|flag| (flag, flag.name.trim_start_matches('-').replace('-', "_"))).collect();
        let known = |name: &str| flags.iter().find(|(_, snake)| snake == name).map(|(flag, _)| *flag);
        let fits = |version: Version| {
            names.iter().all(|name| known(name).is_some_and(|flag| flag.is_in(version)))
                && flags
                    .iter()
                    .filter(|(flag, snake)| flag.is_in(version) && !matches!(snake.as_str(), "help" | "version"))
                    .all(|(_, snake)| names.contains(&snake.as_str()))
        };
        self.versions.iter().zip(self.names).rev().find(|(version, _)| fits(Version(**version))).map(|(_, name)| *name)
    }
}

/// An image without its registry's default names, its tag and its digest.
pub fn repository(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    let image = match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => image,
    };
    image.strip_prefix("docker.io/").unwrap_or(image)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered() {
        let v = |text| Version::parse(text);
        assert!(v("0.6.6") < v("0.6.6.post1") && v("v0.6.6.post1") < v("0.7.0") && v("0.9.2") < v("0.10.0") && v("b5180") < v("b11434"));
        assert_eq!(v("0.11.1.dev12+gabc"), v("0.11.1"));
        assert_eq!((v("latest"), v("sha-123"), v("vllm")), (None, None, None));
        assert_eq!(v("0.8.5.post1").map(|v| v.to_string()).as_deref(), Some("0.8.5.post1"));
    }

    #[test]
    fn every_table_is_consistent() {
        for table in TABLES {
            assert!(!table.versions.is_empty() || table.parser == Parser::Docker, "{}", table.engine);
            assert!(table.versions.is_sorted(), "{}", table.engine);
            for (at, flag) in table.flags.iter().enumerate() {
                assert!(!table.flags[..at].iter().any(|other| other.is_called(flag.name)), "{}: {} twice", table.engine, flag.name);
                assert!(!flag.kinds.is_empty(), "{}: {}", table.engine, flag.name);
                for version in table.versions.iter().map(|v| Version(*v)).filter(|v| flag.is_in(*v)) {
                    let values = flag.values(version);
                    if let Some(default) = flag.default(version).filter(|_| !values.is_empty()) {
                        assert!(values.contains(&default), "{} {version}: the default of {} is not allowed", table.engine, flag.name);
                    }
                }
            }
            for constraint in table.constraints {
                let compared = constraint.below.iter().chain(&constraint.at_most).flat_map(|(a, b)| [*a, *b]);
                let conditions = constraint.when.iter().chain(constraint.then).map(|c| c.trim_start_matches('!').split('=').next().unwrap_or(""));
                for name in compared.chain(conditions).filter(|name| name.starts_with('-')) {
                    assert!(table.flags.iter().any(|flag| flag.name == name), "{}: {} names {name}", table.engine, constraint.id);
                }
            }
        }
    }

    #[test]
    fn flags_are_found_by_any_spelling() {
        let vllm = Table::of("vllm").unwrap();
        let name = |word| vllm.find(word).map(|found| (found.flag.name, found.negative));
        assert_eq!(name("-tp"), Some(("--tensor-parallel-size", false)));
        assert_eq!(name("--max_model_len"), Some(("--max-model-len", false)));
        assert_eq!(name("--no-enable-prefix-caching"), Some(("--enable-prefix-caching", true)));
        assert_eq!(name("--kv-cache-memory"), Some(("--kv-cache-memory-bytes", false)));
        assert_eq!(name("--speculative-config.method"), Some(("--speculative-config", false)));
        assert_eq!(name("--quantize"), None);
        let tgi = Table::of("tgi").unwrap();
        assert_eq!(tgi.of_variable("MAX_TOTAL_TOKENS").map(|flag| flag.name), Some("--max-total-tokens"));
        assert!(tgi.find("--max-total").is_none());
    }

    #[test]
    fn images_tell_the_engine() {
        let engine = |image| Table::of_image(image).map(|table| table.engine);
        assert_eq!(engine("ghcr.io/huggingface/text-generation-inference:2.4.1"), Some("tgi"));
        assert_eq!(engine("docker.io/vllm/vllm-openai@sha256:00"), Some("vllm"));
        assert_eq!(engine("evil.example/vllm/vllm-openai:latest"), None);
        assert_eq!(repository("localhost:5000/a/b"), "localhost:5000/a/b");
    }
}
