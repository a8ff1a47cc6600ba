//! Opening the metadata of stored messages and groups.

use shared::crypto::OpenError;
use shared::ids::{GroupId, MessageId};
use shared::metadata::Metadata;

use crate::app::App;

/// A message's metadata, if it has any.
///
/// # Errors
/// As [`Metadata::open`].
pub fn of_message(app: &App, message: MessageId, sealed: Option<&[u8]>) -> Result<Option<Metadata>, OpenError> {
    sealed.map(|sealed| Metadata::open(&app.keyring, message.0, sealed)).transpose()
}

/// A group's metadata, if it has any. A group is shown without what does not decrypt; that is logged and counted.
pub fn of_group(app: &App, group: GroupId, sealed: Option<&[u8]>) -> Option<Metadata> {
    match Metadata::open(&app.keyring, group.0, sealed?) {
        Ok(metadata) => Some(metadata),
        Err(error) => {
            app.metrics.unreadable_rows.increment(1);
            tracing::error!(group_id = %group, %error, "the metadata of a group cannot be read");
            None
        }
    }
}
