//! The declaration of settings and the reader behind it.

use super::ConfigError;
use super::parse::Parser;
use super::secret::weakness;

/// Declares a struct of settings, each field with its variable, parser and default:
///
/// ```text
/// /// What it means; the reference shows this text.
/// field: Type = "VARIABLE", parser(range), default("30s");
/// ```
///
/// Instead of `default(..)`: `required`, or with a field of type `Option` `optional`, or `unless("OTHER")`, which is required
/// unless the other one is set. Makes `read`, for a [`Reader`], and
/// `docs`. A field of a group declared elsewhere is written `..field: Type;` and comes first.
macro_rules! settings {
    (
        $(#[$struct_attribute:meta])*
        pub struct $name:ident {
            $(..$group:ident: $group_type:ty;)*
            $(
                $(#[doc = $meaning:literal])+
                $field:ident: $type:ty = $variable:literal, $parser:expr, $presence:ident $(($default:literal))?;
            )*
        }
    ) => {
        $(#[$struct_attribute])*
        #[derive(Clone, Debug)]
        pub struct $name {
            $(pub $group: $group_type,)*
            $($(#[doc = $meaning])+ pub $field: $type,)*
        }

        impl $name {
            /// `None` if something is missing or wrong; the reader then knows what.
            pub(super) fn read(reader: &mut $crate::config::macros::Reader<'_>) -> Option<Self> {
                $(
                    let $group = <$group_type>::read(reader);
                    if let Some(group) = &$group {
                        group.check(reader);
                    }
                )*
                $(let $field = reader.$presence($variable, &$parser $(, $default)?);)*
                Some(Self { $($group: $group?,)* $($field: $field?,)* })
            }

            /// The settings declared here, in this order, without those of other groups.
            pub fn docs() -> Vec<$crate::config::SettingDoc> {
                vec![$({
                    let parser = $parser;
                    $crate::config::SettingDoc {
                        name: $variable,
                        kind: parser.kind,
                        default: $crate::config::macros::default_doc::$presence($($default)?),
                        secret: parser.secret,
                        meaning: concat!($($meaning),+).trim_ascii(),
                    }
                }),*]
            }
        }
    };
}
pub(super) use settings;

/// How each kind of presence is displayed.
pub(super) mod default_doc {
    use crate::config::DefaultDoc;

    pub fn required() -> DefaultDoc {
        DefaultDoc::Required
    }

    pub fn unless(_other: &'static str) -> DefaultDoc {
        DefaultDoc::Required
    }

    pub fn optional() -> DefaultDoc {
        DefaultDoc::Unset
    }

    pub fn default(value: &'static str) -> DefaultDoc {
        DefaultDoc::Value(value)
    }
}

/// Longer files are not accepted as secrets.
const MAX_SECRET_FILE_BYTES: u64 = 64 * 1024;

/// Reads variables and collects what is wrong with them.
pub(super) struct Reader<'a> {
    source: &'a dyn Fn(&str) -> Option<String>,
    /// Weak secrets are rejected.
    pub production: bool,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    pub fn new(source: &'a dyn Fn(&str) -> Option<String>) -> Self {
        let production = source("ENVIRONMENT").is_some_and(|environment| environment.trim() == "production");
        Self { source, production, problems: Vec::new() }
    }

    pub fn problem(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    /// Returns the result, or all problems.
    pub fn finish<T>(self, settings: Option<T>) -> Result<T, ConfigError> {
        match settings {
            Some(settings) if self.problems.is_empty() => Ok(settings),
            _ => Err(ConfigError { problems: self.problems }),
        }
    }

    pub fn required<T: 'static>(&mut self, name: &str, parser: &Parser<T>) -> Option<T> {
        let text = self.text(name, parser)?;
        if text.is_none() {
            self.problem(format!("{name} is required: {}", parser.kind));
        }
        self.parse(name, parser, &text?)
    }

    pub fn unless<T: 'static>(&mut self, name: &str, parser: &Parser<T>, other: &str) -> Option<Option<T>> {
        match self.variable(other) {
            Some(_) => self.optional(name, parser),
            None => self.required(name, parser).map(Some),
        }
    }

    pub fn optional<T: 'static>(&mut self, name: &str, parser: &Parser<T>) -> Option<Option<T>> {
        match self.text(name, parser)? {
            Some(text) => self.parse(name, parser, &text).map(Some),
            None => Some(None),
        }
    }

    pub fn default<T: 'static>(&mut self, name: &str, parser: &Parser<T>, default: &str) -> Option<T> {
        let text = self.text(name, parser)?.unwrap_or_else(|| default.to_owned());
        self.parse(name, parser, &text)
    }

    /// Rejects a weak secret in production.
    pub fn check_strength(&mut self, name: &str, secret: &str) {
        if let Some(weakness) = weakness(secret).filter(|_| self.production) {
            self.problem(format!("{name} {weakness}, which production does not allow"));
        }
    }

    fn parse<T: 'static>(&mut self, name: &str, parser: &Parser<T>, text: &str) -> Option<T> {
        if parser.strong {
            self.check_strength(name, text);
        }
        parser.parse(text).map_err(|problem| self.problem(format!("{name}: {problem}"))).ok()
    }

    /// The outer `None` means a problem, the inner one an unset variable.
    fn text<T>(&mut self, name: &str, parser: &Parser<T>) -> Option<Option<String>> {
        let given = self.variable(name);
        let given = if parser.verbatim { given } else { given.map(|value| value.trim().to_owned()) };
        if !parser.secret {
            return Some(given);
        }
        let file_variable = format!("{name}_FILE");
        match (given, self.variable(&file_variable)) {
            (given, None) => Some(given),
            (Some(_), Some(_)) => {
                self.problem(format!("{name} and {file_variable} are both set, one must go"));
                None
            }
            (None, Some(path)) => match read_secret_file(&path) {
                Ok(text) if text.is_empty() => {
                    self.problem(format!("{file_variable}: \"{path}\" is empty"));
                    None
                }
                Ok(text) => Some(Some(text)),
                Err(error) => {
                    self.problem(format!("{file_variable}: \"{path}\" cannot be read: {error}"));
                    None
                }
            },
        }
    }

    /// A blank value counts as not set.
    fn variable(&self, name: &str) -> Option<String> {
        (self.source)(name).filter(|value| !value.trim().is_empty())
    }
}

/// The content of a file named by a `_FILE` variable, without its last newline. Blocks.
///
/// # Errors
/// When it cannot be read, is not text, or is longer than 64 KiB.
pub fn read_secret_file(path: &str) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    let read = std::fs::File::open(path)?.take(MAX_SECRET_FILE_BYTES + 1).read_to_string(&mut text)?;
    if read as u64 > MAX_SECRET_FILE_BYTES {
        return Err(std::io::Error::other("longer than 64 KiB"));
    }
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}
