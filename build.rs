//! Turns `src/signatures/*.toml` and the catalogues of `src/memory` into static tables, so that a start parses and
//! compiles nothing.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

#[path = "src/signatures/format.rs"]
#[allow(dead_code)]
mod format;

#[path = "src/memory/names.rs"]
mod names;

use format::{Entry, File, FrameEntry, OneOrMany, expand};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=src/signatures");
    println!("cargo::rerun-if-changed=src/memory/names.rs");
    println!("cargo::rerun-if-changed=src/memory/catalogue");
    println!("cargo::rerun-if-changed=src/memory/devices.csv");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("models.rs"), models()?)?;
    fs::write(Path::new(&env::var("OUT_DIR")?).join("devices.rs"), devices()?)?;
    let mut paths: Vec<_> = fs::read_dir("src/signatures")?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|e| e == "toml"));
    paths.sort();
    let mut signatures = String::new();
    let mut frames = String::new();
    let mut anchors: Vec<(usize, String)> = Vec::new();
    let mut seen: HashMap<[u8; 4], u32> = HashMap::new();
    let mut count = 0;
    for path in &paths {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let file: File = toml::from_str(&fs::read_to_string(path)?).map_err(|e| format!("{}: {e}", path.display()))?;
        for entry in &file.signature {
            anchors.extend(entry.anchor.all().iter().map(|anchor| (count, anchor.clone())));
            count += 1;
            for text in [&entry.anchor, &entry.example, &entry.counter].into_iter().flat_map(|texts| texts.all()) {
                for gram in text.as_bytes().windows(4) {
                    *seen.entry([gram[0], gram[1], gram[2], gram[3]]).or_default() += 1;
                }
            }
            signature(&mut signatures, &name, file.engine.as_deref(), entry).map_err(|e| format!("{}: {}: {e}", path.display(), entry.id))?;
        }
        for entry in &file.frame {
            frame(&mut frames, file.engine.as_deref(), entry)?;
        }
    }
    let index = index(&anchors, &seen)?;
    let out = format!(
        "/// Every signature that is compiled in.\npub static SIGNATURES: &[Signature] = &[\n{signatures}];\n\n/// Every frame rule that is compiled in.\npub static FRAMES: &[FrameRule] = &[\n{frames}];\n\n{index}"
    );
    fs::write(Path::new(&env::var("OUT_DIR")?).join("signatures.rs"), out)?;
    Ok(())
}

