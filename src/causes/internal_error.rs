//! `internal-error`.

use super::*;

/// A defect inside the software.
pub const CAUSE: Cause = Cause {
    id: "internal-error",
    family: "platform",
    title: "A defect inside the software",
    kinds: &[FactKind::Internal, FactKind::Crash],
    phase: None,
    doc: "\
An assertion, exception or native crash (segmentation fault, illegal instruction) inside the engine, a plug-in or a driver that
no setting, input or resource in the log explains: a defect to upgrade away from or to report.

**Recognised by** exceptions of programming errors (`AssertionError`, `KeyError`, `AttributeError` …) in the engine's own files that no
signature explains, panics, signals 4, 7, 8 and 11.

**Fixed by** a newer or older version, by switching off what is new or experimental, and by a report with this log.",
    claim,
    headline,
    explanation,
    remedies,
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    let signal = exit_signal(s.fact);
    if signal == Some(7) {
        // Shared memory that ran out is likelier.
        return Claim::new(0.6, "the process crashed natively");
    }
    if s.is(FactKind::Internal) || s.is(FactKind::Crash) {
        return Claim::new(stated(s).min(0.9), "an exception or crash inside the software");
    }
    match signal? {
        4 | 8 | 11 => Claim::new(0.75, "the process crashed natively"),
        6 => Claim::new(0.5, "the process aborted"),
        _ => None,
    }
}

fn headline(s: &Situation<'_>) -> String {
    let said = said(s);
    match s.fact.word("frame") {
        // A bare `AssertionError` says nothing by itself.
        Some(frame) if !said.contains(' ') => format!("{said} in {frame}"),
        _ => said,
    }
}

fn explanation(s: &Situation<'_>) -> String {
    let mut text = "Nothing in the log explains it by a setting, an input or a resource.".to_owned();
    if let Some(frame) = s.fact.word("frame") {
        text += &format!(" It was raised by {frame}.");
    }
    text
}

/// True for a frame of the program itself: packages are named from their own folder on, a program by its whole path. What
/// was installed from a folder of sources has such a path too.
fn is_of_the_program(frame: &str) -> bool {
    let libraries = ["/lib/python", "/vllm/", "/sglang/", "/text_generation_server/", "/lmdeploy/", "/transformers/", "/torch/", "/deepspeed/"];
    let is_path = |path: &str| path.starts_with('/') || path.contains(":/");
    frame.rsplit_once(" (").is_some_and(|(_, path)| is_path(path) && !libraries.iter().any(|library| path.contains(library)))
}

fn remedies(s: &Situation<'_>) -> Vec<Remedy> {
    if !crate::case::deployment::is_server(s.engine) && s.fact.word("frame").is_some_and(is_of_the_program) {
        return vec![advice(
            "own-code",
            "Correct the program where the traceback ends",
            "That file is not of an installed package: a newer version of the engine will not change it.",
            "A change in the code.",
        )];
    }
    vec![
        advice("upgrade", "Try the newest version, or the one before the last upgrade", "Others have likely met it.", "Other changes of the release."),
        advice("report", "Report it to the project with this log", "It is a defect.", "None."),
    ]
}
