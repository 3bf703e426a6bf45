//! Turns the catalogues of models and devices in `src/memory` into statics.

use std::fmt::Write as _;
use std::fs;

use crate::names;

/// The catalogue of models: its entries, and an index of their names in order.
pub fn models() -> Result<String, Box<dyn std::error::Error>> {
    let mut paths: Vec<_> = fs::read_dir("src/memory/catalogue")?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|e| e == "toml"));
    paths.sort();
    let (mut rows, mut index, mut aliases) = (String::new(), Vec::new(), Vec::new());
    let (mut tags, mut published) = (Vec::new(), Vec::new());
    let mut count = 0u16;
    for path in &paths {
        let file: toml::Table = toml::from_str(&fs::read_to_string(path)?).map_err(|e| format!("{}: {e}", path.display()))?;
        for table in ["tag", "name"] {
            for (name, id) in file.get(table).and_then(toml::Value::as_table).into_iter().flatten() {
                let id = id.as_str().ok_or_else(|| format!("{}: `{name}` names no model", path.display()))?;
                let exact = table == "tag" && !name.contains(':');
                if table == "tag" {
                    tags.push((names::own_key(id), name.clone()));
                }
                aliases.push((if exact { format!("={name}") } else { names::key(&names::words(name)) }, id.to_owned()));
            }
        }
        for (name, base) in file.get("published").and_then(toml::Value::as_table).into_iter().flatten() {
            let base = base.as_str().ok_or_else(|| format!("{}: `{name}` is made of no model", path.display()))?;
            published.push((names::own_key(base), name.clone()));
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
    for (name, pairs) in [("TAGS", &mut tags), ("PUBLISHED", &mut published)] {
        pairs.sort();
        write!(out, "];\n\nstatic {name}: &[(&str, &str)] = &[\n")?;
        for (key, name) in pairs {
            writeln!(out, "({key:?}, {name:?}),")?;
        }
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

/// The catalogue of devices.
pub fn devices() -> Result<String, Box<dyn std::error::Error>> {
    let mut out = String::from("static DEVICES: &[Row] = &[\n");
    let mut table = csv::ReaderBuilder::new().comment(Some(b'#')).from_path("src/memory/devices.csv")?;
    if table.headers()? != ["name", "vendor", "label_gib", "total_mib", "spread_mib", "arch", "unified", "basis", "source"].as_slice() {
        return Err("src/memory/devices.csv: other columns than expected".into());
    }
    for row in table.deserialize() {
        let (name, vendor, label, total, spread, arch, unified, basis, source): DeviceRow = row?;
        let (low, high) = label.split_once('-').unwrap_or((&label, &label));
        let number = |text: &str| text.parse::<u64>().map_err(|e| format!("src/memory/devices.csv: {name}: `{text}`: {e}"));
        let vendor = match vendor.as_str() {
            "NVIDIA" => "Nvidia",
            "AMD" => "Amd",
            other @ ("Intel" | "Apple") => other,
            other => return Err(format!("src/memory/devices.csv: {name}: `{other}` makes no devices").into()),
        };
        let measured = match basis.as_str() {
            "measured" => true,
            "derived" => false,
            other => return Err(format!("src/memory/devices.csv: {name}: `{other}` is no basis").into()),
        };
        writeln!(
            out,
            "Row {{ name: {name:?}, vendor: Vendor::{vendor}, label: ({}, {}), total_mib: {total:?}, spread_mib: {}, arch: {arch:?}, unified: {}, measured: {measured}, source: {source:?} }},",
            number(low)?,
            number(high)?,
            spread.unwrap_or(0),
            !unified.is_empty(),
        )?;
    }
    Ok(out + "];\n")
}

/// Name, vendor, size on the box (or a range of them), MiB that drivers offer, MiB more that others do, architecture,
/// whether memory is unified, basis, source.
type DeviceRow = (String, String, String, Option<u64>, Option<u64>, String, String, String, String);
