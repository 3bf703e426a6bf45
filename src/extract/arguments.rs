//! stub
#[derive(Debug,Clone)] pub enum Value{None,Bool(bool),Int(i64),Float(f64),Str(String),List(Vec<Value>),Raw(String)}
#[derive(Debug,Clone,Default)] pub struct Arguments{pub engine:Option<&'static str>,pub values:Vec<(String,Value)>,pub version:Option<String>}
#[derive(Debug,Default)] pub struct Deployed{pub engine:Option<String>,pub version:Option<String>,pub model:Option<String>,pub dtype:Option<String>,pub quantization:Option<String>,pub tensor_parallel:Option<u64>,pub max_model_len:Option<u64>,pub gpu_memory_utilization:Option<f64>}
pub fn deployment(_:&Arguments)->Deployed{Deployed::default()}
pub fn tgi_args(_:&str)->Option<Arguments>{None} pub fn namespace(_:&str)->Option<Arguments>{None} pub fn python_dict(_:&str)->Option<Arguments>{None} pub fn vllm_config(_:&str)->Option<Arguments>{None} pub fn server_args(_:&str)->Option<Arguments>{None} pub fn shell_command(_:&str)->Option<Arguments>{None}
