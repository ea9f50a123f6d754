//! Placeholder until the commands follow.
fn main() {}
