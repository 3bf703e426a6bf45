//! Every fixture is diagnosed as its `case.toml` says, and its report is the reviewed one.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use oomdoc::analysis::Analyzer;
use oomdoc::report::{self, Format, Style};
use oomdoc::source::Reader;
use oomdoc::{Options, PostMortem};
use serde::Deserialize;

/// What a fixture is and what must be found in it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expectation {
    /// What happened, for people.
    #[allow(dead_code)]
    situation: String,
    engine: Option<String>,
    engine_version: Option<String>,
    model: Option<String>,
    /// The cause, `healthy` or `unknown`.
    cause: String,
    phase: Option<String>,
    impact: Option<String>,
    recovered: Option<bool>,
    rank: Option<u32>,
    occurrences: Option<u64>,
    completeness: Option<String>,
    /// Causes that must be named as contributing.
    #[serde(default)]
    contributing: Vec<String>,
    /// Causes of further incidents, in order.
    #[serde(default)]
    also: Vec<String>,
    /// Causes that must not appear anywhere.
    #[serde(default)]
    not: Vec<String>,
    /// Part of a piece of evidence with the role of the cause.
    evidence: Option<String>,
    #[serde(default)]
    figures: BTreeMap<String, serde_json::Value>,
    /// Forms of the report that are kept beside the log: text is always.
    #[serde(default)]
    formats: Vec<String>,
}

/// One analyser for all, so that each pattern is compiled once.
fn analyzer() -> &'static Analyzer<'static> {
    static OPTIONS: LazyLock<Options> = LazyLock::new(Options::default);
    static ANALYZER: LazyLock<Analyzer<'static>> = LazyLock::new(|| Analyzer::new(&OPTIONS));
    &ANALYZER
}

fn fixtures() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut found = Vec::new();
    for cause in fs::read_dir(root).unwrap() {
        let cause = cause.unwrap().path();
        if cause.is_dir() {
            found.extend(fs::read_dir(cause).unwrap().map(|case| case.unwrap().path()).filter(|p| p.join("case.toml").exists()));
        }
    }
    found.sort();
    found
}

fn read(folder: &Path) -> (Expectation, PostMortem) {
    let expectation = toml::from_str(&fs::read_to_string(folder.join("case.toml")).unwrap()).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let log = fs::File::open(folder.join("input.log")).unwrap();
    let report = analyzer().run(Reader::from_read(Box::new(log)).unwrap(), "input.log").unwrap();
    (expectation, report)
}

fn differences(expected: &Expectation, report: &PostMortem) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut check = |what: &str, expected: serde_json::Value, got: serde_json::Value| {
        if expected != got {
            wrong.push(format!("{what}: expected {expected}, got {got}"));
        }
    };
    let json = serde_json::to_value(report).unwrap();
    let first = &json["incidents"][0];
    check("cause", expected.cause.clone().into(), json["cause"].clone());
    let optional = [
        ("engine", &expected.engine, &json["deployment"]["engine"]),
        ("engine_version", &expected.engine_version, &json["deployment"]["engine_version"]),
        ("model", &expected.model, &json["deployment"]["model"]),
        ("phase", &expected.phase, &first["phase"]),
        ("impact", &expected.impact, &first["impact"]),
        ("completeness", &expected.completeness, &json["completeness"]),
    ];
    for (what, expected, got) in optional {
        if let Some(expected) = expected {
            check(what, expected.clone().into(), got.clone());
        }
    }
    if let Some(recovered) = expected.recovered {
        check("recovered", recovered.into(), first["recovered"].clone());
    }
    if let Some(rank) = expected.rank {
        check("rank", rank.into(), first["rank"].clone());
    }
    if let Some(occurrences) = expected.occurrences {
        check("occurrences", occurrences.into(), first["occurrences"].clone());
    }
    for (name, figure) in &expected.figures {
        check(name, figure.clone(), json["figures"][name].clone());
    }
    let others: Vec<&str> = report.incidents.iter().skip(1).map(|i| i.cause).collect();
    if !expected.also.is_empty() {
        check("also", expected.also.clone().into(), others.clone().into());
    }
    for cause in &expected.contributing {
        let named = report.incidents.first().is_some_and(|i| i.contributing.iter().any(|c| c.cause == cause));
        check(&format!("contributing {cause}"), true.into(), named.into());
    }
    for cause in &expected.not {
        check(&format!("not {cause}"), false.into(), report.incidents.iter().any(|i| i.cause == cause).into());
    }
    if let Some(text) = &expected.evidence {
        let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let shown = report
            .incidents
            .first()
            .is_some_and(|i| i.evidence.iter().any(|e| e.role == oomdoc::post_mortem::Role::Cause && squeeze(&e.text).contains(&squeeze(text))));
        check("evidence", true.into(), shown.into());
    }
    wrong
}

#[test]
fn every_fixture_is_diagnosed() {
    let mut wrong = Vec::new();
    let fixtures = fixtures();
    assert!(!fixtures.is_empty());
    for folder in fixtures {
        let (expected, report) = read(&folder);
        let differences = differences(&expected, &report);
        if !differences.is_empty() {
            wrong.push(format!("{}\n    {}", folder.display(), differences.join("\n    ")));
        }
    }
    assert!(wrong.is_empty(), "{} fixtures:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_report_is_the_reviewed_one() {
    for folder in fixtures() {
        let (expected, report) = read(&folder);
        let entries = [report.into()];
        let style = Style { width: 80, color: false, unicode: true };
        let mut forms = vec!["text".to_owned()];
        forms.extend(expected.formats);
        for form in forms {
            let format = match form.as_str() {
                "markdown" => Format::Markdown,
                "json" => Format::Json,
                "ndjson" => Format::Ndjson,
                "html" => Format::Html,
                _ => Format::Text,
            };
            let mut out = Vec::new();
            report::write(format, &entries, &style, &mut out).unwrap();
            insta::with_settings!({ snapshot_path => folder.clone(), prepend_module_to_snapshot => false, omit_expression => true }, {
                insta::assert_snapshot!(form, String::from_utf8(out).unwrap());
            });
        }
    }
}

/// A message that quotes the exception behind it means what that means.
#[test]
fn what_a_message_quotes_is_the_exceptions() {
    let verdict = |path: &str| {
        let log = format!(
            "2025-06-03 10:02:40,077 ERROR builder: Could not build the index: IndexBuilder.add_links() missing 1 required positional argument: 'chunks'\n\
             Traceback (most recent call last):\n  File \"{path}\", line 41, in build\n    self.add_links(passages)\n\
             TypeError: IndexBuilder.add_links() missing 1 required positional argument: 'chunks'\n"
        );
        analyzer().run(Reader::from_read(Box::new(std::io::Cursor::new(log.into_bytes()))).unwrap(), "log").unwrap().cause
    };
    assert_eq!(verdict("/home/ines/handbook/builder.py"), "internal-error");
    assert_eq!(verdict("/opt/venv/lib/python3.11/site-packages/indexer/builder.py"), "missing-dependency");
}

#[test]
fn every_cause_has_three_fixtures() {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for folder in fixtures() {
        let expectation: Expectation = toml::from_str(&fs::read_to_string(folder.join("case.toml")).unwrap()).unwrap();
        *counts.entry(expectation.cause).or_default() += 1;
    }
    for cause in oomdoc::causes::CAUSES {
        let count = counts.get(cause.id).copied().unwrap_or(0);
        assert!(count >= 3, "{} has {count} fixtures", cause.id);
    }
    assert!(counts.get("healthy").copied().unwrap_or(0) >= 3);
}
