//! From outcomes to channels. Nothing is published before its transaction commits.

use fred::prelude::Error;
use shared::publication::Header;
use shared::redis::publisher::ChannelMessage;
use shared::telemetry::traces::TraceContext;

use crate::app::App;
use crate::outcome::{Audience, Publication};

/// Publishes in order.
pub async fn publish(app: &App, publications: &[Publication]) -> Result<(), Error> {
    app.publisher.publish(&app.redis, &messages(app, publications, |_| None)).await
}

/// Encodes the publications as messages for their channels, in order. Each is bound to its channel. `trace` returns the
/// trace of a publication by its position.
pub fn messages(
    app: &App,
    publications: &[Publication],
    trace: impl Fn(usize) -> Option<TraceContext>,
) -> Vec<ChannelMessage> {
    let keys = &app.keys;
    let mut messages = Vec::with_capacity(publications.len());
    for (index, publication) in publications.iter().enumerate() {
        // Release 0.1 could not read it.
        let trace = trace(index).filter(|_| !app.wire.writes_format_1());
        let traced = trace.map(|trace| Header::Traced { trace, header: Box::new(publication.header.clone()) });
        let header = traced.as_ref().unwrap_or(&publication.header);
        let message = |channel: String| {
            let bytes = app.wire.publication(&channel, header, &publication.payload);
            ChannelMessage::new(channel, bytes)
        };
        match &publication.audience {
            Audience::Gateway(gateway) => messages.push(message(keys.gateway_channel(*gateway))),
            Audience::Answers(gateway) => messages.push(message(keys.answer_channel(*gateway))),
            Audience::User(user) => messages.push(message(keys.user_channel(*user))),
            Audience::Group(group) => messages.push(message(keys.group_channel(*group))),
            Audience::Everybody => messages.push(message(keys.presence_channel())),
            Audience::Users(users) => {
                let first = messages.len();
                messages.extend(users.iter().map(|user| message(keys.user_channel(*user))));
                if let (Header::Left { group }, Some(left)) = (&publication.header, messages.get_mut(first))
                    && app.publisher.is_sharded()
                {
                    // The users' channels may be faster than the group's, whose earlier events they still get.
                    left.waits = true;
                    let channel = keys.group_channel(*group);
                    let gone = app.wire.publication(&channel, &Header::Gone { users: users.clone() }, &[]);
                    messages.insert(first, ChannelMessage::new(channel, gone));
                }
            }
        }
    }
    messages
}
