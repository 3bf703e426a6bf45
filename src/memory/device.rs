//! What a device offers: its memory as the driver gives it, and what its kernels can do.

use super::size::Bytes;

/// A GPU, or what takes its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Device {
    /// Its name, as the catalogue or the driver has it; the size as given where only a size is known.
    pub name: String,
    /// Who made it.
    pub vendor: Vendor,
    /// Usable bytes, as PyTorch reports them (`cudaMemGetInfo`), ECC and the driver's own share taken off.
    pub total: Bytes,
    /// How far `total` may be off: what ECC, the driver's version and the system (Windows gives all of it) change.
    pub margin: Bytes,
    /// The size on the box. Boxes say GB and mean GiB.
    pub marketing: Option<Bytes>,
    /// Bytes in use by others when the device was asked (`--gpu auto`).
    pub in_use: Option<Bytes>,
    /// The architecture, from which follows what it can run.
    pub arch: Arch,
    /// Processor and device share one memory.
    pub unified: bool,
    /// How `total` is known.
    pub basis: Basis,
}

/// Who made a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Vendor {
    /// NVIDIA.
    Nvidia,
    /// AMD.
    Amd,
    /// Intel.
    Intel,
    /// Apple.
    Apple,
    /// Not known: only a size was given.
    Unknown,
}

/// The architecture of a device.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Arch {
    /// NVIDIA's compute capability: 8.6 is `(8, 6)`.
    Cuda(u8, u8),
    /// AMD's target: `gfx942`.
    Gfx(String),
    /// Another, by its name: `Xe2`, `Metal`.
    Other(String),
    /// Not known.
    Unknown,
}

/// How the usable memory of a device is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Basis {
    /// Asked from the driver on this machine.
    Asked,
    /// Given by the user as a size.
    Given,
    /// Printed by a server or a tool on such a device.
    Measured,
    /// The size on the box less what drivers usually keep.
    Derived,
}
