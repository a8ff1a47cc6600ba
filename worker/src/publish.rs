//! From outcomes to channels. Nothing is published before its commit.

use fred::prelude::Error;
use shared::publication;
use shared::redis::keys::Keys;
use shared::redis::settle::{self, Message};

use crate::app::App;
use crate::outcome::{Audience, Publication};

/// Publishes in order.
pub async fn publish(app: &App, publications: &[Publication]) -> Result<(), Error> {
    settle::publish(&app.redis, &messages(&app.keys, publications)).await
}

/// The publications as messages for their channels, in order.
pub fn messages(keys: &Keys, publications: &[Publication]) -> Vec<Message> {
    let mut messages = Vec::with_capacity(publications.len());
    for publication in publications {
        let message = bytes::Bytes::from(publication::encode(&publication.header, &publication.payload));
        match &publication.audience {
            Audience::Gateway(gateway) => messages.push((keys.gateway_channel(*gateway), message)),
            Audience::User(user) => messages.push((keys.user_channel(*user), message)),
            Audience::Group(group) => messages.push((keys.group_channel(*group), message)),
            Audience::Everybody => messages.push((keys.presence_channel(), message)),
            Audience::Users(users) => {
                messages.extend(users.iter().map(|user| (keys.user_channel(*user), message.clone())));
            }
        }
    }
    messages
}
