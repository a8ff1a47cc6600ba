//! `idle`: connections that do nothing, for their memory; then one message from each and to each, to see how much
//! memory remains used.

use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::Stage;
use super::rooms::{Rooms, RoomsHandler, Shape};
use crate::connection::Handler;
use crate::plan::Pace;

const CONTENT_BYTES: usize = 100;

pub async fn run(stage: &Rc<Stage>, message: bool) -> Result<()> {
    let shape = Shape { members: 2, senders: 2, content_bytes: CONTENT_BYTES, client_ids: false, direct: true };
    let rooms = Rooms::new(stage, shape)?;
    let handler: Rc<dyn Handler> = Rc::new(RoomsHandler(rooms.clone()));
    rooms.set_connections(stage.connect(0..stage.plan.accounts.len(), &handler).await?);
    stage.ready().await?;
    stage.begin_measuring();
    if message {
        let senders = rooms.senders();
        let rate = match stage.plan.pace {
            Pace::Rate(rate) => rate,
            Pace::Window(_) => anyhow::bail!("`idle` sends at a rate"),
        };
        let end = Instant::now() + Duration::from_secs_f64((senders.len() as f64 - 0.5) / rate);
        stage.at_rate(rate, end, |number, due| rooms.send(senders[number as usize], due)).await?;
        stage.drain(|| rooms.is_done()).await;
    }
    tokio::time::sleep(Duration::from_millis(stage.plan.duration_ms)).await;
    stage.end_measuring();
    rooms.finish();
    Ok(())
}
