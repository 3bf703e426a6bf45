//! The last gate: nothing is printed that its engine would refuse.

use super::{Constraint, Flag, Kind, Parser, Table, Version, holds};
use crate::remedies::command::{Argument, Command, Form, Origin, Word};

/// What the command line does not tell, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// The lowest compute capability of the devices: `(8, 9)`.
    pub capability: Option<(u32, u32)>,
    /// Attention heads of the model.
    pub heads: Option<u64>,
    /// The context length in force where the command gives none.
    pub max_model_len: Option<u64>,
}

/// Why a command is not printed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// No version of the engine knows the flag.
    #[error("{flag} is no flag of {engine}")]
    UnknownFlag {
        /// The flag.
        flag: String,
        /// The engine.
        engine: String,
    },
    /// This version does not know it.
    #[error("{flag} is not in version {version}")]
    NotInVersion {
        /// The flag or the environment variable.
        flag: String,
        /// The version.
        version: String,
    },
    /// The flag wants a value.
    #[error("{flag} wants a value")]
    MissingValue {
        /// The flag.
        flag: String,
    },
    /// The flag takes no value.
    #[error("{flag} takes no value, but {value:?} is given")]
    UnwantedValue {
        /// The flag.
        flag: String,
        /// What is given.
        value: String,
    },
    /// The value is not what the flag takes.
    #[error("{value:?} is not what {flag} takes ({wanted})")]
    WrongType {
        /// The flag.
        flag: String,
        /// Its value.
        value: String,
        /// What it takes, in a word.
        wanted: &'static str,
    },
    /// The value is none of those allowed.
    #[error("{flag} does not allow {value:?}")]
    NotAllowed {
        /// The flag.
        flag: String,
        /// Its value.
        value: String,
    },
    /// The parser takes the flag only once.
    #[error("{flag} is given more than once")]
    Repeated {
        /// The flag.
        flag: String,
    },
    /// A word stands where the engine takes none.
    #[error("{word:?} belongs to no flag")]
    StrayWord {
        /// The word.
        word: String,
    },
    /// What must hold between flags does not.
    #[error("{says} ({constraint})")]
    Broken {
        /// Id of the constraint.
        constraint: &'static str,
        /// What is wrong.
        says: &'static str,
    },
    /// A word could mislead a reader or a shell.
    #[error("the value of {place} holds characters that do not belong into a command")]
    Unsafe {
        /// Where it stands.
        place: String,
    },
    /// The form of the command has no place for the change.
    #[error("{what} cannot be set in this form of command")]
    NotHere {
        /// What was to be set.
        what: String,
    },
    /// No command could be read.
    #[error("{0}")]
    Unreadable(String),
}

/// Everything that the engine would refuse; nothing when the command may be printed.
pub fn check(command: &Command, circumstances: &Circumstances) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Some(container) = &command.container
        && let Some(docker) = Table::of("docker")
    {
        arguments(docker, &container.options, &[Version::LATEST], &mut problems);
    }
    let Some(table) = command.table() else { return problems };
    let versions = versions_of(command, table);
    if command.program.takes_flags() {
        arguments(table, &command.arguments, &versions, &mut problems);
        stray_words(command, &mut problems);
    } else if table.parser == Parser::None && !command.program.takes_model() && command.form == Form::Shell {
        let words = command.arguments.iter().filter_map(|argument| argument.name.clone().or_else(|| argument.values.first().map(Word::plain)));
        problems.extend(words.map(|word| Problem::StrayWord { word }));
    }
    variables(command, table, &versions, &mut problems);
    for constraint in table.constraints {
        // Where the version is open, what was added must satisfy the rules of each.
        if versions.iter().any(|&version| is_broken(constraint, command, table, version, circumstances)) {
            problems.push(Problem::Broken { constraint: constraint.id, says: constraint.says });
        }
    }
    problems.dedup();
    problems
}

/// The versions that a command must be right for. Where none is known: of the recent ones, those that take all that the
/// user gave.
fn versions_of(command: &Command, table: &'static Table) -> Vec<Version> {
    let versions = table.versions(command.version.as_deref());
    if versions.len() < 2 {
        return versions;
    }
    let takes = |version: &Version| {
        let given = command.arguments.iter().filter(|argument| argument.origin == Origin::Given);
        given.filter_map(|argument| table.find(argument.name.as_deref()?)).all(|found| found.flag.is_in(*version))
    };
    let narrowed: Vec<Version> = versions.iter().copied().filter(takes).collect();
    if narrowed.is_empty() { versions } else { narrowed }
}

