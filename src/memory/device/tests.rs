//! Names of devices as people and drivers write them, and names that are no device.

#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;

use super::*;
use crate::memory::format::Scales;
use crate::memory::size::GIB;

fn gib(text: &str) -> f64 {
    Device::find(text).unwrap_or_else(|e| panic!("{text}: {e}")).total.as_gib()
}

#[test]
fn names_as_people_write_them() {
    for (name, least, most) in [
        ("RTX 3090", 23.5, 23.7),
        ("rtx3090", 23.5, 23.7),
        ("NVIDIA GeForce RTX 3090", 23.5, 23.7),
        ("GeForce RTX 4060 Ti 16GB", 15.5, 15.8),
        ("RTX 4060", 7.5, 7.8),
        ("4090", 23.4, 23.7),
        ("rtx 4090", 23.4, 23.7),
        ("RTX 4070 Ti SUPER", 15.5, 15.8),
        ("rtx4070tisuper", 15.5, 15.8),
        ("Tesla T4", 14.5, 14.8),
        ("T4", 14.5, 14.8),
        ("Tesla V100-SXM2-16GB", 15.7, 15.9),
        ("V100 32GB", 31.7, 31.8),
        ("NVIDIA A100-SXM4-80GB", 79.1, 79.4),
        ("NVIDIA A100 80GB PCIe", 79.1, 79.4),
        ("A100 40GB", 39.3, 39.6),
        ("A100-40GB", 39.3, 39.6),
        ("NVIDIA H100 80GB HBM3", 79.1, 79.3),
        ("H100", 79.0, 79.3),
        ("NVIDIA H100 PCIe", 79.0, 79.3),
        ("NVIDIA L40S", 44.3, 44.6),
        ("L4", 21.9, 22.2),
        ("NVIDIA A10G", 21.9, 22.2),
        ("NVIDIA H200", 139.6, 140.0),
        ("RTX A6000", 47.3, 47.6),
        ("NVIDIA RTX 6000 Ada Generation", 47.3, 47.6),
        ("MI300X", 191.0, 192.0),
        ("AMD Instinct MI300X", 191.0, 192.0),
        ("Radeon RX 7900 XTX", 23.9, 24.0),
        ("7900 XTX", 23.9, 24.0),
        ("Arc A770 16GB", 15.0, 16.0),
        ("Apple M2 Max 64GB", 48.0, 48.0),
        ("Apple M3 Max 64GB", 48.0, 48.0),
        ("NVIDIA GB10", 119.6, 119.8),
        ("M1 Pro 32 GB", 21.3, 21.4),
        ("A100-SXM4-40GB MIG 1g.5gb", 4.7, 4.8),
        ("1g.10gb", 9.5, 9.6),
        ("NVIDIA H100 80GB HBM3 MIG 3g.40gb", 37.9, 39.6),
        ("8GiB", 8.0, 8.0),
        ("24", 24.0, 24.0),
        ("24GB", 22.35, 22.36),
    ] {
        let found = gib(name);
        assert!((least..=most).contains(&found), "{name}: {found:.2}");
    }
}

#[test]
fn what_is_no_device_is_unknown() {
    for name in [
        "",
        "RTX",
        "GeForce",
        "RTX 9999",
        "RTX 3090 Tie",
        "RTX 30900",
        "H1000",
        "A100 60GB",
        "RTX 3090 48GB",
        "GPU",
        "NVIDIA",
        "potato",
        "MI300",
        "-8GB",
        "0",
        "MIG 9g.10gb",
        "M2 Max 2048GB",
        "laptop",
    ] {
        assert!(matches!(Device::find(name), Err(UnknownDevice::Unknown { .. })), "{name}: {:?}", Device::find(name));
    }
}

#[test]
fn a_name_for_several_sizes_is_ambiguous() {
    for name in ["A100", "NVIDIA A100", "V100", "M2 Max", "RTX 4060 Ti", "Apple M3 Ultra"] {
        assert!(matches!(Device::find(name), Err(UnknownDevice::Ambiguous { .. })), "{name}: {:?}", Device::find(name));
    }
}

