//! Changing a command.

use super::read::table_of_image;
use super::word::{is_secret_text, is_variable};
use super::{Argument, Command, Form, Origin, Variable, Word};
use crate::remedies::flags::{Flag, Kind, Parser, Problem, Table, Version};

pub use crate::post_mortem::Change;

/// Flags that are one setting under two names, by version: where the second is in use, it is the one to change.
const SAME: [(&str, &str, &str); 1] = [("tgi", "--max-input-tokens", "--max-input-length")];

/// The variable of the hub's token.
const TOKEN: &str = "HF_TOKEN";
/// The same in older software.
const OLD_TOKEN: &str = "HUGGING_FACE_HUB_TOKEN";

impl Command {
    /// The command with changes: a flag is set or, with no value, removed, under the spelling that the command has; where a
    /// variable sets it, the variable is changed. `model` and `image` name what they say; names in capitals are environment
    /// variables; what only the container knows (`--shm-size`) goes in front of the image.
    ///
    /// The changes come back with the values before.
    ///
    /// # Errors
    /// When a flag is unknown, the command has no place for it, or a value looks like a secret. What else a value must not
    /// hold is checked when it is printed.
    pub fn with(&self, changes: &[Change]) -> Result<(Command, Vec<Change>), Problem> {
        let mut command = self.clone();
        let mut done = Vec::new();
        for change in changes {
            let to = change.to.as_deref();
            if to.is_some_and(is_secret_text) {
                return Err(Problem::Unsafe { place: change.flag.clone() });
            }
            let (flag, from) = command.apply(&change.flag, to)?;
            if from.as_deref() != to {
                done.push(Change { flag, from, to: change.to.clone() });
            }
        }
        Ok((command, done))
    }

    /// The command with the hub's token handed through from the environment. None if it is already.
    pub fn with_token(&self) -> Option<Command> {
        if self.token().is_some() {
            return None;
        }
        // TGI's router reads the new name from 2.1 on.
        let early = Version::parse("2.1.0").zip(self.version.as_deref().and_then(Version::parse)).is_some_and(|(from, version)| version < from);
        let name = if self.engine.as_deref() == Some("tgi") && early { OLD_TOKEN } else { TOKEN };
        let mut command = self.clone();
        command.environment.push(Variable { name: name.to_owned(), value: None, origin: Origin::Added });
        Some(command)
    }

    /// The variable that hands the hub's token through.
    pub fn token(&self) -> Option<&str> {
        let names = [TOKEN, OLD_TOKEN, "HUGGINGFACE_HUB_TOKEN"];
        self.environment.iter().map(|variable| variable.name.as_str()).find(|name| names.contains(name))
    }

    /// The command with a flag that no engine knows under the name that was meant. None if it does not have it.
    pub fn renamed(&self, wrong: &str, meant: &str) -> Option<Command> {
        let mut command = self.clone();
        let argument = command.arguments.iter_mut().find(|argument| argument.name.as_deref() == Some(wrong))?;
        argument.name = Some(meant.to_owned());
        argument.origin = Origin::Added;
        Some(command)
    }

    /// The command with a start-up probe on the port that it listens on, where it is a container of Kubernetes.
    pub fn with_startup_probe(&self, port: Option<u64>) -> Option<Command> {
        let mut command = self.clone();
        let usual = self.table().map(|table| u64::from(table.port));
        let Form::Kubernetes(place) = &mut command.form else { return None };
        place.startup_probe = Some(port.or(usual).filter(|port| *port > 0)?);
        Some(command)
    }