/// The index by which anchors are found: of each anchor the four bytes that are rarest in all that the files quote.
fn index(anchors: &[(usize, String)], seen: &HashMap<[u8; 4], u32>) -> Result<String, Box<dyn std::error::Error>> {
    let mut rows: Vec<(u32, usize, usize, &str)> = Vec::new();
    for (signature, anchor) in anchors {
        let gram = |at: usize| [anchor.as_bytes()[at], anchor.as_bytes()[at + 1], anchor.as_bytes()[at + 2], anchor.as_bytes()[at + 3]];
        let last = anchor.len().checked_sub(4).ok_or_else(|| format!("the anchor {anchor:?} is shorter than four bytes"))?;
        let at = (0..=last).min_by_key(|&at| seen.get(&gram(at))).unwrap_or(0);
        rows.push((u32::from_le_bytes(gram(at)), at, *signature, anchor));
    }
    rows.sort();
    let mut bits = vec![0u64; 1024];
    let mut out = String::from(
        "/// Every anchor by its rarest four bytes: those, where in the anchor they stand, the signature, the anchor.\nstatic ANCHORS: &[(u32, u8, u16, &str)] = &[\n",
    );
    for (gram, at, signature, anchor) in rows {
        let bit = format::gram_bit(gram);
        bits[bit >> 6] |= 1 << (bit & 63);
        writeln!(out, "({gram}, {}, {}, {anchor:?}),", u8::try_from(at)?, u16::try_from(signature)?)?;
    }
    writeln!(out, "];\n\n/// Which four bytes may begin to tell an anchor.\nstatic GRAM_BITS: [u64; 1024] = {bits:?};")?;
    Ok(out)
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

fn signature(out: &mut String, software: &str, engine: Option<&str>, e: &Entry) -> Result<(), Box<dyn std::error::Error>> {
    let pattern = e.pattern.as_deref().map(expand).transpose()?;
    let engine = e.set.get("engine").map(String::as_str).or(engine);
    writeln!(
        out,
        "Signature {{ id: {}, software: {}, engine: {}, anchors: {}, pattern: {}, parser: {}, fact: {}, stage: {}, ends: {}, event: {}, hints: {}, cause: {}, units: {}, set: {}, decimal: {}, any_level: {}, weak: {}, needs_failure: {}, exclusive: {}, open: {}, priority: {} }},",
        text(&e.id),
        text(software),
        optional(engine),
        list(&e.anchor),
        optional(pattern.as_deref()),
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
        "FrameRule {{ path: {}, functions: {}, code: {}, stage: {}, engine: {}, priority: {} }},",
        optional(e.path.as_deref()),
        list(&e.function),
        optional(e.code.as_deref()),
        variant("Stage", &e.stage),
        optional(e.engine.as_deref().or(engine)),
        e.priority,
    )?;
    Ok(())
}

/// The catalogue of models: its entries, and an index of their names in order.
fn models() -> Result<String, Box<dyn std::error::Error>> {
    let mut paths: Vec<_> = fs::read_dir("src/memory/catalogue")?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|e| e == "toml"));
    paths.sort();
    let (mut rows, mut index, mut aliases) = (String::new(), Vec::new(), Vec::new());
    let mut count = 0u16;
    for path in &paths {
        let file: toml::Table = toml::from_str(&fs::read_to_string(path)?).map_err(|e| format!("{}: {e}", path.display()))?;
        for table in ["tag", "name"] {
            for (name, id) in file.get(table).and_then(toml::Value::as_table).into_iter().flatten() {
                let id = id.as_str().ok_or_else(|| format!("{}: `{name}` names no model", path.display()))?;
                let exact = table == "tag" && !name.contains(':');
                aliases.push((if exact { format!("={name}") } else { names::key(&names::words(name)) }, id.to_owned()));
            }
        }
        for entry in file.get("model").and_then(toml::Value::as_array).into_iter().flatten() {
            model(&mut rows, &mut index, count, entry).map_err(|e| format!("{}: {entry}: {e}", path.display()))?;
            count += 1;
        }
    }
    index.sort();
    index.dedup();
    aliases.sort();
    // The keys in one text and where each begins: that takes no pointer, so nothing to relocate at start.
    let (mut text, mut at) = (String::new(), String::new());
    for (key, row, id) in index {
        writeln!(at, "({}, {row}, {id}),", text.len())?;
        text += &key;
    }
    let mut out = format!("static ROWS: &[Row] = &[\n{rows}];\n\nstatic KEYS: &str = {text:?};\n\nstatic NAMES: &[(u32, u16, u16)] = &[\n{at}");
    out += "];\n\nstatic ALIASES: &[(&str, &str)] = &[\n";
    for (key, id) in aliases {
        writeln!(out, "({key:?}, {id:?}),")?;
    }
    Ok(out + "];\n")
}

