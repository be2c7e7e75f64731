//! Generates the wire types and the gRPC services. protox compiles the .proto files, so nobody needs to install protoc.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

const FILES: [&str; 5] = [
    "trodden/v1/problem.proto",
    "trodden/v1/events.proto",
    "trodden/v1/import.proto",
    "trodden/v1/query.proto",
    "trodden/v1/admin.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_source_info(true).include_imports(true).open_files(FILES)?;
    // For gRPC reflection.
    let descriptor = PathBuf::from(env::var("OUT_DIR")?).join("trodden.v1.binpb");
    fs::write(descriptor, compiler.encode_file_descriptor_set())?;
    // Ordered maps: the same event always encodes to the same bytes.
    tonic_prost_build::configure()
        .btree_map(".")
        .extern_path(".trodden.v1.IngestRequest", "crate::encoded::IngestRequest")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