    /// Applies one change; gives the name under which it was made, and the value before.
    fn apply(&mut self, flag: &str, to: Option<&str>) -> Result<(String, Option<String>), Problem> {
        if flag == "image" {
            let container = self.container.as_mut().ok_or_else(|| Problem::NotHere { what: "an image".to_owned() })?;
            let before = container.image.plain();
            let to = to.ok_or_else(|| Problem::MissingValue { flag: "image".to_owned() })?;
            // What the image runs is named nowhere else.
            let engine = |image: &str| table_of_image(image).map(|table| table.engine);
            if self.program.words.is_empty() && engine(to) != self.engine.as_deref() {
                return Err(Problem::NotHere { what: "an image of another engine".to_owned() });
            }
            container.image = Word::text(to);
            let program = std::mem::take(&mut self.program);
            self.version = None;
            if let Some(tag) = container.image.plain().rsplit_once(':').map(|(_, tag)| tag.to_owned()) {
                self.version =
                    Version::parse(&tag).is_some().then(|| tag.trim_start_matches('v').split(['-', '_']).next().unwrap_or_default().to_owned());
            }
            self.program = program;
            return Ok(("image".to_owned(), Some(before)));
        }
        let table = self.table();
        let wanted = if flag == "model" { self.model_flag().unwrap_or(flag) } else { flag };
        if let Some(found) = table.and_then(|table| table.find(wanted)) {
            return self.apply_flag(found.flag, to);
        }
        if let Some(docker) = Table::of("docker")
            && let Some(found) = docker.find(flag)
        {
            return self.apply_option(found.flag, to);
        }
        if is_variable(flag) && flag.bytes().all(|b| !b.is_ascii_lowercase()) {
            return Ok(self.apply_variable(flag, to));
        }
        // A script's own flag, where it has it already.
        if self.engine.is_none()
            && let Some(at) = self.arguments.iter().position(|argument| argument.values.first().is_some_and(|word| word.plain() == flag))
        {
            return self.apply_word(at, flag, to);
        }
        Err(Problem::UnknownFlag { flag: flag.to_owned(), engine: self.engine.clone().unwrap_or_else(|| "the script".to_owned()) })
    }

