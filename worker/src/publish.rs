//! From outcomes to channels. Nothing is published before its commit.

use bytes::Bytes;
use fred::prelude::Error;
use shared::redis::settle::{self, Message};

use crate::app::App;
use crate::outcome::{Audience, Publication};

/// Publishes in order.
pub async fn publish(app: &App, publications: &[Publication]) -> Result<(), Error> {
    settle::publish(&app.redis, &messages(app, publications)).await
}

/// The publications as messages for their channels, in order. Each is bound to its channel.
pub fn messages(app: &App, publications: &[Publication]) -> Vec<Message> {
    let keys = &app.keys;
    let mut messages = Vec::with_capacity(publications.len());
    for publication in publications {
        let message = |channel: String| {
            let bytes = app.wire.publication(&channel, &publication.header, &publication.payload);
            (channel, Bytes::from(bytes))
        };
        match &publication.audience {
            Audience::Gateway(gateway) => messages.push(message(keys.gateway_channel(*gateway))),
            Audience::User(user) => messages.push(message(keys.user_channel(*user))),
            Audience::Group(group) => messages.push(message(keys.group_channel(*group))),
            Audience::Everybody => messages.push(message(keys.presence_channel())),
            Audience::Users(users) => messages.extend(users.iter().map(|user| message(keys.user_channel(*user)))),
        }
    }
    messages
}
