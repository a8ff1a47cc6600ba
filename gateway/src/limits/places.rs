//! How many connections this process holds. Places are guards, so that every way out of a session releases its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use shared::config::GatewaySettings;
use shared::telemetry::handles::Gauge;

/// Refused connections that are being told why, at the same time; beyond that they are just dropped.
const MAX_REFUSALS: usize = 512;

pub struct Places {
    open: Count,
    pending: Count,
    refusals: Count,
    /// Counts HTTP connections that have not upgraded (and may never).
    http: Count,
}

struct Count {
    now: AtomicUsize,
    max: usize,
    gauge: Option<Gauge>,
}

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Open,
    Pending,
    Refusal,
    Http,
}

/// A taken place; released when dropped.
pub struct Place {
    places: Arc<Places>,
    kind: Kind,
}

impl Places {
    pub fn new(settings: &GatewaySettings, metrics: &crate::metrics::GatewayMetrics) -> Self {
        let count = |max, gauge| Count { now: AtomicUsize::new(0), max, gauge };
        Places {
            open: count(settings.max_connections, Some(metrics.connections.clone())),
            pending: count(settings.max_pending, Some(metrics.pending.clone())),
            refusals: count(MAX_REFUSALS, None),
            http: count(settings.max_pending + MAX_REFUSALS, None),
        }
    }

    /// Takes a place; `None` if all of this kind are taken.
    pub fn take(self: &Arc<Self>, kind: Kind) -> Option<Place> {
        let count = self.count(kind);
        if count.now.fetch_add(1, Ordering::AcqRel) >= count.max {
            count.now.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        if let Some(gauge) = &count.gauge {
            gauge.increment(1.0);
        }
        Some(Place { places: self.clone(), kind })
    }

    pub fn taken(&self, kind: Kind) -> usize {
        self.count(kind).now.load(Ordering::Acquire)
    }

    fn count(&self, kind: Kind) -> &Count {
        match kind {
            Kind::Open => &self.open,
            Kind::Pending => &self.pending,
            Kind::Refusal => &self.refusals,
            Kind::Http => &self.http,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let count = self.places.count(self.kind);
        count.now.fetch_sub(1, Ordering::AcqRel);
        if let Some(gauge) = &count.gauge {
            gauge.decrement(1.0);
        }
    }
}
