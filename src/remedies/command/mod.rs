//! The command that was run: rebuilt, changed, checked, and written in the form in which the user has it.
//!
//! [`Command::of`] finds it: what the user gave beats what the log echoes, which beats a dump of the arguments.
//! [`Command::write`] applies changes, asks [`check`](super::flags::check()), and prints; a command with a problem is never
//! printed. What comes from a log is held to more than what the user gave: see [`Trust`].

mod containers;
mod dump;
mod edit;
mod print;
mod python;
mod read;
mod shell;
mod word;
mod yaml;

pub use edit::Change;
pub use shell::{Shell, quote, split, split_only};
pub use word::{Piece, Word};

use crate::case::{Case, Run};
use crate::extract::arguments::{Arguments, Value};
use crate::post_mortem::Deployment;
use crate::remedies::flags::{Circumstances, Problem, Table, check};

/// Where a part of a command comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The user had it.
    Given,
    /// A remedy put it there, or the reconstruction needs it and the log does not show it.
    Added,
}

/// Where a command comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The user gave it.
    Given,
    /// The log shows it as it was typed.
    Echoed,
    /// It was put together from the arguments that the engine printed; how the engine was started is a guess.
    Rebuilt,
}

/// How far a text is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// The user typed it: any image, script and environment.
    User,
    /// It stands in a log, where anybody may have put it: only the engines' own programs and published images, no
    /// variable that makes a program load other code, no option that gives a container more than it needs.
    Log,
}

/// A flag with its values, or a word without a flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// The flag as it was spelled; none for a word that belongs to no flag.
    pub name: Option<String>,
    /// Its values.
    pub values: Vec<Word>,
    /// True for `--flag=value`.
    pub joined: bool,
    /// Who put it there.
    pub origin: Origin,
}

/// An environment variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value; none when it is handed through.
    pub value: Option<Word>,
    /// Who put it there.
    pub origin: Origin,
}

/// The container around an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// `docker run`, `podman run` …, with `sudo` if it was there.
    pub runtime: Vec<Word>,
    /// Options in front of the image, environment variables left out.
    pub options: Vec<Argument>,
    /// The image with its tag.
    pub image: Word,
}

/// How an engine is called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Program {
    /// The words in front of its arguments; none when the image's own entry point runs it.
    pub words: Vec<Word>,
    /// True when the model may stand without a flag.
    pub positional: bool,
    /// True when its arguments are those of its table.
    pub flags: bool,
    /// The shell that runs all of it as one text (`/bin/sh -c`).
    pub shell: Vec<Word>,
}

impl Program {
    /// True when its arguments are those of the engine's table.
    pub fn takes_flags(&self) -> bool {
        self.flags
    }

    /// The words that come first: the shell's, if one runs it.
    fn front(&mut self) -> &mut Vec<Word> {
        if self.shell.is_empty() { &mut self.words } else { &mut self.shell }
    }

    /// True when the model may stand without a flag.
    pub fn takes_model(&self) -> bool {
        self.positional
    }
}

/// The form in which a command is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// A line for a shell.
    Shell,
    /// A service of a compose file.
    Compose {
        /// Its name.
        service: String,
    },
    /// A container of a Kubernetes object.
    Kubernetes(KubernetesPlace),
    /// Python code.
    Python,
}

/// Where in a Kubernetes object a container stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesPlace {
    /// `apiVersion`.
    pub api_version: String,
    /// `kind`.
    pub kind: String,
    /// The object's name.
    pub name: String,
    /// Its namespace.
    pub namespace: Option<String>,
    /// The keys that lead to the pod's `spec`.
    pub path: Vec<String>,
    /// The container's name.
    pub container: String,
    /// True when the program is set by `command:`, not only by the image.
    pub own_command: bool,
    /// The port that a start-up probe is to ask, if one is added.
    pub startup_probe: Option<u64>,
}

/// A command that starts an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The engine, as in `deployment.engine`; none for a script.
    pub engine: Option<String>,
    /// Its version, where it is known.
    pub version: Option<String>,
    /// Where the command comes from.
    pub source: Source,
    /// The form in which the user has it.
    pub form: Form,
    /// The container around it.
    pub container: Option<Container>,
    /// Its environment.
    pub environment: Vec<Variable>,
    /// How the engine is called.
    pub program: Program,
    /// The engine's arguments in their order.
    pub arguments: Vec<Argument>,
}

/// The variables of words.
fn in_words(words: &[Word]) -> impl Iterator<Item = &str> {
    words.iter().flat_map(|word| &word.0).filter_map(|piece| match piece {
        Piece::Variable(name) => Some(name.as_str()),
        // What has a fallback need not be set.
        Piece::Text(_) | Piece::Fallback(..) => None,
    })
}

