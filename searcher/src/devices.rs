//! Where trials run: one a GPU, or one a core.

mod inventory;

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

pub use inventory::{Gpu, Inventory, gpu_memory_free};

/// Workers on the CPU unless told otherwise.
pub const JOBS_DEFAULT: usize = 2;
/// Memory that a trial is taken to need where nothing is known of it, in bytes.
pub const TRIAL_MEMORY: u64 = 1 << 30;

/// Something that trains one trial at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// A thread of the CPU.
    Cpu,
    /// The GPU of this number.
    Cuda(u32),
}

impl Device {
    /// Returns what CUDA programs of this device are to see of the GPUs, as `CUDA_VISIBLE_DEVICES` says it.
    #[must_use]
    pub fn visible_gpus(self) -> String {
        match self {
            Self::Cpu => String::new(),
            Self::Cuda(number) => number.to_string(),
        }
    }
}

impl Display for Device {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => formatter.write_str("cpu"),
            Self::Cuda(number) => write!(formatter, "cuda:{number}"),
        }
    }
}

/// Which devices to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Devices {
    /// Every GPU with room for a trial; where there is none, the CPU.
    Auto,
    /// These.
    Listed(Vec<Device>),
}

impl FromStr for Devices {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let wrong = |name: &str| format!("{name:?} is no device: auto, cpu, or GPUs such as cuda:0,cuda:1");
        let mut devices = Vec::new();
        for name in text.split(',') {
            let device = match name.strip_prefix("cuda:").map(str::parse) {
                Some(Ok(number)) => Device::Cuda(number),
                None if name == "cpu" => Device::Cpu,
                _ => return Err(wrong(name)),
            };
            if devices.contains(&device) {
                return Err(format!("{name} is there twice"));
            }
            devices.push(device);
        }
        match devices.as_slice() {
            [_, _, ..] if devices.contains(&Device::Cpu) => Err("cpu stands alone: a trial a GPU, or all on it".into()),
            _ => Ok(Self::Listed(devices)),
        }
    }
}

/// How many workers to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jobs {
    /// As many as devices, or cores, and memory allow.
    Auto,
    /// This many; 0: none, trials are run by workers elsewhere.
    Count(usize),
}

impl FromStr for Jobs {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(count @ 0..=256) => Ok(Self::Count(count)),
            _ if text == "auto" => Ok(Self::Auto),
            _ => Err("auto, or a number from 0 to 256".to_owned()),
        }
    }
}

/// Why workers cannot be placed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// A GPU is not there.
    #[error("--devices: there is no cuda:{number}; {}", found(.gpus))]
    Absent {
        /// Its number.
        number: u32,
        /// Numbers of those there are.
        gpus: Vec<u32>,
    },
    /// A GPU has no room.
    #[error(
        "--devices: cuda:{number} has {free} MiB of memory free, and a trial needs {needed} (--trial-memory): end what uses it"
    )]
    Full {
        /// Its number.
        number: u32,
        /// Free memory, in MiB.
        free: u64,
        /// What a trial needs, in MiB.
        needed: u64,
    },
    /// More workers than GPUs.
    #[error("--jobs is {jobs}, and there are {devices} GPUs for them: one trial a GPU")]
    TooMany {
        /// Workers asked for.
        jobs: usize,
        /// GPUs to be used.
        devices: usize,
    },
}

fn found(gpus: &[u32]) -> String {
    let names: Vec<String> = gpus.iter().map(|number| format!("cuda:{number}")).collect();
    if names.is_empty() { "nvidia-smi finds no GPU".to_owned() } else { format!("there is {}", names.join(", ")) }
}

