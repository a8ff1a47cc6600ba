//! A Python that has the package `websockets`, for the test of the client that the documentation shows.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::programs;

/// Debian's name of the package.
pub const PACKAGE: &str = "python3-websockets";

/// Finds the first `python3` that can import it: the one on the PATH may differ from the system's.
pub fn find() -> Option<PathBuf> {
    let search_path = programs::search_path();
    let candidates = search_path.iter().filter_map(|dir| programs::find_file(std::slice::from_ref(dir), "python3"));
    candidates.into_iter().find(|python| {
        let mut import = Command::new(python);
        import.args(["-c", "import websockets"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        import.status().is_ok_and(|status| status.success())
    })
}

/// Installs a version of the package into a folder for `PYTHONPATH`; returns true if that worked; it needs pip and a
/// registry.
pub fn install_websockets(python: &Path, version: &str, folder: &Path) -> bool {
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target"]).arg(folder);
    pip.arg(format!("websockets=={version}")).stdin(Stdio::null());
    pip.output().is_ok_and(|done| done.status.success())
}