/// A command that passed the check, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Printed {
    /// The text.
    pub text: String,
    /// What was changed, with the values before.
    pub changes: Vec<Change>,
}

/// What the user gave beside the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Launch {
    /// A command line.
    Command(String),
    /// The text of a compose file.
    Compose(String),
    /// The text of a Kubernetes manifest.
    Manifest(String),
    /// The output of `docker inspect`.
    Inspect(String),
}

impl Command {
    /// The command of a run: the one that the user gave, else one that the log echoes, else one rebuilt from the arguments
    /// that the engine printed.
    pub fn of(case: &Case, run: Option<&Run>, deployment: &Deployment, launch: Option<&Launch>) -> Option<Self> {
        if let Some(launch) = launch {
            let mut command = Command::given(launch).ok()?;
            // A tag that a variable may change says less than the log.
            let is_open = command.container.as_ref().is_some_and(|container| container.image.has_variable());
            let said = deployment.engine_version.clone();
            command.version = if is_open { said.or(command.version) } else { command.version.or(said) };
            return Some(command);
        }
        dump::of(case, run, deployment)
    }

    /// The command that the user gave.
    ///
    /// # Errors
    /// When it cannot be read, or holds no engine.
    pub fn given(launch: &Launch) -> Result<Self, Problem> {
        match launch {
            Launch::Command(text) => Command::read(text, Trust::User),
            Launch::Compose(text) => containers::compose(text),
            Launch::Manifest(text) => containers::manifest(text),
            Launch::Inspect(text) => containers::inspect(text),
        }
    }

    /// Reads a command line.
    ///
    /// # Errors
    /// When it is none, or holds what a command must not hold.
    pub fn read(text: &str, trust: Trust) -> Result<Self, Problem> {
        read::command(split(text)?, trust)
    }

