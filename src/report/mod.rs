//! stub
pub mod redact { pub fn redact_report(_:&mut crate::PostMortem){} }
use crate::PostMortem;
pub enum Format{Text,Markdown,Json,Ndjson,Html}
pub enum Entry{Report(Box<PostMortem>),Error{name:String,reason:String}}
pub struct Style{pub width:usize,pub color:bool,pub unicode:bool}
pub fn write(_f:Format,e:&[Entry],_s:&Style,w:&mut dyn std::io::Write)->std::io::Result<()>{ for x in e { if let Entry::Report(p)=x { writeln!(w,"{}",serde_json::to_string_pretty(p).unwrap_or_default())?; } } Ok(()) }
