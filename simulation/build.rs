//! Lets the C library's `getrandom` be found in the programs of this package, where `src/entropy.rs` defines it: what is
//! looked up at run time has to be exported.
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-arg=-Wl,--export-dynamic-symbol=getrandom");
}