/// Words that belong to no flag, beside the model where the program takes it so.
fn stray_words(command: &Command, problems: &mut Vec<Problem>) {
    let mut allowed = usize::from(command.program.takes_model());
    for argument in command.arguments.iter().filter(|argument| argument.name.is_none()) {
        for word in &argument.values {
            if allowed == 0 {
                problems.push(Problem::StrayWord { word: word.plain() });
            }
            allowed = allowed.saturating_sub(1);
        }
    }
}

fn arguments(table: &'static Table, arguments: &[Argument], versions: &[Version], problems: &mut Vec<Problem>) {
    let mut seen: Vec<&str> = Vec::new();
    for argument in arguments {
        let Some(name) = argument.name.as_deref() else { continue };
        let Some(found) = table.find(name) else {
            let newer = versions.iter().all(|version| table.newest().is_some_and(|(newest, _)| *version > newest));
            // A flag that the user has in a version newer than the table may be new.
            if !(newer && argument.origin == Origin::Given) {
                problems.push(Problem::UnknownFlag { flag: name.to_owned(), engine: table.engine.to_owned() });
            }
            continue;
        };
        let flag = found.flag;
        if let Some(version) = versions.iter().find(|version| !is_spelled(table, flag, name, found.negative, **version)) {
            problems.push(Problem::NotInVersion { flag: name.to_owned(), version: version.to_string() });
            continue;
        }
        let kind = versions.last().map_or(Kind::Text, |version| flag.kind(*version));
        if table.parser == Parser::Clap && kind != Kind::Repeated && seen.contains(&flag.name) {
            problems.push(Problem::Repeated { flag: flag.name.to_owned() });
        }
        seen.push(flag.name);
        for version in versions {
            let before = problems.len();
            value(argument, name, flag, found.negative, *version, problems);
            if problems.len() > before {
                break;
            }
        }
    }
}

/// True when a version knows the flag under this spelling.
fn is_spelled(table: &Table, flag: &Flag, word: &str, negative: bool, version: Version) -> bool {
    if !flag.is_in(version) {
        return false;
    }
    if negative {
        return flag.kind(version) == Kind::Negatable;
    }
    let other = flag.is_called(word) && flag.name != word;
    !other || flag.also(version).any(|also| also == word) || table.parser == Parser::Docker
}

fn value(argument: &Argument, name: &str, flag: &Flag, negative: bool, version: Version, problems: &mut Vec<Problem>) {
    let kind = flag.kind(version);
    let values: Vec<String> = argument.values.iter().map(|word| word.plain()).collect();
    let open = argument.values.iter().any(|word| word.has_variable());
    if negative || matches!(kind, Kind::Switch | Kind::Negatable) {
        if let Some(value) = values.first() {
            problems.push(Problem::UnwantedValue { flag: name.to_owned(), value: value.clone() });
        }
        return;
    }
    let Some(first) = values.first() else {
        if !matches!(kind, Kind::Truth | Kind::OptionalText) && !kind.is_list() {
            problems.push(Problem::MissingValue { flag: name.to_owned() });
        }
        return;
    };
    if values.len() > 1 && !kind.is_list() {
        problems.push(Problem::UnwantedValue { flag: name.to_owned(), value: values.get(1).cloned().unwrap_or_default() });
        return;
    }
    // What a variable will hold is not known.
    if open {
        return;
    }
    let dotted = kind == Kind::Json && name.contains('.');
    for value in &values {
        let (right, wanted) = match kind {
            _ if dotted => (true, ""),
            Kind::Integer => (value.parse::<i64>().is_ok(), "a whole number"),
            Kind::Unsigned => (value.parse::<u64>().is_ok(), "a whole number that is not negative"),
            Kind::Count => (is_count(value), "a whole number, perhaps with k, M or the like"),
            Kind::CountOrAuto => (value == "auto" || is_count(value), "a whole number, perhaps with k, M or the like, or auto"),
            Kind::Number => (value.parse::<f64>().is_ok_and(f64::is_finite), "a number"),
            Kind::Fraction => (value.parse::<f64>().is_ok_and(|v| v > 0.0 && v <= 1.0), "a number above 0 and at most 1"),
            Kind::Truth => (matches!(value.to_ascii_lowercase().as_str(), "true" | "false"), "true or false"),
            Kind::Json => (serde_json::from_str::<serde_json::Value>(value).is_ok(), "JSON"),
            Kind::Numbers => (value.parse::<i64>().is_ok(), "whole numbers"),
            Kind::Pairs => (value.split(',').all(is_pair), "name=number"),
            Kind::Integers => (value.split(',').all(|part| part.parse::<u64>().is_ok()), "whole numbers with commas between them"),
            Kind::Text | Kind::OptionalText | Kind::List | Kind::Repeated => (!value.is_empty(), "a text"),
            Kind::Switch | Kind::Negatable => (true, ""),
        };
        if !right {
            problems.push(Problem::WrongType { flag: name.to_owned(), value: value.clone(), wanted });
            return;
        }
    }
    let allowed = flag.values(version);
    if !allowed.is_empty() && !allowed.contains(&first.as_str()) {
        problems.push(Problem::NotAllowed { flag: name.to_owned(), value: first.clone() });
    }
}

