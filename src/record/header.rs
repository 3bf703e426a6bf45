//! stub
use crate::time::Stamp; use crate::envelope::Level;
#[derive(Debug,Clone,Copy,PartialEq,Eq)] pub enum Format{Vllm,Sglang,LlamaCpp,Tracing,TensorRt}
#[derive(Debug,Clone)] pub struct Header{pub stamp:Option<Stamp>,pub level:Option<Level>,pub logger:Option<String>,pub process:Option<String>,pub rank:Option<u32>,pub format:Format,pub body:usize}
impl Header{ pub fn message<'t>(&self,t:&'t str)->&'t str{&t[self.body..]} pub fn continues(&self,_o:&Header)->bool{false} }
pub fn parse(_:&str)->Option<Header>{None}
