//! Compiles the protos without protoc, and keeps the descriptor for reflection.
use std::path::PathBuf;

/// Messages that carry a value: their `Debug` is written by hand in `src/pb.rs`,
/// because prost prints fields even where they are marked `debug_redact`.
const REDACTED: [&str; 10] = [
    "tokenauthority.v1.IntrospectRequest",
    "tokenauthority.v1.CreateTokenResponse",
    "tokenauthority.v1.ListTokensRequest",
    "tokenauthority.v1.RotateTokenResponse",
    "tokenauthority.v1.RotateCurrentTokenResponse",
    "tokenauthority.v1.RevokeExposedTokenRequest",
    "tokenauthority.v1.ExplainTokenRequest",
    "tokenauthority.v1.CreateInviteResponse",
    "tokenauthority.v1.ClaimInviteRequest",
    "tokenauthority.v1.ClaimInviteResponse",
];

#[expect(
    clippy::disallowed_methods,
    reason = "cargo passes OUT_DIR through the environment"
)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let mut protos = Vec::new();
    for entry in std::fs::read_dir("proto/tokenauthority/v1")? {
        protos.push(entry?.path());
    }
    protos.sort();
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_source_info(true).include_imports(true);
    compiler.open_files(&protos)?;
    std::fs::write(
        out.join("descriptor.bin"),
        compiler.encode_file_descriptor_set(),
    )?;
    let mut names = tonic_prost_build::Config::new();
    // The command line prints any message as JSON, found in the descriptor by its name.
    names.enable_type_names();
    tonic_prost_build::configure()
        .skip_debug(REDACTED)
        // Equal messages have equal bytes: a request asked again is known by them.
        .btree_map(".tokenauthority")
        .extern_path(".google.rpc.Status", "::tonic_types::Status")
        .compile_fds_with_config(compiler.file_descriptor_set(), names)?;
    println!("cargo::rerun-if-changed=proto");
    println!("cargo::rerun-if-changed=src/store/migrations");
    Ok(())
}