/// `image=4`
fn is_pair(text: &str) -> bool {
    text.split_once('=').is_some_and(|(name, number)| !name.is_empty() && number.trim().parse::<i64>().is_ok())
}

/// `4096`, `32k`, `1.5M`, `-1`.
fn is_count(text: &str) -> bool {
    let digits = text.strip_suffix(['k', 'K', 'm', 'M', 'g', 'G']).unwrap_or(text);
    text.parse::<i64>().is_ok() || digits.parse::<f64>().is_ok_and(|n| n.is_finite() && n >= 0.0) && digits != text
}

/// The variables that stand for flags take what the flags take, and no version reads what it no longer knows.
fn variables(command: &Command, table: &'static Table, versions: &[Version], problems: &mut Vec<Problem>) {
    for variable in &command.environment {
        if let Some(flag) = table.of_variable(&variable.name) {
            for version in versions {
                if !flag.is_in(*version) {
                    // Nothing refuses it, but what was added would do nothing.
                    if variable.origin == Origin::Added {
                        problems.push(Problem::NotInVersion { flag: variable.name.clone(), version: version.to_string() });
                    }
                    break;
                }
                let Some(word) = variable.value.as_ref().filter(|_| !matches!(flag.kind(*version), Kind::Switch | Kind::Negatable)) else { break };
                let as_argument = Argument { name: None, values: vec![word.clone()], joined: false, origin: variable.origin };
                let before = problems.len();
                value(&as_argument, &variable.name, flag, false, *version, problems);
                if problems.len() > before {
                    break;
                }
            }
        } else if variable.origin == Origin::Added
            && let Some(version) = versions.iter().find(|version| !table.reads_in(&variable.name, **version))
        {
            problems.push(Problem::NotInVersion { flag: variable.name.clone(), version: version.to_string() });
        }
    }
}

fn is_broken(rule: &Constraint, command: &Command, table: &'static Table, version: Version, circumstances: &Circumstances) -> bool {
    if !holds(version, rule.from, rule.to) || !rule.when.iter().all(|condition| is_met(condition, command)) {
        return false;
    }
    if !rule.then.is_empty() && !rule.then.iter().any(|condition| is_met(condition, command)) {
        return true;
    }
    let amount = |name: &str| {
        let assumed = || table.find(name).and_then(|found| found.flag.assumed(version)).map(str::to_owned);
        let known = || if name == "--max-model-len" { circumstances.max_model_len.map(|n| n.to_string()) } else { None };
        command.value_of(name).or_else(known).or_else(assumed).and_then(|value| number(&value))
    };
    let compared = |pair: Option<(&str, &str)>| pair.and_then(|(left, right)| Some((amount(left)?, amount(right)?)));
    if compared(rule.below).is_some_and(|(left, right)| left >= right) || compared(rule.at_most).is_some_and(|(left, right)| left > right) {
        return true;
    }
    if let (Some(needed), Some(there)) = (rule.capability, circumstances.capability)
        && there < needed
    {
        return true;
    }
    let divisor = (!rule.divides_heads.is_empty()).then(|| amount(rule.divides_heads)).flatten();
    if let (Some(divisor), Some(heads)) = (divisor, circumstances.heads) {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let divisor = divisor as u64;
        return divisor > 0 && !heads.is_multiple_of(divisor);
    }
    false
}

fn is_met(condition: &str, command: &Command) -> bool {
    if let Some(condition) = condition.strip_prefix('!') {
        return !is_met(condition, command);
    }
    let (name, wanted) = condition.split_once('=').map_or((condition, None), |(name, wanted)| (name, Some(wanted)));
    match (command.value_of(name), wanted) {
        (Some(value), Some(wanted)) => wanted.split('|').any(|wanted| wanted == value),
        (Some(value), None) => value != "false",
        (None, _) => false,
    }
}

/// `4096`, `32k` (thousands), `32K` (1024s).
fn number(text: &str) -> Option<f64> {
    let scale = match text.chars().next_back()? {
        'k' => 1e3,
        'K' => 1024.0,
        'm' => 1e6,
        'M' => 1_048_576.0,
        'g' => 1e9,
        'G' => 1_073_741_824.0,
        _ => return text.parse().ok().filter(|n: &f64| n.is_finite() && *n >= 0.0),
    };
    text.get(..text.len() - 1)?.parse::<f64>().ok().map(|n| n * scale)
}
