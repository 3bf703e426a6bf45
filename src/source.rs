//! stub
use std::path::PathBuf;
use std::io::{Read,BufRead};
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum SourceError { #[error("io {0}")] Io(String) }
impl SourceError { pub fn name(&self)->&str {"x"} }
pub enum Input { Path(PathBuf), Stdin }
pub struct Reader { r: Box<dyn BufRead>, buf: Vec<u8>, n: u64, b: u64, p: Vec<String> }
pub struct RawLine<'a> { pub number: u64, pub bytes: &'a [u8] }
impl Reader {
  pub fn from_read(r: Box<dyn Read + Send>) -> Result<Self, SourceError> { Ok(Reader{r:Box::new(std::io::BufReader::new(r)),buf:vec![],n:0,b:0,p:vec![]}) }
  pub fn next_line(&mut self)->Result<Option<RawLine<'_>>,SourceError>{ self.buf.clear(); let k=self.r.read_until(b'\n',&mut self.buf).map_err(|e|SourceError::Io(e.to_string()))?; if k==0 {return Ok(None)} self.n+=1; self.b+=k as u64; if self.buf.last()==Some(&b'\n'){self.buf.pop();} Ok(Some(RawLine{number:self.n,bytes:&self.buf})) }
  pub fn bytes_read(&self)->u64{self.b} pub fn lines_read(&self)->u64{self.n} pub fn problems(&self)->&[String]{&self.p}
}
pub fn open(i: Input)->Result<Reader,SourceError>{ match i { Input::Path(p)=>Reader::from_read(Box::new(std::fs::File::open(p).map_err(|e|SourceError::Io(e.to_string()))?)), Input::Stdin=>Reader::from_read(Box::new(std::io::stdin())) } }
pub fn expand(p:&[PathBuf])->(Vec<Input>,Vec<SourceError>){ (p.iter().map(|p|Input::Path(p.clone())).collect(),vec![]) }
