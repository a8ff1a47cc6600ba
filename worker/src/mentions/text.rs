//! Who is mentioned in a text: `@username` of a member (in any letter case and accent encoding, the longest run that is
//! a member's name, whole words only), `@everyone` and `@all`; never the sender, each once, in order of appearance.

use std::collections::{HashMap, HashSet};

use shared::ids::UserId;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// How many users a mention of everyone lists; if there are more, it lists none.
pub const MAX_SHOWN_USERS: usize = 200;
/// As many characters of a name as `user_search` keeps.
const MAX_KEY_CHARACTERS: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mentioned {
    User { id: UserId, username: String },
    Everyone,
}

impl Mentioned {
    pub fn user(&self) -> Option<UserId> {
        match self {
            Mentioned::User { id, .. } => Some(*id),
            Mentioned::Everyone => None,
        }
    }

    /// The form stored with a message: the user's id, or 0 for everyone.
    pub fn to_stored(&self) -> i64 {
        self.user().map_or(0, |user| user.0)
    }
}

/// True for characters that belong to the previous one (UAX #29, rule WB4): accents, vowel signs, joiners.
fn extends(c: char) -> bool {
    is_combining_mark(c) || matches!(c, '\u{200c}' | '\u{200d}')
}

fn is_of_words(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || extends(c)
}

/// True for the characters that a username may contain.
fn is_name_character(c: char) -> bool {
    is_of_words(c) || matches!(c, '.' | '-')
}

/// A key that is equal for all spellings of a name.
fn key(name: &str) -> String {
    name.to_lowercase().nfc().collect()
}

/// The members by the keys of their names. With thousands of members it takes milliseconds to make.
pub struct Names<'a> {
    members: HashMap<String, &'a (UserId, String)>,
    /// Length in characters.
    longest: usize,
}

impl<'a> Names<'a> {
    pub fn of(members: &'a [(UserId, String)]) -> Self {
        let mut names = Names { members: HashMap::new(), longest: "everyone".len() };
        for member in members {
            let name = key(&member.1);
            names.longest = names.longest.max(name.chars().count());
            names.members.entry(name).or_insert(member);
        }
        names
    }
}

/// False if the text cannot mention everyone.
pub fn may_be_of_everyone(text: &str) -> bool {
    let begins = |rest: &str, word: &str| rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    text.split('@').skip(1).any(|rest| begins(rest, "everyone") || begins(rest, "all"))
}

/// What follows each `@` that begins a word, up to the first character that no name has.
fn runs(text: &str) -> Vec<&str> {
    let mut runs = Vec::new();
    let mut before: Option<char> = None;
    for (at, c) in text.char_indices() {
        if extends(c) {
            continue;
        }
        let begins_word = !before.is_some_and(is_name_character) && before != Some('@');
        before = Some(c);
        if c == '@' && begins_word {
            let rest = &text[at + 1..];
            runs.push(&rest[..rest.find(|c| !is_name_character(c)).unwrap_or(rest.len())]);
        }
    }
    runs
}

/// Returns the key of every name that `text` may mention, cut at [`MAX_KEY_CHARACTERS`]; at most twice as many as it has
/// characters. [`find`] finds the same in it whether it knows all names or those with these keys.
pub fn keys(text: &str) -> HashSet<String> {
    let mut keys = HashSet::new();
    let text: String = text.nfc().collect();
    for run in runs(&text) {
        // A name may end in punctuation, and a mention may be followed by it.
        let word = run.trim_end_matches(|c| !is_of_words(c));
        let mut name: String = key(word).chars().take(MAX_KEY_CHARACTERS).collect();
        let missing = MAX_KEY_CHARACTERS - name.chars().count();
        let mut punctuation = run[word.len()..].chars().take(missing);
        loop {
            if !name.is_empty() && !is_word_for_everyone(&name) {
                // As it is cut where it is stored, and where it was stored with separate accents.
                keys.insert(name.nfd().take(MAX_KEY_CHARACTERS).nfc().collect());
                keys.insert(name.clone());
            }
            match punctuation.next() {
                Some(c) => name.push(c),
                None => break,
            }
        }
    }
    keys
}

/// Finds the mentions of members in `text`, in time linear in the length of the text.
pub fn find(text: &str, sender: UserId, names: &Names<'_>) -> Vec<Mentioned> {
    let mut found: Vec<Mentioned> = Vec::new();
    let text: String = text.nfc().collect();
    for run in runs(&text) {
        if let Some(mentioned) = named(run, names)
            && mentioned.user() != Some(sender)
            && !found.contains(&mentioned)
        {
            found.push(mentioned);
        }
    }
    found
}

fn is_word_for_everyone(name: &str) -> bool {
    name.eq_ignore_ascii_case("everyone") || name.eq_ignore_ascii_case("all")
}

