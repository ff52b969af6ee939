#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| shiftkeeper_fuzz::readers::audit::read(bytes));
