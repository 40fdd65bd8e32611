//! Compiles what is in C++.

fn main() {
    #[cfg(feature = "seqlock")]
    {
        println!("cargo:rerun-if-changed=src/seqlock.cpp");
        cc::Build::new()
            .cpp(true)
            .std("c++17")
            .opt_level(3)
            .file("src/seqlock.cpp")
            .compile("seqlock");
    }
}
