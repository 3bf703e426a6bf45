//! Writing a command in the form in which the user has it.

use super::shell::{Shell, lay_out, quote};
use super::{Argument, Command, Form, Variable, Word, containers, python};
use crate::remedies::flags::{Problem, Table};

pub(super) fn print(command: &Command, shell: Shell) -> Result<String, Problem> {
    match &command.form {
        Form::Shell => line(command, shell),
        Form::Compose { service } => containers::print_compose(command, service),
        Form::Kubernetes(place) => containers::print_manifest(command, place),
        Form::Python => python::print(command),
    }
}

fn line(command: &Command, shell: Shell) -> Result<String, Problem> {
    let mut groups: Vec<String> = Vec::new();
    let mut before = String::new();
    match &command.container {
        Some(container) => {
            groups.push(words(&container.runtime, shell)?);
            let value = |word: &Word, option: &Argument| {
                // Docker refuses a relative path as a volume; and a value must not look like an option.
                let text = word.plain();
                if text.starts_with('-') && !option.joined { Err(Problem::Unsafe { place: option.name.clone().unwrap_or_default() }) } else { Ok(()) }
            };
            for option in &container.options {
                option.values.iter().try_for_each(|word| value(word, option))?;
                groups.push(argument(option, shell)?);
            }
            for variable in &command.environment {
                groups.push(format!("-e {}", docker_variable(variable, shell)?));
            }
            let image = container.image.plain();
            if image.starts_with('-') || image.is_empty() || image.contains(' ') {
                return Err(Problem::Unsafe { place: "the image".to_owned() });
            }
            groups.push(quote(&container.image, shell)?);
        }
        None => {
            let mut first = Vec::new();
            for variable in &command.environment {
                let value = variable.value.clone().unwrap_or_else(|| Word::variable(variable.name.clone()));
                let value = quote(&value, shell)?;
                match shell {
                    Shell::Sh => first.push(format!("{}={value}", variable.name)),
                    Shell::PowerShell if variable.value.is_none() => {}
                    Shell::PowerShell => {
                        let value = if value.starts_with(['\'', '"']) { value } else { format!("'{value}'") };
                        before += &format!("$env:{} = {value}\n", variable.name);
                    }
                }
            }
            // `sudo` drops what stands in front of it.
            if !first.is_empty() && command.program.words.first().is_some_and(|word| word.plain() == "sudo") {
                return Err(Problem::NotHere { what: "an environment variable".to_owned() });
            }
            groups.extend(first);
        }
    }
    let inner = program(command, shell)?;
    if command.program.shell.is_empty() {
        groups.extend(inner);
    } else {
        let script = program(command, Shell::Sh)?.join(" ");
        groups.push(words(&command.program.shell, shell)?);
        groups.push(quote(&Word::text(script), shell)?);
    }
    let program_is_bare = |text: &String| !text.starts_with(['\'', '"']);
    if shell == Shell::PowerShell && !groups.first().is_none_or(program_is_bare) {
        return Err(Problem::NotHere { what: "a program with a quoted name".to_owned() });
    }
    Ok(before + &lay_out(&groups, shell))
}

/// The program and its arguments, each with its values as one text.
fn program(command: &Command, shell: Shell) -> Result<Vec<String>, Problem> {
    let mut groups = Vec::new();
    if !command.program.words.is_empty() {
        groups.push(words(&command.program.words, shell)?);
    }
    let is_script = command.engine.is_none();
    for one in &command.arguments {
        let starts_like_a_flag = one.name.is_none() && one.values.iter().any(|word| word.plain().starts_with('-'));
        if starts_like_a_flag && !is_script {
            return Err(Problem::Unsafe { place: "a word".to_owned() });
        }
        let text = argument(one, shell)?;
        match groups.last_mut() {
            // A script's flag and the word behind it.
            Some(before) if is_script && !starts_like_a_flag && before.starts_with("--") && !before.contains([' ', '=']) => {
                *before += &format!(" {text}")
            }
            _ => groups.push(text),
        }
    }
    // The model stands behind its program.
    if !is_script
        && command.program.positional
        && command.arguments.first().is_some_and(|first| first.name.is_none())
        && groups.len() > 1
        && !command.program.words.is_empty()
    {
        let model = groups.remove(1);
        if let Some(program) = groups.first_mut() {
            *program += &format!(" {model}");
        }
    }
    Ok(groups)
}

/// All words of a command, as a list that needs no shell: for YAML.
pub(super) fn list(command: &Command) -> (Vec<Word>, Vec<Word>) {
    let mut arguments_: Vec<Word> = Vec::new();
    for argument in &command.arguments {
        match (&argument.name, argument.values.as_slice()) {
            (Some(name), [value]) if argument.joined => {
                let mut pieces = vec![super::Piece::Text(format!("{name}="))];
                pieces.extend(value.0.iter().cloned());
                arguments_.push(Word(pieces).joined());
            }
            (name, values) => {
                arguments_.extend(name.iter().map(|name| Word::text(name.clone())));
                arguments_.extend(values.iter().cloned());
            }
        }
    }
    (command.program.words.clone(), arguments_)
}

/// The text that a shell of the container runs.
pub(super) fn script(command: &Command) -> Result<String, Problem> {
    Ok(program(command, Shell::Sh)?.join(" "))
}

fn words(words: &[Word], shell: Shell) -> Result<String, Problem> {
    Ok(words.iter().map(|word| quote(word, shell)).collect::<Result<Vec<_>, _>>()?.join(" "))
}

fn argument(argument: &Argument, shell: Shell) -> Result<String, Problem> {
    let Some(name) = &argument.name else { return words(&argument.values, shell) };
    let bare = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if !bare || !name.starts_with('-') {
        return Err(Problem::Unsafe { place: "a flag".to_owned() });
    }
    if argument.joined {
        let mut word = Word::text(format!("{name}="));
        word.0.extend(argument.values.iter().flat_map(|value| value.0.iter().cloned()));
        return quote(&if shell == Shell::PowerShell { word.joined() } else { word }, shell);
    }
    let starts_like_a_flag = |word: &Word| word.plain().starts_with('-') && word.plain().parse::<f64>().is_err();
    if argument.values.iter().any(starts_like_a_flag) && Table::of("llama.cpp").is_some() {
        return Err(Problem::Unsafe { place: name.clone() });
    }
    if argument.values.is_empty() {
        return Ok(name.clone());
    }
    Ok(format!("{name} {}", words(&argument.values, shell)?))
}

fn docker_variable(variable: &Variable, shell: Shell) -> Result<String, Problem> {
    let Some(value) = &variable.value else { return Ok(variable.name.clone()) };
    let mut word = Word::text(format!("{}=", variable.name));
    word.0.extend(value.0.iter().cloned());
    quote(&if shell == Shell::PowerShell { word.joined() } else { word }, shell)
}
