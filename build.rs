//! Turns `src/signatures/*.toml`, the flag tables and the catalogues of `src/memory` into static tables, so that a start
//! parses and compiles nothing.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

#[path = "build/compile.rs"]
mod compile;
#[path = "src/signatures/format.rs"]
#[allow(dead_code)]
mod format;
#[path = "src/scan/needles.rs"]
#[allow(dead_code)]
mod needles;
#[path = "src/program.rs"]
#[allow(dead_code)]
mod program;
#[path = "src/redact/secrets.rs"]
#[allow(dead_code)]
mod secrets;

#[path = "build/catalogue.rs"]
mod catalogue;
#[path = "src/remedies/flags/format.rs"]
#[allow(dead_code)]
mod flags;
#[path = "src/memory/names.rs"]
mod names;

use compile::{Letters, Tables};
use format::{Entry, FORMS, File, FrameEntry, OPENINGS, OneOrMany, expand};
use needles::Needles;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    signatures()?;
    flag_tables()
}

fn signatures() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=src/signatures");
    println!("cargo::rerun-if-changed=src/memory/names.rs");
    println!("cargo::rerun-if-changed=src/memory/catalogue");
    println!("cargo::rerun-if-changed=src/memory/devices.csv");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("models.rs"), catalogue::models()?)?;
    fs::write(Path::new(&env::var("OUT_DIR")?).join("devices.rs"), catalogue::devices()?)?;
    let mut paths: Vec<_> = fs::read_dir("src/signatures")?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|e| e == "toml"));
    paths.sort();
    let mut signatures = String::new();
    let mut tables = Tables::default();
    let mut frames = String::new();
    let mut anchors: Vec<(usize, usize, String)> = Vec::new();
    let mut seen: HashMap<[u8; 4], u32> = HashMap::new();
    let mut sought: Vec<String> = FORMS.iter().map(|form| (*form).to_owned()).collect();
    let mut count = 0;
    for path in &paths {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let file: File = toml::from_str(&fs::read_to_string(path)?).map_err(|e| format!("{}: {e}", path.display()))?;
        for entry in &file.signature {
            anchors.extend(entry.anchor.all().iter().enumerate().map(|(number, anchor)| (count, number, anchor.clone())));
            if entry.is_sought() {
                let is_replaced = |anchor: &&String| entry.needle.all().iter().any(|needle| needle.contains(anchor.as_str()));
                let anchors = entry.anchor.all().iter().filter(|anchor| anchor.len() >= needles::SHORTEST && !is_replaced(anchor));
                sought.extend(anchors.chain(entry.needle.all()).cloned());
            }
            count += 1;
            for text in [&entry.anchor, &entry.example, &entry.counter].into_iter().flat_map(|texts| texts.all()) {
                for gram in text.as_bytes().windows(4) {
                    *seen.entry([gram[0], gram[1], gram[2], gram[3]]).or_default() += 1;
                }
            }
            signature(&mut signatures, &mut tables, &name, file.engine.as_deref(), entry)
                .map_err(|e| format!("{}: {}: {e}", path.display(), entry.id))?;
        }
        for entry in &file.frame {
            frame(&mut frames, file.engine.as_deref(), entry)?;
        }
    }
    for file in ["build", "src/program.rs", "src/redact/secrets.rs", "src/scan/needles.rs"] {
        println!("cargo::rerun-if-changed={file}");
    }
    let folder = env::var("OUT_DIR")?;
    fs::write(Path::new(&folder).join("secrets.rs"), secret_programs())?;
    let everyday = include_str!("src/signatures/everyday.txt");
    let needles = needles(&Needles::new(sought.iter().map(String::as_str), OPENINGS, everyday));
    let index = index(&anchors, &seen)?;
    let tables = tables_of_programs(&tables);
    let out = format!(
        "{tables}/// Every signature that is compiled in.\npub static SIGNATURES: &[Signature] = &[\n{signatures}];\n\n/// Every frame rule that is compiled in.\npub static FRAMES: &[FrameRule] = &[\n{frames}];\n\n{index}\n\n{needles}"
    );
    fs::write(Path::new(&folder).join("signatures.rs"), out)?;
    Ok(())
}

