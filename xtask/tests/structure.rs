//! The shape of the source tree: no file uses another one that uses it, directly or through others. The files of a
//! cycle can only be read all at once. A module and those in its folder may use each other, as parts of one thing, but
//! two modules of a folder may not. Paths are read from the text (`use`, `crate::…` and `super::…`); test code is left
//! out. Also: the store does not accept ids as bare numbers or texts, which the compiler could not tell apart, and
//! errors are logged under one name.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const CRATES: [&str; 15] = [
    "shared",
    "gateway",
    "worker",
    "websocket",
    "outbound",
    "client",
    "contract",
    "chatctl",
    "xtask",
    "testing/devstack",
    "testing/e2e",
    "testing/chaos",
    "testing/loadtest",
    "testing/bench",
    "testing/model",
];

/// Module path (`lanes::admit`, empty for `lib.rs`) to the modules that it uses.
type Uses = BTreeMap<String, BTreeSet<String>>;

#[test]
fn no_file_uses_itself_through_others() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf();
    let mut cycles = Vec::new();
    for name in CRATES {
        let mut uses = uses_of(&root.join(name).join("src"));
        assert!(uses.len() > 1, "{name}");
        let mut found = find_cycles(&uses);
        found.retain(|cycle| !is_of_one_folder(cycle));
        for (module, used) in &mut uses {
            used.retain(|used| !is_child(used, module));
        }
        found.extend(find_cycles(&uses));
        cycles.extend(found.into_iter().map(|cycle| format!("{name}: {}", cycle.join(" ↔ "))));
    }
    assert!(cycles.is_empty(), "\n{}", cycles.join("\n"));
}

#[test]
fn a_cycle_over_three_files_is_found() {
    let uses = |of: &[&str]| of.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let mut graph: Uses = BTreeMap::from([
        ("a".to_owned(), uses(&["b", "d"])),
        ("b".to_owned(), uses(&["c"])),
        ("c".to_owned(), uses(&["d"])),
        ("d".to_owned(), uses(&[])),
    ]);
    assert!(find_cycles(&graph).is_empty());
    graph.insert("c".to_owned(), uses(&["a"]));
    assert_eq!(find_cycles(&graph), [["a", "b", "c"]]);
}

#[test]
fn paths_are_read_from_the_text() {
    let known = ["", "lanes", "lanes::admit", "lanes::load", "core"].map(str::to_owned).into();
    let text = "//! crate::core is only mentioned\nuse super::{load::LaneLoads, admit::{self, Admitted}};\nfn f() { crate::core::g() }\n";
    let found = paths_in("lanes::ask", text, &known);
    assert_eq!(found, ["core", "lanes::admit", "lanes::load"].map(str::to_owned).into());
    let found = paths_in("lanes", "pub use admit::Admitted;\nuse other::load;\nfn f() { super::core::g() }\n", &known);
    assert_eq!(found, ["core", "lanes::admit"].map(str::to_owned).into());
    let text =
        "#[cfg(test)]\nuse crate::core;\n#[cfg(test)]\nmod tests {\n    use crate::core;\n}\nuse crate::lanes::load;\n";
    assert_eq!(paths_in("lanes::ask", text, &known), ["lanes::load"].map(str::to_owned).into());
}

#[test]
fn the_store_takes_no_bare_ids() {
    let store = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("worker/src/store");
    let mut files = Vec::new();
    collect(&store, &mut files);
    assert!(files.len() > 20, "{files:?}");
    let bare = files.iter().flat_map(|file| {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        bare_ids(&std::fs::read_to_string(file).unwrap()).into_iter().map(move |found| format!("{name}: {found}"))
    });
    let bare: Vec<String> = bare.collect();
    assert!(bare.is_empty(), "\n{}", bare.join("\n"));
}

#[test]
fn a_bare_id_is_found() {
    let text = "pub async fn f(db: &mut PgSession, users: &[i64], limit: i64) -> i64 {}
        pub fn g(\n    group_id: &str,\n    (message, seq): (MessageId, i64),\n    other: Option<i64>,\n) {}
        fn of_this_module(user: i64) {}
        pub fn h((message, seq): (Uuid, i64), token_ids: &[String]) {}";
    assert_eq!(bare_ids(text), ["f(users: &[i64])", "g(group_id: &str)", "g(other: Option<i64>)", "h(message: Uuid)"]);
}