/// Returns the device of each worker. `trial_memory` is what a trial may use, in bytes, if that is limited.
///
/// # Errors
/// [`DeviceError`] when a GPU that was asked for is absent or full, or there are fewer than workers.
pub fn place(
    devices: &Devices,
    jobs: Option<Jobs>,
    trial_memory: Option<u64>,
    inventory: &Inventory,
) -> Result<Vec<Device>, DeviceError> {
    if jobs == Some(Jobs::Count(0)) {
        return Ok(Vec::new());
    }
    let needed = trial_memory.unwrap_or(TRIAL_MEMORY);
    let gpus: Vec<Device> = match devices {
        Devices::Auto => {
            let roomy = inventory.gpus.iter().filter(|gpu| gpu.memory_free >= needed);
            roomy.map(|gpu| Device::Cuda(gpu.number)).collect()
        }
        Devices::Listed(listed) => {
            for device in listed {
                check(*device, needed, inventory)?;
            }
            listed.iter().copied().filter(|device| *device != Device::Cpu).collect()
        }
    };
    if gpus.is_empty() {
        let count = match jobs {
            None => JOBS_DEFAULT,
            Some(Jobs::Count(count)) => count,
            Some(Jobs::Auto) => {
                let fit = inventory.memory_available.map_or(u64::MAX, |available| available / needed);
                inventory.cores.min(usize::try_from(fit).unwrap_or(usize::MAX)).max(1)
            }
        };
        return Ok(vec![Device::Cpu; count]);
    }
    match jobs {
        Some(Jobs::Count(jobs)) if jobs > gpus.len() => Err(DeviceError::TooMany { jobs, devices: gpus.len() }),
        Some(Jobs::Count(jobs)) => Ok(gpus.into_iter().take(jobs).collect()),
        None | Some(Jobs::Auto) => Ok(gpus),
    }
}

fn check(device: Device, needed: u64, inventory: &Inventory) -> Result<(), DeviceError> {
    let Device::Cuda(number) = device else { return Ok(()) };
    match inventory.gpus.iter().find(|gpu| gpu.number == number) {
        None => Err(DeviceError::Absent { number, gpus: inventory.gpus.iter().map(|gpu| gpu.number).collect() }),
        Some(gpu) if gpu.memory_free < needed => {
            Err(DeviceError::Full { number, free: gpu.memory_free >> 20, needed: needed >> 20 })
        }
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn machine(free: &[u64]) -> Inventory {
        let gpus = (0..).zip(free).map(|(number, free)| Gpu { number, memory_free: free * GIB }).collect();
        Inventory { cores: 8, memory_available: Some(5 * GIB), gpus }
    }

    fn placed(devices: &str, jobs: Option<&str>, memory: Option<u64>, free: &[u64]) -> Result<String, DeviceError> {
        let jobs = jobs.map(|jobs| jobs.parse().unwrap());
        let placed = place(&devices.parse().unwrap(), jobs, memory, &machine(free))?;
        Ok(placed.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn one_trial_a_gpu_with_room() {
        assert_eq!(placed("auto", None, None, &[70, 0, 30]).unwrap(), "cuda:0 cuda:2");
        assert_eq!(placed("auto", Some("auto"), Some(40 * GIB), &[70, 0, 30]).unwrap(), "cuda:0");
        assert_eq!(placed("auto", Some("1"), None, &[70, 70]).unwrap(), "cuda:0");
        assert_eq!(placed("cuda:1", None, None, &[70, 70]).unwrap(), "cuda:1");
        let error = placed("auto", Some("3"), None, &[70, 70]).unwrap_err();
        assert_eq!(error, DeviceError::TooMany { jobs: 3, devices: 2 });
        let error = placed("cuda:0,cuda:2", None, None, &[70, 70]).unwrap_err();
        assert_eq!(error.to_string(), "--devices: there is no cuda:2; there is cuda:0, cuda:1");
        let error = placed("cuda:0", None, Some(8 * GIB), &[3]).unwrap_err();
        assert_eq!(error, DeviceError::Full { number: 0, free: 3 << 10, needed: 8 << 10 });
    }

    #[test]
    fn without_gpus_trials_share_the_cores_as_memory_allows() {
        assert_eq!(placed("auto", None, None, &[]).unwrap(), "cpu cpu");
        assert_eq!(placed("auto", Some("auto"), None, &[]).unwrap(), ["cpu"; 5].join(" "), "5 GiB hold 5 trials");
        assert_eq!(placed("auto", Some("auto"), Some(GIB / 4), &[]).unwrap(), ["cpu"; 8].join(" "), "a trial a core");
        assert_eq!(placed("auto", Some("auto"), Some(100 * GIB), &[]).unwrap(), "cpu", "one is tried");
        assert_eq!(placed("cpu", Some("3"), None, &[70]).unwrap(), "cpu cpu cpu");
        assert_eq!(placed("auto", Some("0"), None, &[70]).unwrap(), "", "workers elsewhere run the trials");
    }

    #[test]
    fn what_names_no_device_is_refused() {
        for text in ["", "gpu", "cuda", "cuda:x", "cuda:0,cuda:0", "cpu,cuda:0", "auto,cpu"] {
            assert!(text.parse::<Devices>().is_err(), "{text:?}");
        }
        assert!("-1".parse::<Jobs>().is_err() && "257".parse::<Jobs>().is_err() && "some".parse::<Jobs>().is_err());
    }
}