/// The index by which anchors are found: of each anchor the four bytes that are rarest in all that the files quote.
fn index(anchors: &[(usize, usize, String)], seen: &HashMap<[u8; 4], u32>) -> Result<String, Box<dyn std::error::Error>> {
    let mut rows: Vec<(u32, usize, usize, usize)> = Vec::new();
    for (signature, number, anchor) in anchors {
        let gram = |at: usize| [anchor.as_bytes()[at], anchor.as_bytes()[at + 1], anchor.as_bytes()[at + 2], anchor.as_bytes()[at + 3]];
        let last = anchor.len().checked_sub(4).ok_or_else(|| format!("the anchor {anchor:?} is shorter than four bytes"))?;
        let at = (0..=last).min_by_key(|&at| seen.get(&gram(at))).unwrap_or(0);
        rows.push((u32::from_le_bytes(gram(at)), at, *signature, *number));
    }
    rows.sort_by_key(|&(gram, at, signature, number)| (format::gram_bit(gram), gram, at, signature, number));
    let starts: Vec<usize> = (0..=1 << 16).map(|bit| rows.partition_point(|row| format::gram_bit(row.0) < bit)).collect();
    let mut bits = vec![0u64; 1024];
    let mut out = String::from(
        "/// Every anchor by its rarest four bytes: those, where in the anchor they stand, the signature, the number of the anchor.\nstatic ANCHORS: &[(u32, u8, u16, u8)] = &[\n",
    );
    for (gram, at, signature, number) in rows {
        let bit = format::gram_bit(gram);
        bits[bit >> 6] |= 1 << (bit & 63);
        writeln!(out, "({gram}, {}, {}, {}),", u8::try_from(at)?, u16::try_from(signature)?, u8::try_from(number)?)?;
    }
    writeln!(out, "];\n\n/// Which four bytes may begin to tell an anchor.\nstatic GRAM_BITS: [u64; 1024] = {bits:?};")?;
    writeln!(out, "\n/// Where the anchors begin whose four bytes have this bit.\nstatic ANCHOR_STARTS: [u16; (1 << 16) + 1] = {starts:?};")?;
    Ok(out)
}

/// The tables by which a large log is searched.
fn needles(needles: &Needles) -> String {
    let Needles { multiplier, slots, starts, entries, text: all, tiny, count } = needles;
    let tiny: Vec<String> = tiny.iter().map(|tiny| text(tiny)).collect();
    format!(
        "static NEEDLES: Needles = Needles {{ multiplier: {multiplier}, slots: Cow::Borrowed(&{slots:?}), starts: Cow::Borrowed(&{starts:?}), entries: Cow::Borrowed(&{entries:?}), text: {}, tiny: Cow::Borrowed(&[{}]), count: {count} }};\n",
        text(all),
        tiny.join(", ")
    )
}

fn text(value: &str) -> String {
    format!("Cow::Borrowed({value:?})")
}

fn optional(value: Option<&str>) -> String {
    value.map_or("None".into(), |v| format!("Some({})", text(v)))
}

fn variant(kind: &str, id: &str) -> String {
    let camel: String = id.split('-').map(|word| word[..1].to_ascii_uppercase() + &word[1..]).collect();
    format!("{kind}::{camel}")
}

fn optional_variant(kind: &str, id: Option<&str>) -> String {
    id.map_or("None".into(), |id| format!("Some({})", variant(kind, id)))
}

fn list(values: &OneOrMany) -> String {
    let items: Vec<String> = values.all().iter().map(|v| text(v)).collect();
    format!("Cow::Borrowed(&[{}])", items.join(", "))
}

fn pairs<'a>(values: impl Iterator<Item = (&'a String, &'a String)>) -> String {
    let items: Vec<String> = values.map(|(k, v)| format!("({}, {})", text(k), text(v))).collect();
    format!("Cow::Borrowed(&[{}])", items.join(", "))
}

