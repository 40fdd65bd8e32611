//! The name by which programs that are linked against the shared library ask for it.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libslipring.so.0");
}