/// A search for `error` in the log must find all of them.
#[test]
fn errors_are_logged_under_one_name() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    for name in CRATES {
        collect(&root.join(name).join("src"), &mut files);
    }
    let others = files.iter().flat_map(|file| {
        let text = std::fs::read_to_string(file).unwrap();
        let found: Vec<String> = odd_errors(&text).map(|line| format!("{}: {line}", file.display())).collect();
        found
    });
    let others: Vec<String> = others.collect();
    assert!(others.is_empty(), "write `%error` or `error = %with_causes(&error)`:\n{}", others.join("\n"));
}

#[test]
fn an_error_that_is_logged_otherwise_is_found() {
    let text = "warn!(%error, \"\")\nwarn!(error = %with_causes(&error))\nwarn!(error = %failure)\n\
        warn!(error = format!(\"{error:#}\"))\nwarn!(?failure, \"\")\nwarn!(id, ?error, \"\")\nlet error = f(error)?;";
    assert_eq!(odd_errors(text).count(), 4);
}

/// Lines that log an error under another name or in another form.
fn odd_errors(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| {
        let line = line.replace("error = %with_causes(", "");
        line.contains(" error = %")
            || line.contains("(error = %")
            || line.contains("error = format!(\"{error")
            || ["?error", "?failure", "%failure"].iter().any(|form| line.contains(form))
    })
}

/// Parameters with these names are ids.
const ID_NAMES: &str = "user users caller other others one ones sender senders recipients readers participants blocker message messages \
    event events command worker conversation conversations group groups community";
const BARE_TYPES: [&str; 5] = ["i64", "Uuid", "str", "String", "u64"];

/// Returns the parameters of public functions that are ids without a type of their own, as `function(name: type)`.
fn bare_ids(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for item in text.split("pub ").skip(1) {
        let Some(signature) = item.strip_prefix("async ").unwrap_or(item).strip_prefix("fn ") else { continue };
        let Some((function, rest)) = signature.split_once('(') else { continue };
        let function = function.split('<').next().unwrap_or_default();
        for parameter in split_outside_brackets(until_closing(rest)) {
            let Some((names, types)) = parameter.split_once(": ") else { continue };
            let unpack = |text: &str| split_outside_brackets(text.trim_start_matches('(').trim_end_matches(')'));
            let pairs: Vec<(String, String)> = if names.starts_with('(') {
                unpack(names).into_iter().zip(unpack(types)).collect()
            } else {
                vec![(names.to_owned(), types.to_owned())]
            };
            found.extend(
                pairs
                    .into_iter()
                    .filter(|(name, of)| is_id(name) && is_bare(of))
                    .map(|(name, of)| format!("{function}({name}: {of})")),
            );
        }
    }
    found
}

fn is_id(name: &str) -> bool {
    let name = name.strip_suffix("_id").unwrap_or(name);
    ID_NAMES.split_whitespace().any(|id| id == name)
}

fn is_bare(of: &str) -> bool {
    of.split(|c: char| !c.is_alphanumeric()).any(|word| BARE_TYPES.contains(&word))
}

/// Returns the parameters, up to the closing bracket.
fn until_closing(text: &str) -> &str {
    let mut depth = 1;
    let end = text.find(|c: char| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        depth == 0
    });
    &text[..end.unwrap_or(text.len())]
}

fn split_outside_brackets(text: &str) -> Vec<String> {
    let mut depth = 0;
    let parts = text.split(|c: char| {
        depth += i32::from("([{<".contains(c)) - i32::from(")]}>".contains(c));
        c == ',' && depth == 0
    });
    parts.map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

/// Returns true if these are a module and others below it.
fn is_of_one_folder(cycle: &[String]) -> bool {
    cycle.iter().any(|module| cycle.iter().all(|other| other == module || is_child(other, module)))
}

fn is_child(module: &str, of: &str) -> bool {
    module.strip_prefix(of).is_some_and(|rest| of.is_empty() || rest.starts_with("::"))
}

fn uses_of(src: &Path) -> Uses {
    let mut files = Vec::new();
    collect(src, &mut files);
    let modules: BTreeMap<String, PathBuf> = files.into_iter().map(|file| (module_of(src, &file), file)).collect();
    let known: BTreeSet<String> = modules.keys().cloned().collect();
    let read = |(module, file): (&String, &PathBuf)| {
        let text = std::fs::read_to_string(file).unwrap();
        (module.clone(), paths_in(module, &text, &known))
    };
    modules.iter().map(read).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" {
            collect(&path, files);
        } else if name.ends_with(".rs") && name != "tests.rs" && name != "main.rs" {
            files.push(path);
        }
    }
}