/// The programs of the patterns by which secrets are known.
fn secret_programs() -> String {
    let mut tables = Tables::default();
    let patterns = secrets::RULES.iter().map(|rule| rule.pattern).chain([secrets::NAME]);
    let programs: Vec<String> = patterns.map(|pattern| program(&secrets::expression(pattern), Letters::Unicode, &mut tables)).collect();
    let (count, programs, tables) = (programs.len(), programs.join(", "), tables_of_programs(&tables));
    format!("{tables}static PROGRAMS: [Option<Program>; {count}] = [{programs}];\n")
}

/// What programs share.
fn tables_of_programs(tables: &Tables) -> String {
    let (classes, switches) = (&tables.classes.all, &tables.switches.all);
    format!("static CLASSES: &[program::Class] = &{classes:?};\n\nstatic SWITCHES: &[program::Switch] = &{switches:?};\n\n")
}

/// A pattern's program, as it is written into the table.
fn program(pattern: &str, letters: Letters, tables: &mut Tables) -> String {
    let Some(program) = compile::compile(pattern, letters, tables) else { return "None".into() };
    let first = program.first.map_or("None".into(), |class| format!("Some(&CLASSES[{class}])"));
    let compile::Program { code, branches, anchored, groups, .. } = program;
    format!(
        "Some(Program {{ code: &{code:?}, branches: {branches}, classes: CLASSES, switches: SWITCHES, first: {first}, anchored: {anchored}, groups: &{groups:?} }})"
    )
}

fn signature(out: &mut String, tables: &mut Tables, software: &str, engine: Option<&str>, e: &Entry) -> Result<(), Box<dyn std::error::Error>> {
    let pattern = e.pattern.as_deref().map(expand).transpose()?;
    let engine = e.set.get("engine").map(String::as_str).or(engine);
    writeln!(
        out,
        "Signature {{ id: {}, software: {}, engine: {}, anchors: {}, pattern: {}, program: {}, parser: {}, fact: {}, stage: {}, ends: {}, event: {}, hints: {}, cause: {}, units: {}, set: {}, decimal: {}, any_level: {}, weak: {}, needs_failure: {}, exclusive: {}, open: {}, priority: {} }},",
        text(&e.id),
        text(software),
        optional(engine),
        list(&e.anchor),
        optional(pattern.as_deref()),
        pattern.as_deref().map_or("None".into(), |pattern| program(pattern, Letters::Ascii, tables)),
        optional_variant("Parser", e.parser.as_deref()),
        variant("FactKind", &e.fact),
        optional_variant("Stage", e.stage.as_deref()),
        optional_variant("Ends", e.ends.as_deref()),
        optional(e.event.as_deref()),
        optional_variant("FactKind", e.hints.as_deref()),
        optional(e.cause.as_deref()),
        pairs(e.unit.iter()),
        pairs(e.set.iter().filter(|(k, _)| *k != "engine")),
        e.decimal,
        e.any_level,
        e.weak,
        e.needs_failure,
        e.exclusive,
        e.open,
        e.priority,
    )?;
    Ok(())
}

fn frame(out: &mut String, engine: Option<&str>, e: &FrameEntry) -> Result<(), Box<dyn std::error::Error>> {
    writeln!(
        out,
        "FrameRule {{ path: {}, functions: {}, names: {}, code: {}, stage: {}, engine: {}, priority: {} }},",
        optional(e.path.as_deref()),
        list(&e.function),
        if e.function.all().is_empty() { u64::MAX } else { e.function.all().iter().map(|name| format::name_bit(name)).fold(0, |all, bit| all | bit) },
        optional(e.code.as_deref()),
        variant("Stage", &e.stage),
        optional(e.engine.as_deref().or(engine)),
        e.priority,
    )?;
    Ok(())
}

