//! Options of what runs trials: how many at once, on which devices, within which limits.

use std::time::Duration;

use clap::Args;

use crate::devices::{Device, Devices, Inventory, Jobs, place};
use crate::error::SearcherError;
use crate::limits::TrialLimits;

/// Options of what runs trials.
#[derive(Debug, Args)]
pub struct RunnerOptions {
    /// Worker processes on this machine: a number, or auto for one a GPU, or without GPUs one a core, fewer if memory is
    /// short. A search without workers of its own (0) leaves its trials to those of other machines
    #[arg(long, value_name = "N|auto")]
    pub jobs: Option<Jobs>,
    /// auto: every GPU with room for a trial, or else the CPU; cpu; or GPUs such as cuda:0,cuda:1. One trial a GPU
    #[arg(long, default_value = "auto")]
    devices: Devices,
    /// Longest time an attempt at a trial may take, such as 90s, 30m or 2h [default: any]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    trial_timeout: Option<Duration>,
    /// Longest time a trial may stand still: pull no batch, end no epoch and write nothing
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_duration)]
    hang_timeout: Duration,
    /// Most memory a trial's processes may use, such as 800M or 4G [default: any]; also the GPU memory that must be free
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    trial_memory: Option<u64>,
}

impl RunnerOptions {
    /// Returns the limits of an attempt.
    #[must_use]
    pub fn limits(&self) -> TrialLimits {
        TrialLimits { timeout: self.trial_timeout, hang: self.hang_timeout, memory_bytes: self.trial_memory }
    }

    /// Returns the device of each worker; `trains` tells whether trials may use a GPU at all.
    ///
    /// # Errors
    /// [`SearcherError::Devices`] when a GPU is absent or full, or there are fewer than workers.
    pub fn placements(&self, trains: bool) -> Result<Vec<Device>, SearcherError> {
        let asks = trains && self.devices != Devices::Listed(vec![Device::Cpu]);
        Ok(place(&self.devices, self.jobs, self.trial_memory, &Inventory::take(asks))?)
    }

    /// Returns the GPU of a worker that was given one.
    #[must_use]
    pub fn gpu(&self) -> Option<u32> {
        match &self.devices {
            Devices::Listed(devices) => match devices.as_slice() {
                [Device::Cuda(number)] => Some(*number),
                _ => None,
            },
            Devices::Auto => None,
        }
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|letter: char| !(letter.is_ascii_digit() || letter == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => f64::NAN,
    };
    match number.parse::<f64>().map(|number| Duration::try_from_secs_f64(number * seconds)) {
        Ok(Ok(duration)) if !duration.is_zero() => Ok(duration),
        _ => Err("a time above 0, such as 90s, 30m or 2h".to_owned()),
    }
}

fn parse_size(text: &str) -> Result<u64, String> {
    let (number, shift) = match text.char_indices().next_back() {
        Some((at, 'K' | 'k')) => (&text[..at], 10),
        Some((at, 'M' | 'm')) => (&text[..at], 20),
        Some((at, 'G' | 'g')) => (&text[..at], 30),
        _ => (text, 0),
    };
    match number.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift)) {
        Some(bytes) if bytes > 0 => Ok(bytes),
        _ => Err("a size above 0, such as 800M or 4G".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_have_units() {
        let times = ["250ms", "90", "90s", "1.5m", "2h"].map(|text| parse_duration(text).unwrap().as_millis());
        assert_eq!(times, [250, 90_000, 90_000, 90_000, 7_200_000]);
        assert!(["", "0", "-1s", "1d", "s", "1e400h"].iter().all(|text| parse_duration(text).is_err()));
        assert_eq!(["7", "2k", "800M", "4G"].map(|text| parse_size(text).unwrap()), [7, 2048, 800 << 20, 4 << 30]);
        assert!(["", "0", "-1", "1T", "99999999999G"].iter().all(|text| parse_size(text).is_err()));
    }
}
