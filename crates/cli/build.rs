//! Lets the program look for libduckdb beside itself, where query's build script puts it. The benches use it too.

fn main() {
    println!("cargo::rerun-if-env-changed=CARGO_CFG_TARGET_OS");
    let os = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    match os.as_str() {
        "macos" => println!("cargo::rustc-link-arg-bins=-Wl,-rpath,@executable_path"),
        "windows" => {}
        _ => println!("cargo::rustc-link-arg-bins=-Wl,-rpath,$ORIGIN"),
    }
}
