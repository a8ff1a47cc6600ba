//! The dialects that clients speak. Within the server everything is `chat.v1`, the protocol of the documents; a connection that
//! speaks another one has its commands translated on the way in and its events on the way out, both at the gateway. An
//! event is translated once per dialect, however many recipients it has.
//!
//! A new dialect is one module with a [`Translator`], and one line in the list below.

pub mod original;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ids::UserId;
use crate::limits::Limits;
use crate::protocol::Invalid;

/// Generates the enum of all dialects and their translators from the one list.
macro_rules! dialects {
    ($($(#[$doc:meta])* $dialect:ident $name:literal $translator:expr;)*) => {
        /// The dialect of a connection. Between our own processes it is encoded as its position in the list: append
        /// only.
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

            /// The name in settings and labels.
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
    /// The dialect of the clients of the replaced server.
    Original "original" original::Original;
}

/// The WebSocket subprotocol of `chat.v1`.
pub const SUBPROTOCOL: &str = "chat.v1";

/// The fields of a command or an event, `type` included.
pub type Object = Map<String, Value>;

/// Everything in which a dialect differs. Translators know no connections and keep no state.
pub trait Translator: Sync {
    /// The limits of this dialect, where they differ.
    fn limits(&self, limits: Limits) -> Limits {
        limits
    }

    /// The number of messages that a user may have sent in the rate limit's window when this one is sent.
    fn message_rate_limit(&self, limit: u32, _text: &str) -> u32 {
        limit
    }

    /// True if a user has only one connection in this dialect, the newest.
    fn has_single_connection(&self) -> bool {
        false
    }

    /// True if `/metrics` is JSON unless Prometheus requests it.
    fn has_json_metrics(&self) -> bool {
        false
    }

    /// Turns a command into one of `chat.v1`.
    ///
    /// # Errors
    /// When this dialect rejects what `chat.v1` would accept.
    fn command(&self, _command: &mut Object, _limits: &Limits) -> Result<(), Invalid> {
        Ok(())
    }

    /// The immediate confirmation for the sender of a command, before it is processed.
    fn confirmation(&self, _command: &Object) -> Option<Value> {
        None
    }

    /// A direct answer as its receiver sees it: any number of events.
    fn answer(&self, answer: &Object) -> Vec<Value>;

    /// An event as its recipients see it; `own` for the user who caused it.
    fn event(&self, event: &Object, own: bool) -> Value;

    /// The user who caused an event, if that makes a difference.
    fn actor(&self, event: &Object) -> Option<UserId>;

    /// The answer of an HTTP endpoint.
    fn http(&self, _path: &str, _answer: &mut Object) {}
}

impl Dialect {
    pub fn from_name(name: &str) -> Option<Dialect> {
        Dialect::ALL.iter().copied().find(|dialect| dialect.name() == name)
    }

    /// The dialect of a connection that offers these subprotocols, and if the offer is answered with [`SUBPROTOCOL`].
    pub fn negotiate<'a>(offered: impl Iterator<Item = &'a str>, default: Dialect) -> (Dialect, bool) {
        let mut tokens = offered.flat_map(|value| value.split(',')).map(str::trim);
        if tokens.any(|token| token == SUBPROTOCOL) { (Dialect::ChatV1, true) } else { (default, false) }
    }

    pub fn limits(self, limits: Limits) -> Limits {
        self.translator().map_or(limits, |translator| translator.limits(limits))
    }

    /// Like [`Translator::message_rate_limit`].
    pub fn message_rate_limit(self, limit: u32, text: &str) -> u32 {
        self.translator().map_or(limit, |translator| translator.message_rate_limit(limit, text))
    }

    /// A direct answer of `chat.v1` in this dialect: finished events, possibly none.
    pub fn answer(self, json: &[u8]) -> Vec<Vec<u8>> {
        match self.translator().zip(serde_json::from_slice(json).ok()) {
            Some((translator, answer)) => translator.answer(&answer).iter().map(written).collect(),
            None => vec![json.to_vec()],
        }
    }

    /// Reads an event of `chat.v1`, to be written in this dialect. `None` if there is nothing to translate.
    pub fn read(self, json: &[u8]) -> Option<Read> {
        let translator = self.translator()?;
        let event = serde_json::from_slice(json).ok()?;
        Some(Read { actor: translator.actor(&event), event, translator })
    }
}

/// An event that was read once, to be written for the user who caused it and for everyone else.
pub struct Read {
    event: Object,
    actor: Option<UserId>,
    translator: &'static dyn Translator,
}

impl Read {
    /// True if this user caused it.
    pub fn is_own(&self, user: Option<UserId>) -> bool {
        self.actor.is_some() && self.actor == user
    }

    pub fn write(&self, own: bool) -> Vec<u8> {
        written(&self.translator.event(&self.event, own))
    }
}

/// The event as finished JSON.
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
