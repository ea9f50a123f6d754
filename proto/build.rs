//! Compiles the protocol with protox, so that no `protoc` has to be installed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["sampling", "control", "studies", "replicas"].map(|name| format!("swiftsampler/v1/{name}.proto"));
    println!("cargo:rerun-if-changed=swiftsampler");
    let descriptors = protox::compile(files, ["."])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptor.bin"), prost_encode(&descriptors))?;
    tonic_prost_build::configure()
        // Packed columns are slices of the received frame, not copies.
        .bytes(".swiftsampler.v1")
        .compile_fds(descriptors)?;
    Ok(())
}

fn prost_encode(descriptors: &impl prost::Message) -> Vec<u8> {
    descriptors.encode_to_vec()
}