    /// The table of its engine.
    pub fn table(&self) -> Option<&'static Table> {
        Table::of(self.engine.as_deref()?)
    }

    /// The value that a flag has here, by whatever spelling, or by its environment variable; `true` and `false` for switches.
    pub fn value_of(&self, flag: &str) -> Option<String> {
        let Some(found) = self.table().and_then(|table| table.find(flag)) else { return self.variable(flag) };
        let given = self.positions(found.flag.name).last().and_then(|at| self.arguments.get(*at));
        if let Some(argument) = given {
            let negative = argument.name.as_deref().and_then(|name| self.table()?.find(name)).is_some_and(|found| found.negative);
            let words: Vec<String> = argument.values.iter().map(Word::plain).collect();
            return Some(match (negative, words.is_empty()) {
                (true, _) => "false".to_owned(),
                (false, true) => "true".to_owned(),
                (false, false) => words.join(" "),
            });
        }
        if matches!(found.flag.name, "--model" | "--model-path" | "model") && self.program.positional {
            let word = self.arguments.iter().find(|argument| argument.name.is_none())?;
            return word.values.first().map(Word::plain);
        }
        self.variable(if found.flag.env.is_empty() { found.flag.name } else { found.flag.env })
    }

    /// The value of an environment variable.
    pub fn variable(&self, name: &str) -> Option<String> {
        self.environment.iter().rev().find(|variable| variable.name == name)?.value.as_ref().map(Word::plain)
    }

    /// The value of a word that need not be a flag of the engine.
    pub fn value_of_word(&self, word: &str) -> Option<String> {
        let argument = self.arguments.iter().find(|argument| argument.name.as_deref() == Some(word))?;
        argument.values.first().map(Word::plain)
    }

    /// The value of an option of the container.
    pub fn option(&self, name: &str) -> Option<String> {
        let docker = Table::of("docker")?;
        let is = |option: &&Argument| option.name.as_deref().and_then(|word| docker.find(word)).is_some_and(|found| found.flag.name == name);
        let option = self.container.as_ref()?.options.iter().find(is)?;
        Some(option.values.first().map_or_else(|| "true".to_owned(), Word::plain))
    }

    /// True when the container has a folder, or one around it, from the host.
    pub fn mounts(&self, folder: &str) -> bool {
        let docker = Table::of("docker");
        let is = |option: &&Argument| {
            let name = option.name.as_deref().and_then(|word| docker?.find(word)).map(|found| found.flag.name);
            matches!(name, Some("--volume" | "--mount"))
        };
        let inside = |text: String| {
            let target = text.split(',').find_map(|part| part.split_once('=').filter(|(key, _)| matches!(*key, "target" | "dst" | "destination")));
            target.map(|(_, path)| path.to_owned()).or_else(|| text.split(':').nth(1).map(str::to_owned))
        };
        let mut options = self.container.iter().flat_map(|container| &container.options).filter(is);
        options
            .any(|option| option.values.first().map(Word::plain).and_then(inside).is_some_and(|path| folder.starts_with(path.trim_end_matches('/'))))
    }

    /// The model, as the command names it.
    pub fn model(&self) -> Option<String> {
        ["--model", "--model-id", "--model-path", "model"].iter().find_map(|flag| {
            let known = self.table().is_some_and(|table| table.find(flag).is_some_and(|found| found.flag.name == *flag));
            known.then(|| self.value_of(flag)).flatten()
        })
    }

    /// The environment variables that the command hands through and that have to be set: tokens, keys.
    pub fn needs_set(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.environment.iter().filter(|v| v.value.is_none()).map(|v| v.name.as_str()).collect();
        names.extend(self.environment.iter().flat_map(|v| in_words(v.value.as_slice())));
        names.extend(self.arguments.iter().flat_map(|argument| in_words(&argument.values)));
        names.retain(|name| !matches!(*name, "PWD" | "HOME" | "USER"));
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Applies changes, checks the result and prints it.
    ///
    /// # Errors
    /// The first problem; then there is nothing to print.
    pub fn write(&self, changes: &[Change], shell: Shell, circumstances: &Circumstances) -> Result<Printed, Problem> {
        let (command, changes) = self.with(changes)?;
        let text = command.print(shell, circumstances)?;
        Ok(Printed { text, changes })
    }

    /// Prints it as it is, if the engine would take it.
    ///
    /// # Errors
    /// The first problem; then there is nothing to print.
    pub fn print(&self, shell: Shell, circumstances: &Circumstances) -> Result<String, Problem> {
        self.must_be_safe()?;
        if let Some(problem) = check(self, circumstances).into_iter().next() {
            return Err(problem);
        }
        print::print(self, shell)
    }

    /// Where a flag stands among the arguments, by its name in the table.
    fn positions(&self, name: &str) -> Vec<usize> {
        let Some(table) = self.table() else { return Vec::new() };
        let is = |argument: &Argument| argument.name.as_deref().and_then(|word| table.find(word)).is_some_and(|found| found.flag.name == name);
        self.arguments.iter().enumerate().filter(|(_, argument)| is(argument)).map(|(at, _)| at).collect()
    }

    /// What the command says of the deployment, in the form in which the log's own dumps say it.
    pub fn to_arguments(&self) -> Arguments {
        let engine = self.table().map(|table| table.engine);
        let snake = |name: &str| name.trim_start_matches('-').replace('-', "_");
        let typed = |text: String| match (text.parse(), text.parse()) {
            (Ok(number), _) => Value::Int(number),
            (_, Ok(number)) => Value::Float(number),
            _ => Value::Str(text),
        };
        let mut values: Vec<(String, Value)> = Vec::new();
        for found in self.table().into_iter().flat_map(|table| table.flags) {
            if let Some(value) = self.value_of(found.name) {
                let value = if matches!(value.as_str(), "true" | "false") { Value::Bool(value == "true") } else { typed(value) };
                values.push((snake(found.name).to_ascii_lowercase(), value));
            }
        }
        let image = self.container.iter().map(|container| ("image".to_owned(), Value::Str(container.image.plain())));
        let options = self.container.iter().flat_map(|container| &container.options).filter_map(|option| {
            let name = option.name.as_deref().and_then(|name| Table::of("docker")?.find(name))?.flag.name;
            Some((snake(name), option.values.first().map_or(Value::Bool(true), |word| Value::Str(word.plain()))))
        });
        Arguments {
            engine,
            values,
            version: self.version.clone(),
            container: image.chain(options).collect(),
            environment: self.environment.iter().filter_map(|v| Some((v.name.clone(), v.value.as_ref()?.plain()))).collect(),
        }
    }

    /// Refuses words that could mislead, wherever they stand.
    fn must_be_safe(&self) -> Result<(), Problem> {
        let named = |argument: &Argument| {
            let place = argument.name.clone().unwrap_or_else(|| "a word".to_owned());
            Word::text(place.clone()).must_be_safe("a flag")?;
            argument.values.iter().try_for_each(|word| word.must_be_safe(&place))
        };
        for words in [&self.program.words, &self.program.shell] {
            words.iter().try_for_each(|word| word.must_be_safe("the program"))?;
        }
        self.arguments.iter().try_for_each(named)?;
        for variable in &self.environment {
            Word::text(variable.name.clone()).must_be_safe("a variable")?;
            if !word::is_variable(&variable.name) {
                return Err(Problem::Unsafe { place: "a variable".to_owned() });
            }
            variable.value.iter().try_for_each(|word| word.must_be_safe(&variable.name))?;
        }
        if let Some(container) = &self.container {
            container.runtime.iter().try_for_each(|word| word.must_be_safe("the program"))?;
            container.image.must_be_safe("the image")?;
            container.options.iter().try_for_each(named)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
