//! The dialects that clients speak. Within the server everything is `chat.v1`, the protocol of the documents; a connection that
//! speaks another one has its commands translated on the way in and its events on the way out, both at the gateway. An event
//! is translated once per dialect, whatever the number of its recipients.
//!
//! A new dialect is one module with a [`Translator`], and one line in the list below.

pub mod original;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ids::UserId;
use crate::limits::Limits;
use crate::protocol::Invalid;

/// Makes the enum of all dialects and their translators from the one list.
macro_rules! dialects {
    ($($(#[$doc:meta])* $dialect:ident $name:literal $translator:expr;)*) => {
        /// What a connection speaks. Sent between our own processes by its place in the list: append only.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Dialect {
            /// The protocol of the documents.
            #[default]
            ChatV1,
            $($(#[$doc])* $dialect,)*
        }

        impl Dialect {
            pub const ALL: &'static [Dialect] = &[Dialect::ChatV1, $(Dialect::$dialect),*];
            pub const COUNT: usize = Dialect::ALL.len();

            /// As a setting and a label.
            pub fn name(self) -> &'static str {
                match self {
                    Dialect::ChatV1 => SUBPROTOCOL,
                    $(Dialect::$dialect => $name,)*
                }
            }

            /// `None` for `chat.v1`, which needs none.
            pub fn translator(self) -> Option<&'static dyn Translator> {
                match self {
                    Dialect::ChatV1 => None,
                    $(Dialect::$dialect => Some(&$translator),)*
                }
            }
        }
    };
}

dialects! {
    /// Of the clients of the server that this one replaces.
    Original "original" original::Original;
}

/// The WebSocket subprotocol of `chat.v1`.
pub const SUBPROTOCOL: &str = "chat.v1";

/// The fields of a command or an event, `type` included.
pub type Object = Map<String, Value>;

/// What a dialect differs in. Translators know no connections and keep no state.
pub trait Translator: Sync {
    /// What this dialect allows, where it differs.
    fn limits(&self, limits: Limits) -> Limits {
        limits
    }

    /// How many messages a user may have sent in the rate limit's window when this one is sent.
    fn message_rate_limit(&self, limit: u32, _text: &str) -> u32 {
        limit
    }

    /// Whether a user has one connection in this dialect, the newest.
    fn has_single_connection(&self) -> bool {
        false
    }

    /// Whether `/metrics` is JSON unless Prometheus asks.
    fn has_json_metrics(&self) -> bool {
        false
    }

    /// Makes a command one of `chat.v1`.
    ///
    /// # Errors
    /// When this dialect refuses what `chat.v1` would accept.
    fn command(&self, _command: &mut Object, _limits: &Limits) -> Result<(), Invalid> {
        Ok(())
    }

    /// What the sender of a command is told at once, before anything is done about it.
    fn confirmation(&self, _command: &Object) -> Option<Value> {
        None
    }

    /// A direct answer, as the one who asked sees it: any number of events.
    fn answer(&self, answer: &Object) -> Vec<Value>;

    /// An event as its recipients see it: `own` for whoever caused it.
    fn event(&self, event: &Object, own: bool) -> Value;

    /// Who caused an event, where that makes a difference.
    fn actor(&self, event: &Object) -> Option<UserId>;

    /// The answer of an HTTP endpoint.
    fn http(&self, _path: &str, _answer: &mut Object) {}
}

impl Dialect {
    pub fn from_name(name: &str) -> Option<Dialect> {
        Dialect::ALL.iter().copied().find(|dialect| dialect.name() == name)
    }

    /// What a connection that offers these subprotocols speaks, and whether the offer is answered with [`SUBPROTOCOL`].
    pub fn negotiate<'a>(offered: impl Iterator<Item = &'a str>, default: Dialect) -> (Dialect, bool) {
        let mut tokens = offered.flat_map(|value| value.split(',')).map(str::trim);
        if tokens.any(|token| token == SUBPROTOCOL) { (Dialect::ChatV1, true) } else { (default, false) }
    }

    pub fn limits(self, limits: Limits) -> Limits {
        self.translator().map_or(limits, |translator| translator.limits(limits))
    }

    /// As [`Translator::message_rate_limit`].
    pub fn message_rate_limit(self, limit: u32, text: &str) -> u32 {
        self.translator().map_or(limit, |translator| translator.message_rate_limit(limit, text))
    }

    /// A finished direct answer of `chat.v1` in this dialect: finished events, possibly none.
    pub fn answer(self, json: &[u8]) -> Vec<Vec<u8>> {
        match self.translator().zip(serde_json::from_slice(json).ok()) {
            Some((translator, answer)) => translator.answer(&answer).iter().map(written).collect(),
            None => vec![json.to_vec()],
        }
    }

    /// Reads a finished event of `chat.v1`, to be written in this dialect. `None` where nothing is to be translated.
    pub fn read(self, json: &[u8]) -> Option<Read> {
        let translator = self.translator()?;
        let event = serde_json::from_slice(json).ok()?;
        Some(Read { actor: translator.actor(&event), event, translator })
    }
}

/// An event that was read once, to be written for whoever caused it and for everybody else.
pub struct Read {
    event: Object,
    actor: Option<UserId>,
    translator: &'static dyn Translator,
}

impl Read {
    /// Whether this user caused it.
    pub fn is_own(&self, user: Option<UserId>) -> bool {
        self.actor.is_some() && self.actor == user
    }

    pub fn write(&self, own: bool) -> Vec<u8> {
        written(&self.translator.event(&self.event, own))
    }
}

/// A finished event.
pub fn written(event: &Value) -> Vec<u8> {
    // Values with string keys always serialise.
    serde_json::to_vec(event).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_chat_v1_is_answered() {
        let negotiate = |offered: &[&'static str], default| Dialect::negotiate(offered.iter().copied(), default);
        assert_eq!(negotiate(&["x, chat.v1"], Dialect::Original), (Dialect::ChatV1, true));
        assert_eq!(negotiate(&["x", "chat.v1"], Dialect::Original), (Dialect::ChatV1, true));
        assert_eq!(negotiate(&[], Dialect::Original), (Dialect::Original, false));
        assert_eq!(negotiate(&["chat.v2", "original"], Dialect::ChatV1), (Dialect::ChatV1, false));
    }

    #[test]
    fn names_are_read_back_and_places_in_the_list_stay() {
        for dialect in Dialect::ALL {
            assert_eq!(Dialect::from_name(dialect.name()), Some(*dialect));
        }
        assert_eq!(postcard::to_stdvec(&[Dialect::ChatV1, Dialect::Original]).unwrap(), [0, 1]);
    }
}