fn flag_tables() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=src/remedies/flags");
    let mut paths: Vec<_> = fs::read_dir("src/remedies/flags")?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|e| e == "toml"));
    paths.sort();
    let mut out = String::from("/// Every table that is compiled in.\npub static TABLES: &[Table] = &[\n");
    for path in &paths {
        let file: flags::File = toml::from_str(&fs::read_to_string(path)?).map_err(|e| format!("{}: {e}", path.display()))?;
        flag_table(&mut out, &file).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    out.push_str("];\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("flags.rs"), out)?;
    Ok(())
}

fn flag_table(out: &mut String, file: &flags::File) -> Result<(), Box<dyn std::error::Error>> {
    let versions: Vec<[u32; 4]> = file.versions.split_whitespace().map(version).collect::<Result<_, _>>()?;
    writeln!(
        out,
        "Table {{ engine: {:?}, versions: &{:?}, names: &{:?}, recent: {:?}, parser: {}, images: &{:?}, port: {}, variables: {}, flags: &[",
        file.engine,
        versions,
        file.versions.split_whitespace().collect::<Vec<_>>(),
        version(&file.recent)?,
        variant("Parser", &file.parser),
        file.images,
        file.port,
        ranged(&file.variables)?,
    )?;
    let mut flags: Vec<_> = file.flags.iter().collect();
    flags.sort_by_key(|flag| &flag.name);
    for flag in flags {
        let spans: Vec<_> = flag.versions.split_whitespace().map(span).collect::<Result<_, _>>()?;
        let kinds: Vec<String> = flag
            .kind
            .split_whitespace()
            .map(|word| {
                let (kind, (from, to)) = limited(word)?;
                Ok(format!("({}, {from:?}, {to:?})", variant("Kind", kind)))
            })
            .collect::<Result<_, String>>()?;
        writeln!(
            out,
            "Flag {{ name: {:?}, kinds: &[{}], spans: &{spans:?}, also: {}, values: {}, defaults: {}, assumed: {}, env: {:?} }},",
            flag.name,
            kinds.join(", "),
            ranged(&flag.also)?,
            ranged(&flag.values)?,
            ranged(&flag.default)?,
            ranged(&flag.assumed)?,
            flag.env,
        )?;
    }
    writeln!(out, "], constraints: &[")?;
    for rule in &file.constraint {
        let (from, to) = span(if rule.versions.is_empty() { ".." } else { &rule.versions })?;
        let two = |flags: &[String]| match flags {
            [] => Ok("None".to_owned()),
            [left, right] => Ok(format!("Some(({left:?}, {right:?}))")),
            _ => Err(format!("{}: two flags are compared", rule.id)),
        };
        let capability = match rule.capability.split_once('.') {
            Some((major, minor)) => format!("Some(({}, {}))", major.parse::<u32>()?, minor.parse::<u32>()?),
            None => "None".to_owned(),
        };
        writeln!(
            out,
            "Constraint {{ id: {:?}, from: {from:?}, to: {to:?}, when: &{:?}, then: &{:?}, below: {}, at_most: {}, capability: {capability}, divides_heads: {:?}, says: {:?} }},",
            rule.id,
            rule.when,
            rule.then,
            two(&rule.below)?,
            two(&rule.at_most)?,
            rule.divides_heads,
            rule.says,
        )?;
    }
    writeln!(out, "] }},")?;
    Ok(())
}

/// The words of a list with the versions that they are limited to, as an array of tuples.
fn ranged(words: &str) -> Result<String, String> {
    let items: Vec<String> = words
        .split_whitespace()
        .map(|word| {
            let (word, (from, to)) = limited(word)?;
            Ok(format!("({word:?}, {from:?}, {to:?})"))
        })
        .collect::<Result<_, String>>()?;
    Ok(format!("&[{}]", items.join(", ")))
}

/// A range of versions, the end left out.
type Span = ([u32; 4], [u32; 4]);

fn limited(word: &str) -> Result<(&str, Span), String> {
    match word.rsplit_once('@') {
        Some((word, range)) => Ok((word, span(range)?)),
        None => Ok((word, span("..")?)),
    }
}

fn span(text: &str) -> Result<Span, String> {
    flags::range(text).ok_or_else(|| format!("{text:?} is no range of versions"))
}

fn version(text: &str) -> Result<[u32; 4], String> {
    flags::numbers(text).ok_or_else(|| format!("{text:?} is no version"))
}
