//! The commands that a gateway answers itself. They have no worker and no handler, so they are only data; the gateway's
//! `session::decode` reads them.

use super::prelude::*;

pub const AUTHENTICATE: Spec = Spec {
    name: "authenticate",
    aliases: &["auth", "connect"],
    summary: "Opens the session. Missed events follow the answer, then live events. Sent again for the same user, it renews the \
              session with the new token (`renewed: true`, no replay). Five failures close the connection with 1008.",
    fields: &[
        Field::required("token", Kind::AnyString, "A JWT with the user id and `exp`."),
        Field::default(
            "acks",
            Kind::Boolean,
            "false",
            "With `true`, an event counts as delivered when the client confirms it with `ack`; otherwise when it was written.",
        ),
        Field::default(
            "presenceBatches",
            Kind::Boolean,
            "false",
            "With `true`, one `presence_changed` reports everyone who came online or went offline within a quarter of a second (up \
             to a second on large gateways); otherwise each is reported by a `user_online` or `user_offline`. With \
             `PRESENCE_SCOPE=contacts` nothing is batched.",
        ),
    ],
    replies: &["auth_success"],
    events: &["user_online", "presence_changed"],
    errors: &[ErrorCode::MaxConnectionsExceeded],
    is_message: false,
};

pub const PING: Spec = session("ping", "Shows that the client is alive, and counts as activity.", &["pong"]);

pub const TEST: Spec = session("test", "Checks that the connection works.", &["test_response"]);

pub const ACK: Spec = Spec {
    fields: &[
        Field::optional(
            "conversations",
            Kind::POSITIONS,
            "For each conversation, the `seq` up to which every message arrived.",
        ),
        Field::optional(
            "eventIds",
            Kind::EventIds { most: MAX_SYNC_ENTRIES },
            "The `eventId`s of the events that arrived.",
        ),
    ],
    events: &["message_delivered"],
    ..session(
        "ack",
        "Confirms that messages and events arrived, after `authenticate` with `acks: true`. Only errors are answered.",
        &[],
    )
};

const fn session(name: &'static str, summary: &'static str, replies: &'static [&'static str]) -> Spec {
    Spec { name, aliases: &[], summary, fields: &[], replies, events: &[], errors: &[], is_message: false }
}
