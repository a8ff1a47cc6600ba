//! The work of the query lane: single queries, and session requests of one kind, which are answered together.

use std::collections::BTreeMap;

use shared::ids::UserId;
use shared::stream::{Body, Envelope, HttpRequest, Internal};
use shared::telemetry::traces::TraceContext;

use crate::commands::Query;
use crate::sessions::Request;

/// How many entries are read at once.
pub const READ_COUNT: u64 = 256;
/// How many sessions' replay pages are in memory at a time.
const SESSIONS_TOGETHER: usize = 32;

/// The kinds of session requests, in the order in which they are answered. Receipts that must be recorded before missed
/// events are looked up come with the request for these.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Receipts,
    Authenticate,
    Resume,
    Replay,
    Missing,
    Held,
    SignIns,
}

impl Kind {
    /// How many of them are answered together.
    fn most(self) -> usize {
        match self {
            Kind::Receipts | Kind::Authenticate | Kind::Held | Kind::SignIns => READ_COUNT as usize,
            Kind::Resume | Kind::Replay | Kind::Missing => SESSIONS_TOGETHER,
        }
    }
}

/// Requests that are answered together.
pub enum Requests {
    Query(Box<(Envelope, Query)>),
    Http(Box<(Envelope, HttpRequest)>),
    Session(Kind, Vec<Request>),
}

impl Requests {
    /// The user who is charged for it; `None` for session requests. Users who are not known yet count as one.
    pub fn user(&self) -> Option<UserId> {
        match self {
            Requests::Query(query) => Some(query.0.user),
            Requests::Http(request) => Some(request.0.user),
            Requests::Session(..) => None,
        }
    }

    /// True for receipts, which nobody waits for.
    pub fn are_receipts(&self) -> bool {
        matches!(self, Requests::Session(Kind::Receipts, requests) if !requests.is_empty())
    }

    pub fn trace(&self) -> Option<TraceContext> {
        match self {
            Requests::Query(query) => query.0.trace,
            Requests::Http(_) | Requests::Session(..) => None,
        }
    }
}

/// What was read together, as pieces of work with their entries' ids.
#[derive(Default)]
pub struct Sorted {
    work: Vec<(Requests, Vec<String>)>,
    together: BTreeMap<Kind, (Vec<Request>, Vec<String>)>,
}

impl Sorted {
    pub fn add(&mut self, id: String, envelope: Envelope, body: Body) {
        let query = match body {
            Body::Internal(internal) => return self.add_internal(id, envelope, internal),
            Body::Sync(round) => Some(Query::Sync(round)),
            Body::Client(_) | Body::System(_) | Body::WithMetadata(_) => {
                body.into_command().map(|(command, _)| Query::Command(command))
            }
        };
        self.work.extend(query.map(|query| (Requests::Query(Box::new((envelope, query))), vec![id])));
    }

    fn add_internal(&mut self, id: String, envelope: Envelope, internal: Internal) {
        let kind = match internal {
            Internal::Http(request) => {
                return self.work.push((Requests::Http(Box::new((envelope, request))), vec![id]));
            }
            Internal::RecordReceipts { .. } | Internal::RecordReceiptsIn { .. } => Kind::Receipts,
            Internal::Authenticate { .. } => Kind::Authenticate,
            Internal::Resume { .. } | Internal::ResumeAfter { .. } => Kind::Resume,
            Internal::Replay { .. } => Kind::Replay,
            Internal::Missing { .. } => Kind::Missing,
            Internal::HeldConversation { .. } | Internal::HeldConversations { .. } | Internal::HeldMessage { .. } => {
                Kind::Held
            }
            Internal::RecordSignIn(_) => Kind::SignIns,
        };
        let (requests, ids) = self.together.entry(kind).or_default();
        requests.push(Request { envelope, internal });
        ids.push(id);
    }

    /// Adds an entry that is only acknowledged.
    pub fn drop_entry(&mut self, id: String) {
        self.work.push((Requests::Session(Kind::Receipts, Vec::new()), vec![id]));
    }

    pub fn into_work(mut self) -> Vec<(Requests, Vec<String>)> {
        for (kind, (mut requests, mut ids)) in self.together {
            while !requests.is_empty() {
                let rest = requests.split_off(requests.len().min(kind.most()));
                let rest_ids = ids.split_off(requests.len());
                self.work.push((Requests::Session(kind, requests), ids));
                (requests, ids) = (rest, rest_ids);
            }
        }
        self.work
    }
}
