#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| swift_sampler_fuzz_subjects::stored(data));
