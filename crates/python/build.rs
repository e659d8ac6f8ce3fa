//! Lets the extension module look for libduckdb beside itself, where query's build script puts it and where the package carries it.

fn main() {
    println!("cargo::rerun-if-env-changed=CARGO_CFG_TARGET_OS");
    let os = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    match os.as_str() {
        "macos" => println!("cargo::rustc-link-arg-cdylib=-Wl,-rpath,@loader_path"),
        "windows" => {}
        _ => println!("cargo::rustc-link-arg-cdylib=-Wl,-rpath,$ORIGIN"),
    }
}
