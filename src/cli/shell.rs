//! `oomdoc completions SHELL` and `oomdoc man`.

use std::io;

use clap::CommandFactory;

use crate::cli::{Cli, Failure, Outcome};

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell
    shell: clap_complete::Shell,
}

/// Prints the completions for a shell.
pub fn completions(args: &CompletionsArgs) -> Result<Outcome, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "oomdoc", &mut text);
    io::Write::write_all(&mut io::stdout(), &text)?;
    Ok(Outcome::Healthy)
}

/// Prints the manual page.
pub fn man() -> Result<Outcome, Failure> {
    let mut text = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut text)?;
    io::Write::write_all(&mut io::stdout(), &text)?;
    Ok(Outcome::Healthy)
}
