//! Opening stored mutes and bans.

use shared::events::moderation::Sanction;
use shared::ids::SanctionId;
use time::OffsetDateTime;

use crate::app::App;

/// A sanction as clients see it; its reason is sealed under its id.
pub fn shown_sanction(app: &App, id: SanctionId, ends_at: Option<OffsetDateTime>, sealed: Option<&[u8]>) -> Sanction {
    let reason = sealed.and_then(|sealed| app.keyring.open_blob(id.0, sealed).ok());
    let reason = reason.and_then(|plain| String::from_utf8(plain).ok());
    Sanction { until: ends_at.map(Into::into), reason }
}
