//! stub
#[derive(Debug,Default)] pub struct Allocation{pub device:Option<u32>,pub tried:Option<u64>,pub total:Option<u64>,pub free:Option<u64>,pub allocated:Option<u64>,pub reserved:Option<u64>,pub unallocated:Option<u64>,pub private:Option<u64>,pub limit:Option<u64>,pub process:Option<u64>,pub others:Vec<(u32,Option<u64>)>}
pub struct Own{pub own:Option<u64>,pub others:Option<u64>}
pub fn parse(_:&str)->Option<Allocation>{None}
pub fn identify_self(_:&Allocation)->Own{Own{own:None,others:None}}