fn model(rows: &mut String, index: &mut Vec<(String, u16, u16)>, row: u16, entry: &toml::Value) -> Result<(), Box<dyn std::error::Error>> {
    let known = ["id", "parameters", "stored", "why", "tower", "dtype", "source", "config"];
    if let Some(key) = entry.as_table().into_iter().flat_map(toml::Table::keys).find(|key| !known.contains(&key.as_str())) {
        return Err(format!("`{key}` is no key of a model").into());
    }
    let ids: Vec<&str> = entry.get("id").and_then(toml::Value::as_array).into_iter().flatten().filter_map(toml::Value::as_str).collect();
    let number = |key: &str| entry.get(key).and_then(toml::Value::as_integer).map(u64::try_from).transpose();
    let text = |key: &str| entry.get(key).and_then(toml::Value::as_str);
    for (at, id) in ids.iter().enumerate() {
        let (whole, name) = (names::words(id), names::words(names::without_owner(id)));
        for key in [format!("={}", names::key(&whole)), format!("/{}", names::key(&name)), format!("~{}", names::key(&names::bare(&name)))] {
            index.push((key, row, u16::try_from(at)?));
        }
    }
    writeln!(
        rows,
        "Row {{ ids: &{ids:?}, parameters: {}, stored: {:?}, why: {:?}, tower: {:?}, dtype: {:?}, source: {:?}, config: {:?} }},",
        number("parameters")?.ok_or("no parameters")?,
        number("stored")?,
        text("why"),
        number("tower")?,
        text("dtype"),
        text("source").ok_or("no source")?,
        entry.get("config").map_or(Ok(String::new()), |config| json(config))?,
    )?;
    Ok(())
}

/// A configuration as JSON.
fn json(value: &toml::Value) -> Result<String, Box<dyn std::error::Error>> {
    Ok(match value {
        toml::Value::String(text) => format!("{text:?}"),
        toml::Value::Integer(_) | toml::Value::Float(_) | toml::Value::Boolean(_) => value.to_string(),
        toml::Value::Array(items) => format!("[{}]", items.iter().map(json).collect::<Result<Vec<_>, _>>()?.join(",")),
        toml::Value::Table(table) => {
            let pairs =
                table.iter().map(|(key, value)| Ok(format!("{key:?}:{}", json(value)?))).collect::<Result<Vec<_>, Box<dyn std::error::Error>>>()?;
            format!("{{{}}}", pairs.join(","))
        }
        toml::Value::Datetime(_) => return Err("a date in a configuration".into()),
    })
}

/// The catalogue of devices, a CSV file whose only quoted fields are names and sources.
fn devices() -> Result<String, Box<dyn std::error::Error>> {
    let mut out = String::from("static DEVICES: &[Row] = &[\n");
    let text = fs::read_to_string("src/memory/devices.csv")?;
    let mut lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    if lines.next() != Some("name,vendor,label_gib,total_mib,spread_mib,arch,unified,basis,source") {
        return Err("src/memory/devices.csv: other columns than expected".into());
    }
    for line in lines {
        let fields = fields(line);
        let [name, vendor, label, total, spread, arch, unified, basis, source] = fields.as_slice() else {
            return Err(format!("src/memory/devices.csv: not nine fields: {line}").into());
        };
        let (low, high) = label.split_once('-').unwrap_or((label, label));
        let number = |text: &str| text.parse::<u64>().map_err(|e| format!("src/memory/devices.csv: {line}: `{text}`: {e}"));
        let vendor = match vendor.as_str() {
            "NVIDIA" => "Nvidia",
            "AMD" => "Amd",
            other @ ("Intel" | "Apple") => other,
            other => return Err(format!("src/memory/devices.csv: {line}: `{other}` makes no devices").into()),
        };
        let measured = match basis.as_str() {
            "measured" => true,
            "derived" => false,
            other => return Err(format!("src/memory/devices.csv: {line}: `{other}` is no basis").into()),
        };
        let total = if total.is_empty() { None } else { Some(number(total)?) };
        writeln!(
            out,
            "Row {{ name: {name:?}, vendor: Vendor::{vendor}, label: ({}, {}), total_mib: {total:?}, spread_mib: {}, arch: {arch:?}, unified: {}, measured: {measured}, source: {source:?} }},",
            number(low)?,
            number(high)?,
            if spread.is_empty() { 0 } else { number(spread)? },
            !unified.is_empty(),
        )?;
    }
    Ok(out + "];\n")
}

/// The fields of a line of CSV; quotes within quotes do not occur.
fn fields(line: &str) -> Vec<String> {
    let (mut out, mut quoted) = (vec![String::new()], false);
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => out.push(String::new()),
            _ => out.last_mut().into_iter().for_each(|field| field.push(c)),
        }
    }
    out
}