    fn model_flag(&self) -> Option<&'static str> {
        ["--model-id", "--model-path", "--model", "model"]
            .into_iter()
            .find(|name| self.table().and_then(|table| table.find(name)).is_some_and(|found| found.flag.name == *name))
    }

    fn apply_flag(&mut self, flag: &'static Flag, to: Option<&str>) -> Result<(String, Option<String>), Problem> {
        let table = self.table();
        let mut flag = flag;
        for (engine, name, other) in SAME {
            let version = self.version.as_deref().and_then(Version::parse);
            if self.engine.as_deref() == Some(engine)
                && flag.name == name
                && (self.value_of(other).is_some() || version.is_some_and(|version| !flag.is_in(version)))
                && let Some(found) = table.and_then(|table| table.find(other))
            {
                flag = found.flag;
            }
        }
        let before = self.value_of(flag.name);
        if table.is_some_and(|table| table.parser == Parser::None)
            && is_variable(flag.name)
            && flag.name.starts_with(|c: char| c.is_ascii_uppercase())
        {
            return Ok(self.apply_variable(flag.name, to));
        }
        let version = self.version.as_deref().and_then(Version::parse).or(table.and_then(Table::newest).map(|(version, _)| version));
        let kind = version.map_or(Kind::Text, |version| flag.kind(version));
        let switch = matches!(kind, Kind::Switch | Kind::Negatable);
        let positions = self.positions(flag.name);
        let in_environment = positions.is_empty() && !flag.env.is_empty() && self.environment.iter().any(|v| v.name == flag.env);
        let is_model = matches!(flag.name, "--model" | "--model-path") && self.program.positional;
        if in_environment {
            let value = to.filter(|to| !(switch && *to == "false"));
            self.apply_variable(flag.env, value);
            return Ok((flag.env.to_owned(), before));
        }
        if is_model
            && positions.is_empty()
            && let Some(word) = self.arguments.iter_mut().find(|argument| argument.name.is_none())
            && let Some(to) = to
        {
            word.values = vec![Word::text(to)];
            word.origin = Origin::Added;
            return Ok(("model".to_owned(), before));
        }
        let name = positions.last().and_then(|at| self.arguments.get(*at)?.name.clone());
        let negative = |name: &str| table.and_then(|table| table.find(name)).is_some_and(|found| found.negative);
        let keeps =
            |name: &String| !negative(name) && version.is_none_or(|version| flag.name == *name || flag.also(version).any(|also| also == *name));
        let name = name.filter(keeps).unwrap_or_else(|| flag.name.to_owned());
        let joined = positions.last().and_then(|at| self.arguments.get(*at)).is_some_and(|argument| argument.joined);
        let replacement = match to {
            None => None,
            Some("true") if switch => Some(Argument { name: Some(name.clone()), values: Vec::new(), joined: false, origin: Origin::Added }),
            Some("false") if kind == Kind::Negatable && before.as_deref() != Some("true") => {
                Some(Argument { name: Some(flag.name.replacen("--", "--no-", 1)), values: Vec::new(), joined: false, origin: Origin::Added })
            }
            Some("false") if switch => None,
            Some(to) => {
                let values = if kind.is_list() { to.split(' ').map(Word::text).collect() } else { vec![Word::text(to)] };
                let llama = table.is_some_and(|table| table.parser == Parser::Llama);
                Some(Argument {
                    name: Some(name.clone()),
                    joined: !llama && values.len() == 1 && (joined && !kind.is_list() || to.starts_with('-')),
                    values,
                    origin: Origin::Added,
                })
            }
        };
        let at = positions.first().copied();
        for position in positions.into_iter().rev() {
            self.arguments.remove(position);
        }
        if let Some(argument) = replacement {
            self.arguments.insert(at.unwrap_or(self.arguments.len()).min(self.arguments.len()), argument);
        }
        Ok((name, before))
    }

    fn apply_option(&mut self, flag: &'static Flag, to: Option<&str>) -> Result<(String, Option<String>), Problem> {
        let container = self.container.as_mut().ok_or_else(|| Problem::NotHere { what: flag.name.to_owned() })?;
        let docker = Table::of("docker");
        let is = |option: &Argument| option.name.as_deref().and_then(|name| docker?.find(name)).is_some_and(|found| found.flag.name == flag.name);
        let at = container.options.iter().position(is);
        let old = at.and_then(|at| container.options.get(at)).cloned();
        let before = old.as_ref().map(|option| option.values.first().map_or_else(|| "true".to_owned(), Word::plain));
        if flag.kind(Version::LATEST) != Kind::Repeated {
            container.options.retain(|option| !is(option));
        }
        if let Some(to) = to {
            let switch = flag.kind(Version::LATEST) == Kind::Switch;
            let name = old.as_ref().and_then(|option| option.name.clone()).unwrap_or_else(|| flag.name.to_owned());
            let values = if switch { Vec::new() } else { vec![Word::text(to)] };
            let option = Argument { name: Some(name), values, joined: old.is_some_and(|option| option.joined), origin: Origin::Added };
            container.options.insert(at.unwrap_or(container.options.len()).min(container.options.len()), option);
        }
        Ok((flag.name.to_owned(), before))
    }

    fn apply_variable(&mut self, name: &str, to: Option<&str>) -> (String, Option<String>) {
        let before = self.variable(name);
        let value = to.map(Word::text);
        match (self.environment.iter().position(|variable| variable.name == name), to) {
            (Some(at), None) => {
                self.environment.remove(at);
            }
            (Some(at), Some(_)) => {
                if let Some(variable) = self.environment.get_mut(at) {
                    *variable = Variable { name: name.to_owned(), value, origin: Origin::Added };
                }
            }
            (None, Some(_)) => self.environment.push(Variable { name: name.to_owned(), value, origin: Origin::Added }),
            (None, None) => {}
        }
        (name.to_owned(), before)
    }

    /// A flag of a script whose arguments nobody knows: the word after it is its value.
    fn apply_word(&mut self, at: usize, flag: &str, to: Option<&str>) -> Result<(String, Option<String>), Problem> {
        let value = self.arguments.get_mut(at + 1).filter(|argument| argument.values.first().is_some_and(|word| !word.plain().starts_with("--")));
        match (value, to) {
            (Some(value), Some(to)) => {
                let before = value.values.first().map(Word::plain);
                value.values = vec![Word::text(to)];
                value.origin = Origin::Added;
                Ok((flag.to_owned(), before))
            }
            _ => Err(Problem::NotHere { what: flag.to_owned() }),
        }
    }
}
