//! Frames for connections in dialects other than `chat.v1`: those of an answer, and those of an event, which are made
//! once for all connections with the same dialect and the same part in the event.

use bytes::Bytes;
use shared::dialects::{Dialect, Read};
use shared::publication::Receipt;
use websocket::PreparedText;

use crate::connection::Connection;
use crate::connection::outbox::{Frame, Outgoing};

impl Connection {
    /// The frames of a direct answer, concatenated; `None` if this connection's dialect has none.
    pub fn answer_frames(&self, json: &[u8]) -> Option<Bytes> {
        if self.dialect == Dialect::ChatV1 {
            return Some(PreparedText::new(json).frame(self.deflate));
        }
        let frame = |json: Vec<u8>| PreparedText::new(&json).frame(self.deflate);
        let frames: Vec<Bytes> = self.dialect.answer(json).into_iter().map(frame).collect();
        match frames.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            several => Some(several.concat().into()),
        }
    }

    /// The frame of an event that only this connection gets.
    pub fn event_frame(&self, json: &[u8]) -> Bytes {
        match self.dialect {
            Dialect::ChatV1 => PreparedText::new(json).frame(self.deflate),
            _ => Translated::new(json).frame(self),
        }
    }
}

/// One event in every dialect that its recipients speak.
pub struct Translated<'a> {
    json: &'a [u8],
    dialects: [Option<InDialect>; Dialect::COUNT],
}

struct InDialect {
    read: Option<Read>,
    /// For the others, and for the user who caused it.
    forms: [Option<Form>; 2],
}

struct Form {
    text: PreparedText,
    /// Not compressed, and compressed.
    outgoing: [Option<Outgoing>; 2],
}

impl<'a> Translated<'a> {
    /// Does almost no work until a frame is needed.
    pub fn new(json: &'a [u8]) -> Self {
        Translated { json, dialects: [const { None }; Dialect::COUNT] }
    }

    /// The frame for this connection.
    fn frame(&mut self, connection: &Connection) -> Bytes {
        self.form(connection).text.frame(connection.deflate)
    }

    /// The frame for this connection, which it shares with the others that get the same; `receipt` is the event's.
    pub fn outgoing(&mut self, connection: &Connection, receipt: Receipt) -> &Outgoing {
        let Form { text, outgoing } = self.form(connection);
        let deflate = connection.deflate;
        outgoing[usize::from(deflate)].get_or_insert_with(|| Frame::new(text.frame(deflate), receipt))
    }

    fn form(&mut self, connection: &Connection) -> &mut Form {
        let (json, dialect) = (self.json, connection.dialect);
        let in_dialect = self.dialects[dialect as usize]
            .get_or_insert_with(|| InDialect { read: dialect.read(json), forms: [const { None }; 2] });
        let read = in_dialect.read.as_ref();
        let own = read.is_some_and(|read| read.is_own(connection.user()));
        in_dialect.forms[usize::from(own)].get_or_insert_with(|| {
            let text = read.map_or_else(|| PreparedText::new(json), |read| PreparedText::new(&read.write(own)));
            Form { text, outgoing: [None, None] }
        })
    }
}
