//! The three commands that send a message. They are taken into batches before dispatch, see [`crate::sends`]; these
//! handlers only say so.

use shared::commands::{SendAnnouncement, SendGroupMessage, SendPrivateMessage};

use super::{Context, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;

macro_rules! batched {
    ($($command:ty),*) => {$(
        impl Handle for $command {
            async fn handle(self, _context: &mut Context<'_>) -> Result<Outcome, Failure> {
                Err(Failure::Fatal(anyhow::anyhow!("sends are applied in batches and never dispatched")))
            }
        }
    )*};
}

batched!(SendPrivateMessage, SendGroupMessage, SendAnnouncement);
