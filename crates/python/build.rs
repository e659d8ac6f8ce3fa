//! Makes the extension module look for libduckdb in its own folder, where query's build script and the wheel put it.

fn main() {
    println!("cargo::rerun-if-env-changed=CARGO_CFG_TARGET_OS");
    let os = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    match os.as_str() {
        "macos" => println!("cargo::rustc-link-arg-cdylib=-Wl,-rpath,@loader_path"),
        "windows" => {}
        _ => println!("cargo::rustc-link-arg-cdylib=-Wl,-rpath,$ORIGIN"),
    }
    // zig links the wheel and would add its own unwinder. When the interpreter ends a thread that waits in this module, the C library unwinds it
    // with libgcc_s. The two unwinders are incompatible, so the process would crash at exit.
    println!("cargo::rerun-if-env-changed=PUDATO_LIBGCC_S_DIR");
    if let Some(folder) = std::env::var_os("PUDATO_LIBGCC_S_DIR") {
        println!("cargo::rustc-link-search=native={}", folder.display());
        println!("cargo::rustc-link-lib=dylib:+verbatim=libgcc_s.so.1");
    }
}
