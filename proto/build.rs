//! Generates the wire types and the gRPC service. protox compiles the .proto files, so nobody needs to install protoc.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(["trodden/v1/events.proto"], ["proto"])?;
    // Ordered maps: the same event always encodes to the same bytes.
    tonic_prost_build::configure().btree_map(".").compile_fds(files)?;
    Ok(())
}
