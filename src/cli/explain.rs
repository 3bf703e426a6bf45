//! `oomdoc explain [ID]`.

use std::io::{self, Write};

use miette::miette;

use crate::causes::{CAUSES, by_id};
use crate::cli::{Failure, Outcome};

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The cause, as reports name it; without it, all are listed
    id: Option<String>,
}

/// Prints what a cause means, or the list.
pub fn run(args: &Args) -> Result<Outcome, Failure> {
    let mut out = io::stdout().lock();
    match args.id.as_deref() {
        None => {
            let mut family = "";
            for cause in CAUSES {
                if cause.family != family {
                    family = cause.family;
                    writeln!(out, "{}{}", if family == CAUSES[0].family { "" } else { "\n" }, heading(family))?;
                }
                writeln!(out, "  {:<27} {}", cause.id, cause.title)?;
            }
            writeln!(out, "\n`oomdoc explain ID` says what a cause means, how it is recognised and how it is fixed.")?;
        }
        Some(id) => {
            let cause = by_id(id).ok_or_else(|| unknown(id))?;
            writeln!(out, "{} ({})\n{}\n\n{}", cause.title, cause.id, heading(cause.family), cause.doc.trim())?;
        }
    }
    Ok(Outcome::Healthy)
}

fn heading(family: &str) -> String {
    let words = family.replace('-', " ");
    let mut letters = words.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

fn unknown(id: &str) -> miette::Report {
    let words = |id: &str| id.split('-').map(str::to_owned).collect::<Vec<_>>();
    let asked = words(id);
    let near = CAUSES
        .iter()
        .map(|cause| (words(cause.id).iter().filter(|word| asked.contains(word)).count(), cause.id))
        .filter(|&(shared, _)| shared > 0)
        .max();
    let help = match near {
        Some((_, near)) => format!("did you mean `{near}`? `oomdoc explain` lists all"),
        None => "`oomdoc explain` lists all".to_owned(),
    };
    miette!(code = "oomdoc::explain::unknown", help = help, "there is no cause `{id}`")
}
