//! Instructions beyond the platform's baseline: the same code compiled for wider vectors too, and prefetching.
//!
//! Draws are exact integer arithmetic, so that they do not depend on the vectors they are computed in.

/// Code that is worth compiling for every instruction set. All that `run` calls must be `#[inline(always)]`, as a function
/// that is called is compiled for the baseline.
pub(crate) trait Kernel {
    /// Does the work; `#[inline(always)]`.
    fn run(self);
}

/// Instructions that this machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InstructionSet(Level);

/// Private, so that nobody names a level that the machine lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Baseline,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl InstructionSet {
    /// Returns the widest of [`Self::available`].
    #[inline]
    pub(crate) fn widest() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if has_avx512() {
                return Self(Level::Avx512);
            }
            if has_avx2() {
                return Self(Level::Avx2);
            }
        }
        Self(Level::Baseline)
    }

    /// Returns all that this machine has.
    #[cfg(test)]
    pub(crate) fn available() -> Vec<Self> {
        let mut all = vec![Self(Level::Baseline)];
        #[cfg(target_arch = "x86_64")]
        {
            all.extend(has_avx2().then_some(Self(Level::Avx2)));
            all.extend(has_avx512().then_some(Self(Level::Avx512)));
        }
        all
    }

    /// Runs a kernel compiled for these instructions.
    #[inline]
    #[allow(unsafe_code, reason = "functions for instructions that a machine may lack are unsafe to call")]
    pub(crate) fn run(self, kernel: impl Kernel) {
        match self.0 {
            Level::Baseline => kernel.run(),
            // SAFETY: only `widest` and `available` make this level, and only on a machine with its features.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { run_avx2(kernel) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { run_avx512(kernel) },
        }
    }
}

// The features named here are those that `run_avx2` and `run_avx512` enable.
#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi1") && is_x86_feature_detected!("bmi2")
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    has_avx2()
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2")]
fn run_avx2(kernel: impl Kernel) {
    kernel.run();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,avx512f,avx512bw,avx512dq,avx512vl")]
fn run_avx512(kernel: impl Kernel) {
    kernel.run();
}

/// Asks for the memory of `values[index]` ahead of its use; does nothing where there is no such instruction.
#[inline(always)]
#[allow(unsafe_code, reason = "the instruction takes a pointer")]
pub(crate) fn prefetch<T>(values: &[T], index: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing and cannot fault, wherever the pointer goes.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(values.as_ptr().wrapping_add(index).cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = (values, index);
    }
}