/// The longest beginning of `run` that is a member's name or a word for everyone, and ends a word: what follows it may
/// only be punctuation (`@bob.` mentions bob, `@bob.smith` does not).
fn named(run: &str, names: &Names<'_>) -> Option<Mentioned> {
    // Lower-casing does not reduce the number of characters.
    let mut end = run.char_indices().nth(names.longest).map_or(run.len(), |(at, _)| at);
    if run[end..].contains(is_of_words) {
        return None;
    }
    loop {
        let name = &run[..end];
        let last = name.chars().next_back()?;
        if is_word_for_everyone(name) {
            return Some(Mentioned::Everyone);
        }
        if let Some((id, username)) = names.members.get(&key(name)) {
            return Some(Mentioned::User { id: *id, username: username.clone() });
        }
        if is_of_words(last) {
            return None;
        }
        end -= last.len_utf8();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        let members = [(1, "alice"), (2, "bob"), (3, "bob.smith"), (4, "Zoë")];
        let members = members.map(|(id, name)| (UserId(id), name.to_owned()));
        let name = |mentioned| match mentioned {
            Mentioned::User { username, .. } => username,
            Mentioned::Everyone => "*".to_owned(),
        };
        find(text, UserId(1), &Names::of(&members)).into_iter().map(name).collect()
    }

    #[test]
    fn whole_words_longest_first_any_case() {
        assert_eq!(names("hi @Bob, and @bob.smith."), ["bob", "bob.smith"]);
        assert_eq!(names("@bob."), ["bob"]);
        assert_eq!(names("@bob.jones @bobby @bob_"), Vec::<String>::new());
        assert_eq!(names("@ZOË!"), ["Zoë"]);
    }

    #[test]
    fn not_inside_words_not_the_sender_each_once() {
        assert_eq!(names("a@bob x.@bob @@bob"), Vec::<String>::new());
        assert_eq!(names("@alice @bob @BOB"), ["bob"]);
        assert_eq!(names("(@bob) @nobody @"), ["bob"]);
    }

    #[test]
    fn keys_are_of_all_names_that_may_be_mentioned() {
        let found = |text: &str| {
            let mut found: Vec<String> = keys(text).into_iter().collect();
            found.sort_unstable();
            found
        };
        assert_eq!(found("hi @Bob. and @bob, @ZOE\u{308}!"), ["bob", "bob.", "zo\u{eb}"]);
        assert_eq!(found("@bob.smith-"), ["bob.smith", "bob.smith-"]);
        assert_eq!(found("a@b.org @ @@bob @everyone @ALL,"), [""; 0]);
        assert_eq!(found("@all."), ["all."], "which may be a name");
        let long = "x".repeat(100);
        assert_eq!(found(&format!("@{long}...")), [&long[..64]]);
        assert_eq!(found(&format!("@{}", "-".repeat(4_999))).len(), 64);
        let accents = "\u{eb}".repeat(40);
        assert_eq!(found(&format!("@{accents}")), [&accents[..64], &accents], "32 of them are stored, if in two parts");
    }

    #[test]
    fn accents_belong_to_words_however_they_are_encoded() {
        let members = [(2, "zoe"), (3, "bob"), (4, "Zoe\u{308}"), (5, "हिन्दी"), (6, "می\u{200c}نا")];
        let members = members.map(|(id, name)| (UserId(id), name.to_owned()));
        let ids = |text: &str| -> Vec<i64> {
            find(text, UserId(1), &Names::of(&members)).iter().filter_map(Mentioned::user).map(|user| user.0).collect()
        };
        assert_eq!(ids("@zoe\u{301} @zoe\u{323}"), [0_i64; 0], "another letter at the end");
        assert_eq!(ids("e\u{301}@bob न्@bob"), [0_i64; 0], "inside a word");
        assert_eq!(ids("@zoë @ZOE\u{308}"), [4]);
        assert_eq!(ids("@हिन्दी, @می\u{200c}نا!"), [5, 6]);
        assert_eq!(ids("@हि @हिन् @می"), [0_i64; 0], "the beginning of a name");
        assert_eq!(ids("❤\u{fe0f}@bob"), [3], "a variation selector does not make a word");
    }

    #[test]
    fn what_is_longer_than_every_name_ends_in_punctuation() {
        assert_eq!(names("@bob............"), ["bob"]);
        assert_eq!(names("@bob............x"), Vec::<String>::new());
        assert_eq!(names("@everyone...... @everyone......_"), ["*"]);
    }

    #[test]
    fn the_longest_message_takes_no_time() {
        let members: Vec<_> = (2..2_000).map(|id| (UserId(id), format!("member{id}"))).collect();
        let begun = std::time::Instant::now();
        for text in [
            format!("@{}", "-".repeat(4_999)),
            "@-".repeat(2_500),
            "@a ".repeat(1_666),
            format!("@{}", "\u{301}".repeat(4_999)),
        ] {
            assert_eq!(find(&text, UserId(1), &Names::of(&members)), []);
        }
        // Milliseconds; it took a hundred when each character of a run was compared with all names.
        assert!(begun.elapsed() < std::time::Duration::from_millis(500), "{:?}", begun.elapsed());
    }

    #[test]
    fn everyone_has_two_names() {
        assert_eq!(names("@all @everyone @ALL @bob"), ["*", "bob"]);
        assert_eq!(names("@allison @everyone2"), Vec::<String>::new());
        for text in ["@all", "so, @EveryOne!", "@@all", "@allison"] {
            assert!(may_be_of_everyone(text), "{text}");
        }
        for text in ["", "@", "@bob", "all @eve", "@é @al"] {
            assert!(!may_be_of_everyone(text), "{text}");
        }
    }
}