fn module_of(src: &Path, file: &Path) -> String {
    let path = file.strip_prefix(src).unwrap().with_extension("");
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    let parts = match parts.split_last() {
        Some((last, rest)) if last == "mod" || last == "lib" => rest,
        _ => &parts[..],
    };
    parts.join("::")
}

/// Returns the modules that `module` uses, without itself and the crate's root.
fn paths_in(module: &str, text: &str, known: &BTreeSet<String>) -> BTreeSet<String> {
    let code = without_tests(text);
    let mut paths = Vec::new();
    for statement in code.split("use ").skip(1) {
        let Some((tree, _)) = statement.split_once(';') else { continue };
        let tree: String = tree.split_whitespace().collect::<Vec<_>>().join(" ");
        expand("", &tree, &mut paths);
    }
    for root in ["crate::", "super::"] {
        for (place, _) in code.match_indices(root).filter(|(place, _)| !code[..*place].ends_with("super::")) {
            let path = &code[place..];
            let end = path.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(path.len());
            // Trees belong to the `use` above.
            if !path[..end].ends_with("::") {
                paths.push(path[..end].to_owned());
            }
        }
    }
    paths.iter().filter_map(|path| resolve(module, path, known)).collect()
}

/// Returns the lines that are compiled outside tests, without comments.
fn without_tests(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() == "#[cfg(test)]" {
            // The item with its attributes: up to the bracket that closes it, or one line.
            let indentation = &line[..line.len() - line.trim_start().len()];
            let first = lines.by_ref().find(|line| !line.trim_start().starts_with("#["));
            if first.is_some_and(|line| line.ends_with('{')) {
                lines.by_ref().find(|line| line.strip_prefix(indentation).is_some_and(|line| line.starts_with('}')));
            }
            continue;
        }
        code.push_str(line.split("//").next().unwrap_or_default());
        code.push('\n');
    }
    code
}

/// Expands a tree of `use`: `a::{b, c::{self, d}}`.
fn expand(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        paths.push(format!("{prefix}{tree}"));
        return;
    };
    let prefix = format!("{prefix}{}", &tree[..open]);
    let inner = tree[open + 1..].strip_suffix('}').unwrap_or(&tree[open + 1..]);
    let (mut depth, mut start) = (0, 0);
    for (place, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&prefix, &inner[start..place], paths);
                start = place + 1;
            }
            _ => {}
        }
    }
    expand(&prefix, &inner[start..], paths);
}

/// Returns the module that contains what `path` names.
fn resolve(module: &str, path: &str, known: &BTreeSet<String>) -> Option<String> {
    let mut base: Vec<&str> = module.split("::").filter(|part| !part.is_empty()).collect();
    let mut parts: Vec<&str> = path.split("::").map(str::trim).filter(|part| !part.is_empty()).collect();
    match parts.first() {
        Some(&"crate") => {
            base.clear();
            parts.remove(0);
        }
        Some(&"self") => {
            parts.remove(0);
        }
        Some(&"super") => {
            while parts.first() == Some(&"super") {
                base.pop();
                parts.remove(0);
            }
        }
        // Another crate, or a child module of this one.
        Some(first) => {
            let own = [base.as_slice(), &[*first]].concat().join("::");
            if !known.contains(&own) {
                return None;
            }
        }
        None => return None,
    }
    base.extend(parts);
    (1..=base.len())
        .rev()
        .map(|length| base[..length].join("::"))
        .find(|name| known.contains(name))
        .filter(|name| name != module)
}

/// Returns sets of modules that all use each other, directly or through others.
fn find_cycles(uses: &Uses) -> Vec<Vec<String>> {
    let reachable = |from: &String| {
        let mut seen = BTreeSet::new();
        let mut next: Vec<&String> = uses[from].iter().collect();
        while let Some(module) = next.pop() {
            if seen.insert(module) {
                next.extend(uses.get(module).into_iter().flatten());
            }
        }
        seen
    };
    let reached: BTreeMap<&String, BTreeSet<&String>> = uses.keys().map(|module| (module, reachable(module))).collect();
    let mut cycles: BTreeSet<Vec<String>> = BTreeSet::new();
    for (module, modules) in &reached {
        if modules.contains(*module) {
            let cycle = modules.iter().filter(|other| reached[**other].contains(*module));
            cycles.insert(cycle.map(|name| (*name).clone()).collect());
        }
    }
    cycles.into_iter().collect()
}
