//! Tells cargo that the migrations are part of this binary.

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
