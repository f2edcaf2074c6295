//! Generates the messages and services from `proto/wiesel/*.proto` without needing `protoc`.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files =
        protox::compile(["types", "job", "state", "control"].map(|name| format!("wiesel/{name}.proto")), ["proto"])?;
    tonic_prost_build::configure().bytes(".wiesel").btree_map(".wiesel").compile_fds(files)?;
    Ok(())
}
