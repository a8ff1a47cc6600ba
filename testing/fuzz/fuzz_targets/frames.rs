#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| websocket::fuzz_decoder(data));