#[test]
fn every_row_is_found_by_its_own_name() {
    for row in rows().iter().filter(|row| row.total_mib.is_some()) {
        let found = Device::find(row.name).unwrap_or_else(|e| panic!("{}: {e}", row.name));
        let close = found.total.0.abs_diff(row.total_mib.unwrap() << 20) * 50 <= found.total.0;
        assert!(close, "{} is found as {}", row.name, found.name);
        assert!(found.total.0 <= (row.label.1 + 1) * GIB, "{}", row.name);
        assert!(!row.source.is_empty());
    }
}

#[test]
fn capabilities_follow_from_the_architecture() {
    let device = |name: &str| Device::find(name).unwrap();
    assert_eq!(device("T4").bf16(), Some(false));
    assert_eq!(device("RTX 3090").bf16(), Some(true));
    assert_eq!(device("RTX 3090").fp8(), Some(false));
    assert_eq!(device("RTX 4090").fp8(), Some(true));
    assert_eq!(device("T4").flash_attention(), Some(false));
    assert_eq!(device("24GB").bf16(), None);
    assert_eq!(device("MI300X").fp8(), Some(true));
    assert_eq!(device("RTX 3090").runs(Method::Fp8(Scales::Tensor)), Support::WeightsOnly);
    assert_eq!(device("T4").runs(Method::Fp8(Scales::Tensor)), Support::No);
    assert_eq!(device("V100 32GB").runs(Method::Awq { bits: 4, group: 128 }), Support::No);
    assert_eq!(device("B200").runs(Method::Nvfp4), Support::Native);
    assert_eq!(device("8GiB").runs(Method::Nvfp4), Support::Unknown);
    assert_eq!(device("NVIDIA H100 80GB HBM3 MIG 1g.10gb").arch, Arch::Cuda(9, 0));
}

#[test]
fn what_nvidia_smi_prints_is_read() {
    let found = ask::nvidia_smi(
        "NVIDIA GeForce RTX 3090, 24576, 1034, 8.6\nNVIDIA Imaginary X1, 16376, 5, 12.0\nTesla T4, 15360, 0\n\nUnable to determine the device handle for GPU0000:01:00.0: Unknown Error\n",
    );
    assert_eq!(found.len(), 3);
    assert_eq!(found[0].total, Device::find("RTX 3090").unwrap().total);
    assert_eq!(found[0].in_use, Some(Bytes::mib(1034)));
    assert_eq!(found[1].arch, Arch::Cuda(12, 0));
    assert_eq!(found[1].total, Bytes::mib(16376 - 81 - 370));
    assert_eq!(found[2].arch, Arch::Cuda(7, 5));
    assert!(found.iter().all(|d| d.basis == Basis::Asked));
    assert!(ask::nvidia_smi("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.").is_empty());
}

#[test]
fn what_rocm_smi_prints_is_read() {
    let text = r#"{"card0": {"Card Series": "AMD Instinct MI210", "GFX Version": "gfx90a", "VRAM Total Memory (B)": "68702699520", "VRAM Total Used Memory (B)": "11513856"}, "system": {}}"#;
    let found = ask::rocm_smi(text);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].arch, Arch::Gfx("gfx90a".into()));
    assert_eq!(found[0].in_use, Some(Bytes(11_513_856)));
    assert!(ask::rocm_smi("ERROR: no amdgpu").is_empty());
}

proptest! {
    #[test]
    fn any_name_is_a_device_or_none(name in "\\PC{0,40}") {
        if let Ok(device) = Device::find(&name) {
            prop_assert!(device.total > Bytes::ZERO);
        }
        let _ = ask::nvidia_smi(&name);
        let _ = ask::rocm_smi(&name);
    }

    #[test]
    fn a_slice_never_offers_more_than_its_label(compute in prop::sample::select(vec![1u8, 2, 3, 4, 7]), size in 1u64..512) {
        let device = Device::find(&format!("{compute}g.{size}gb")).unwrap();
        prop_assert!(device.total + device.margin <= Bytes::gib(size));
    }
}
